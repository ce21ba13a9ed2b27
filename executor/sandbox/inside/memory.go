package inside

import (
	"bufio"
	"bytes"
	"os"
	"strconv"
)

// memory is the kernel's account of the container's memory; "" where there is none.
type memory string

// ownMemory finds the account, as cgroup v2 or v1 has it.
func ownMemory() memory {
	for _, path := range []string{"/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"} {
		if _, err := os.Stat(path); err == nil {
			return memory(path)
		}
	}
	return ""
}

// kills is how many of the container's processes the kernel has killed for want
// of memory since it began.
func (m memory) kills() int {
	if m == "" {
		return 0
	}
	text, err := os.ReadFile(string(m))
	if err != nil {
		return 0
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if count, ok := bytes.CutPrefix(lines.Bytes(), []byte("oom_kill ")); ok {
			n, _ := strconv.Atoi(string(count))
			return n
		}
	}
	return 0
}

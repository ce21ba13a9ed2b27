package runner

import (
	"debug/elf"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// rest gives back to the system the memory that only jobs need: the heap's, and
// the program's own code and constants, which stay in the page cache as long as
// there is room and are mapped again as they are used.
func rest() {
	debug.FreeOSMemory()
	program, err := os.Readlink("/proc/self/exe")
	if err != nil || isRelocated(program) {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		var rights string
		// What may be written to would be lost.
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &rights); err != nil || strings.Contains(rights, "w") ||
			!strings.HasSuffix(line, " "+program+"\n") {
			continue
		}
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED) // without it there is only less room
	}
}

// isRelocated tells whether a program, being position-independent, has pages
// that are read-only by now but were written to at its start: the file doesn't
// have what is in them.
func isRelocated(program string) bool {
	file, err := elf.Open(program)
	if err != nil {
		return true
	}
	defer file.Close()
	return file.Type != elf.ET_EXEC
}

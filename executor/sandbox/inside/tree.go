package inside

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
)

// tree finds all that a command started: the session it leads and every
// descendant, also one that has left the session, as long as it was seen before
// its parents ended. It isn't safe for concurrent use.
type tree struct {
	leader int
	// known are members by pid, with the time they started: a pid may be used
	// again.
	known map[int]uint64
}

func newTree(leader int) *tree { return &tree{leader: leader, known: map[int]uint64{}} }

// signal sends sig to every member and returns how many there were.
func (t *tree) signal(sig syscall.Signal) int {
	members := t.look()
	// The group at once first: its members can't fork away from one another.
	_ = syscall.Kill(-t.leader, sig)
	for _, member := range members {
		if member.group != t.leader {
			_ = syscall.Kill(member.pid, sig)
		}
	}
	return len(members)
}

// leads tells whether the command itself is among the members.
func (t *tree) leads(members []stat) bool {
	return slices.ContainsFunc(members, func(s stat) bool { return s.pid == t.leader })
}

// look returns the members that are alive.
func (t *tree) look() []stat {
	var all []stat
	for _, pid := range pids() {
		// One that has just gone is no concern.
		if s, err := readStat(pid); err == nil && s.alive {
			all = append(all, s)
		}
	}
	seen := map[int]uint64{}
	var members []stat
	for grown := true; grown; {
		grown = false
		for _, s := range all {
			if _, done := seen[s.pid]; done {
				continue
			}
			started, known := t.known[s.pid]
			_, descends := seen[s.parent]
			if s.session == t.leader || known && started == s.started || descends {
				seen[s.pid] = s.started
				members = append(members, s)
				grown = true
			}
		}
	}
	t.known = seen
	return members
}

// stat is what /proc/PID/stat says of a process, as far as a tree needs it.
type stat struct {
	pid, parent, group, session int
	started                     uint64 // clock ticks after boot
	alive                       bool   // false for a zombie
}

// pids returns the processes there are; none when /proc can't be read.
func pids() []int {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	found := make([]int, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			found = append(found, pid)
		}
	}
	return found
}

// readStat reads /proc/PID/stat. A command's name in it may hold spaces and
// parentheses, so fields are counted from the last parenthesis.
func readStat(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	const state, parent, group, session, started = 0, 1, 2, 3, 19
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) <= started {
		return stat{}, fmt.Errorf("read the state of process %d: %q", pid, text)
	}
	number := func(field int) int {
		n, _ := strconv.Atoi(string(fields[field]))
		return n
	}
	begun, _ := strconv.ParseUint(string(fields[started]), 10, 64)
	return stat{
		pid: pid, parent: number(parent), group: number(group), session: number(session),
		started: begun,
		alive:   fields[state][0] != 'Z' && fields[state][0] != 'X',
	}, nil
}

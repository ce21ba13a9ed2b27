package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// settle is left between the first jobs and the measuring of idleness.
	settle = 5 * time.Second
	// memoryInterval is how often the memory of idle runners is looked at.
	memoryInterval = 5 * time.Second
)

// idle is what runners cost that wait for a job, after they have run one.
func (b *bench) idle(ctx context.Context, p plan, r *report) error {
	anonymous := figure{Name: "idle: anonymous memory, after one job", Unit: megabytes, Target: 12}
	resident := figure{Name: "idle: resident memory", Unit: megabytes, TargetRatio: 1}
	rate := figure{Name: "idle: requests to Gitea", Unit: perSecond, Target: 1.2}
	if err := sleep(ctx, settle); err != nil {
		return err
	}
	start := time.Now()
	before := map[*runner]int64{}
	for _, runner := range b.runners() {
		before[runner] = runner.gate.requests.Load()
	}
	for time.Since(start) < p.Idle {
		if err := sleep(ctx, memoryInterval); err != nil {
			return err
		}
		for _, runner := range b.runners() {
			m, err := memoryOf(runner.cmd.Process.Pid)
			if err != nil {
				return fmt.Errorf("the memory of %s: %w", runner.name, err)
			}
			anonymous.add(runner.name, m.anonymous)
			resident.add(runner.name, m.resident)
		}
	}
	took := time.Since(start).Seconds()
	for _, runner := range b.runners() {
		rate.add(runner.name, float64(runner.gate.requests.Load()-before[runner])/took)
	}
	for _, f := range []figure{anonymous, resident, rate} {
		r.add(f)
	}
	return nil
}

// memory of a process, in MB.
type memory struct{ anonymous, resident float64 }

func memoryOf(pid int) (memory, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return memory{}, err
	}
	defer f.Close()
	var m memory
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 || fields[2] != "kB" {
			continue
		}
		kibibytes, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			return memory{}, err
		}
		switch fields[0] {
		case "Rss:":
			m.resident = kibibytes * 1024 / 1e6
		case "Anonymous:":
			m.anonymous = kibibytes * 1024 / 1e6
		}
	}
	return m, lines.Err()
}

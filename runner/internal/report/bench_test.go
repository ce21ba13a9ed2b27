package report_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner/giteatest"
	"git.autonomic.zone/recipe-maintainers/cc-ci/runner/internal/report"
)

// BenchmarkRow is one row from the job's call to its place in a batch, with 50
// secrets set. The time of the calls to a fake Gitea in the same process is in
// cpu-µs/row, which is the processor's time of both.
func BenchmarkRow(b *testing.B) {
	r := begin(b, giteatest.V127, 1, report.DefaultPace)
	for i := range 50 {
		r.Mask(fmt.Sprintf("%c%dsecret-value-%d", 'a'+i%26, i, i*7919))
	}
	line := strings.Repeat("2026-11-23 compiling package a/b/c of 1200; ok ", 2)
	r.StepStarted(0, time.Now())
	before := processorTime(b)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		r.Row(time.Now(), line)
	}
	r.end(executor.Outcome{Result: executor.Success})
	b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/1000/float64(b.N), "cpu-µs/row")
}

func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

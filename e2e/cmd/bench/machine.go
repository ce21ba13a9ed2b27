package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// describe says in one line what the figures were taken on.
func describe(ctx context.Context, b *bench) string {
	parts := []string{fmt.Sprintf("%d cores", runtime.NumCPU())}
	if model := processor(); model != "" {
		parts[0] += " (" + model + ")"
	}
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		parts = append(parts, fmt.Sprintf("%.0f GB of memory", float64(info.Totalram)*float64(info.Unit)/1e9))
	}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		parts = append(parts, "Linux "+unix.ByteSliceToString(uts.Release[:]))
	}
	if engine, err := b.engine.Client().Info(ctx); err == nil {
		parts = append(parts, fmt.Sprintf("Docker %s with %s", engine.ServerVersion, engine.Driver))
	}
	return strings.Join(parts, ", ")
}

// processor is the model of the first core.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

var versionInName = regexp.MustCompile(`v\d+\.\d+\.\d+`)

// officialVersion is the official runner's, which its program's name has.
func (b *bench) officialVersion() string {
	return versionInName.FindString(filepath.Base(b.lab.Facts.Gitea.Runner))
}

// load is the average number of processes that wanted to run in the last
// minute; above the number of cores the figures are those of a busy machine.
func load() float64 {
	var one float64
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		_, _ = fmt.Sscan(string(text), &one)
	}
	return one
}

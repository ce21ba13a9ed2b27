package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is the released version: -ldflags "-X main.release=1.2.3". Without
// it the version is what Go knows of the commit.
var release string

// build is what this program was made of.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
	Act     string `json:"act"`
}

func readBuild() build {
	b := build{Version: release, Commit: "unknown", Go: runtime.Version(), Act: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	modified := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.Commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = "+changes"
		}
	}
	b.Commit += modified
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	for _, d := range info.Deps {
		if d.Path == "github.com/nektos/act" {
			b.Act = d.Version
		}
	}
	return b
}

func (m *Main) version() *cobra.Command {
	asJSON := false
	c := &cobra.Command{
		Use:     "version",
		Short:   "Say which cc-ci this is and what it was built with",
		Example: "  cc-ci version --json | jq -r .commit",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := readBuild()
			if asJSON {
				return json.NewEncoder(m.Stdout).Encode(b)
			}
			_, err := fmt.Fprintf(m.Stdout, "cc-ci %s\ncommit %s\n%s\nact %s\n", b.Version, b.Commit, b.Go, b.Act)
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as one JSON object")
	return c
}

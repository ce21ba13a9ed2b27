package runner_test

import (
	"slices"
	"strings"
	"testing"

	"git.autonomic.zone/recipe-maintainers/cc-ci/runner"
)

func TestParseLabels(t *testing.T) {
	for _, c := range []struct {
		what    string
		written []string
		names   []string
		strings []string
		says    string
	}{
		{"a bare name", []string{"cc-ci"}, []string{"cc-ci"}, []string{"cc-ci"}, ""},
		{"a name with an image; an image may have a port and a digest", []string{"cc-ci:docker://reg:5000/a/b:1@sha256:00"}, []string{"cc-ci"}, []string{"cc-ci:docker://reg:5000/a/b:1@sha256:00"}, ""},
		{"a list with commas and blanks", []string{"cc-ci, big:docker://x ,", "small"}, []string{"cc-ci", "big", "small"}, []string{"cc-ci", "big:docker://x", "small"}, ""},
		{"a schema of another runner", []string{"cc-ci:host"}, nil, nil, "write cc-ci or cc-ci:docker://IMAGE"},
		{"an image that is missing", []string{"cc-ci:docker://"}, nil, nil, "cc-ci:docker://IMAGE"},
		{"a name that is missing", []string{":docker://x"}, nil, nil, "NAME"},
		{"a blank in the name", []string{"cc ci"}, nil, nil, "NAME"},
		{"a name given twice", []string{"a", "a:docker://x"}, nil, nil, "twice"},
		{"nothing at all", []string{" , "}, nil, nil, "no label"},
	} {
		t.Run(c.what, func(t *testing.T) {
			labels, err := runner.ParseLabels(c.written...)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("error is %v, want one with %q", err, c.says)
				}
				return
			}
			if err != nil || !slices.Equal(labels.Names(), c.names) || !slices.Equal(labels.Strings(), c.strings) {
				t.Errorf("ParseLabels = %q named %q, %v", labels.Strings(), labels.Names(), err)
			}
		})
	}
}

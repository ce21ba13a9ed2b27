package spell_test

import (
	"testing"

	"git.autonomic.zone/recipe-maintainers/cc-ci/spell"
)

func TestNearest(t *testing.T) {
	names := []string{"capacity", "base_domain", "job_image"}
	for _, c := range []struct{ name, word, want string }{
		{"a swapped letter is found", "capactiy", "capacity"},
		{"a missing letter is found", "base_doman", "base_domain"},
		{"the nearest of several wins", "job_imag", "job_image"},
		{"a name that is nothing like any suggests none", "colour", ""},
		{"an empty word suggests none", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := spell.Nearest(c.word, names); got != c.want {
				t.Errorf("Nearest(%q) = %q, want %q", c.word, got, c.want)
			}
		})
	}
}

package mask_test

import (
	"fmt"
	"strings"
	"testing"

	"git.autonomic.zone/recipe-maintainers/cc-ci/mask"
)

func TestLine(t *testing.T) {
	for _, c := range []struct {
		what    string
		secrets []string
		line    string
		want    string
	}{
		{"a line without secrets stays as it is", []string{"hunter2"}, "nothing here", "nothing here"},
		{"without any secret every line stays", nil, "hunter2", "hunter2"},
		{"a secret is masked wherever it stands", []string{"hunter2"}, "hunter2 is xhunter2x hunter2", "*** is x***x ***"},
		{"an empty value masks nothing", []string{""}, "abc", "abc"},
		{"of two that begin alike the longer one is masked", []string{"pass", "password1"}, "my password1, my pass", "my ***, my ***"},
		{"secrets that overlap are covered together", []string{"abcd", "cdef"}, "xabcdefx", "x***x"},
		{"secrets within another don't cut it short", []string{"bc", "abcd"}, "abcd", "***"},
		{"each line of a value with several is a secret", []string{"-----BEGIN-----\nMIIE\r\n}\n-----END-----\n"}, "  MIIE } -----END-----", "  *** } ***"},
		{"a newline at a value's end isn't part of it", []string{"hunter2\n"}, "is hunter2", "is ***"},
		{"a secret of one letter is masked also at the line's end", []string{"q"}, "q.q", "***.***"},
		{"secrets may hold any bytes", []string{"\xffé\x00"}, "a\xffé\x00b", "a***b"},
		{"a secret that a line only begins is none", []string{"hunter2"}, "hunter", "hunter"},
		{"secrets side by side leave nothing", []string{"aa", "bb"}, "aabb", "******"},
	} {
		t.Run(c.what, func(t *testing.T) {
			var m mask.Masker
			m.Add(c.secrets...)
			if got := m.Line(c.line); got != c.want {
				t.Errorf("Line(%q) = %q, want %q", c.line, got, c.want)
			}
		})
	}
}

// FuzzLine holds that no secret is left and that nothing else is lost.
func FuzzLine(f *testing.F) {
	f.Add("secret1", "secret2", "a secret1secret2 line")
	f.Add("aba", "bab", "xababababx")
	f.Fuzz(func(t *testing.T, a, b, line string) {
		if strings.ContainsAny(a+b, "*\r\n") || strings.Contains(line, "*") || a == "" || b == "" {
			return
		}
		var m mask.Masker
		m.Add(a, b)
		got := m.Line(line)
		if strings.Contains(got, a) || strings.Contains(got, b) {
			t.Fatalf("Line(%q) = %q lets %q or %q through", line, got, a, b)
		}
		if !strings.Contains(line, a) && !strings.Contains(line, b) && got != line {
			t.Fatalf("Line(%q) = %q masks what is no secret", line, got)
		}
	})
}

func BenchmarkLineOf50Secrets(b *testing.B) {
	var m mask.Masker
	for i := range 50 {
		m.Add(fmt.Sprintf("%c%dsecret-value-%d", 'a'+i%26, i, i*7919))
	}
	line := strings.Repeat("2026-11-23 compiling package a/b/c of 1200; ok ", 2)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		m.Line(line)
	}
}

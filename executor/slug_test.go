package executor_test

import (
	"regexp"
	"testing"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor"
)

func TestSlug(t *testing.T) {
	shape := regexp.MustCompile(`^[a-z0-9]{1,4}-[a-z2-7]{6}$`)
	for _, c := range []struct{ name, recipe, want string }{
		{"a long name is cut to four letters", "wordpress", "word-"},
		{"a short name stays whole", "n8n", "n8n-"},
		{"what a host name can't carry is left out", "My_App", "myap-"},
		{"a name without a usable letter still gives one", "___", "app-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			slug := executor.Slug(c.recipe, "runner", "7", "")
			if !shape.MatchString(slug) || slug[:len(c.want)] != c.want {
				t.Errorf("Slug(%q) = %q, want %s and six of base32", c.recipe, slug, c.want)
			}
		})
	}
}

func TestSlugTellsJobsApart(t *testing.T) {
	one := executor.Slug("hello", "runner", "7", "")
	if one != executor.Slug("hello", "runner", "7", "") {
		t.Error("the same task on the same runner has two slugs: a restart would not find its objects")
	}
	for name, other := range map[string]string{
		"another task":      executor.Slug("hello", "runner", "8", ""),
		"another runner":    executor.Slug("hello", "other", "7", ""),
		"another local run": executor.Slug("hello", "runner", "7", "x"),
	} {
		if other == one {
			t.Errorf("%s has the same slug %s", name, one)
		}
	}
}

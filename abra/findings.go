package abra

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// The rules that findings are of. R-numbers are those of abra recipe lint.
const (
	rulePolicy  = "policy"
	ruleEnv     = "env"
	ruleCompose = "compose"
	ruleNames   = "names"
	ruleSecrets = "secrets"
	ruleConfigs = "configs"
)

// place is where in the compose files a finding is: a service's key, or with no
// service a top-level one.
type place struct {
	service string
	keys    []string
}

// at is the place of a service's key; service "" stands for the file's top.
func at(service string, keys ...string) place { return place{service, keys} }

// path is the way to the place from the top of a compose file.
func (p place) path() []string {
	if p.service == "" {
		return p.keys
	}
	return append([]string{"services", p.service}, p.keys...)
}

// key is the place in words: "volumes[/data]", "deploy.labels.traefik.enable".
func (p place) key() string {
	var key string
	for _, k := range p.keys {
		switch {
		case strings.HasPrefix(k, "["):
		case strings.HasPrefix(k, "/"):
			k = "[" + k + "]"
		case key != "":
			k = "." + k
		}
		key += k
	}
	return key
}

// findings gathers what is to be said about a recipe.
type findings struct {
	list []Finding
	docs locator
	more int // how many are left out
}

// maxFindings bounds how many are told: nobody reads more, and looking up the
// lines takes time that a recipe could make long.
const maxFindings = 100

func (f *findings) add(finding Finding) {
	if len(f.list) >= maxFindings {
		f.more++
		return
	}
	f.list = append(f.list, finding)
}

// put adds a finding about a place of the compose files.
func (f *findings) put(level Level, rule string, p place, hint, text string, args ...any) {
	if len(f.list) >= maxFindings {
		f.more++
		return
	}
	file, line := f.docs.find(p.path())
	f.add(Finding{Level: level, Rule: rule, File: file, Line: line, Service: p.service, Key: p.key(),
		Text: fmt.Sprintf(text, args...), Hint: hint})
}

// refuse adds an error of the policy.
func (f *findings) refuse(p place, hint, text string, args ...any) {
	f.put(Error, rulePolicy, p, hint, text, args...)
}

// warn adds a warning of the rule given.
func (f *findings) warn(rule string, p place, hint, text string, args ...any) {
	f.put(Warning, rule, p, hint, text, args...)
}

// failed reports whether the recipe is refused; too many warnings to tell are
// reason enough.
func (f *findings) failed() bool {
	return f.more > 0 || slices.ContainsFunc(f.list, func(x Finding) bool { return x.Level == Error })
}

// sorted are the findings in the order of the files, each once.
func (f *findings) sorted() []Finding {
	slices.SortFunc(f.list, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Level, b.Level),
			cmp.Compare(a.Service, b.Service), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Text, b.Text))
	})
	if f.more > 0 {
		f.list = append(f.list, Finding{Level: Error, Rule: ruleCompose, Text: fmt.Sprintf("and %d more findings", f.more), Hint: "see to the ones above first"})
	}
	return slices.Compact(f.list)
}

// String is the finding on one line, as a compiler would print it.
func (f Finding) String() string {
	where := f.File
	if f.Line > 0 {
		where = fmt.Sprintf("%s:%d", f.File, f.Line)
	}
	if where != "" {
		where += ": "
	}
	subject := f.Key
	if f.Service != "" {
		subject = fmt.Sprintf("service %s, %s", f.Service, f.Key)
		if f.Key == "" {
			subject = "service " + f.Service
		}
	}
	if subject != "" {
		subject += ": "
	}
	text := fmt.Sprintf("%s%s (%s): %s%s", where, f.Level, f.Rule, subject, f.Text)
	if f.Hint != "" {
		text += ". To do: " + f.Hint
	}
	return text
}

package traefik_test

import (
	"strings"
	"testing"

	"git.autonomic.zone/recipe-maintainers/cc-ci/traefik"
)

const own = "hell-k3x9q2.ci.example.org"

func TestOnlyHost(t *testing.T) {
	for _, test := range []struct {
		sentence, rule string
		want           bool
	}{
		{"the own host", "Host(`OWN`)", true},
		{"in double quotes", `Host("OWN")`, true},
		{"in capitals, which Traefik lowers", "HOST(`" + strings.ToUpper(own) + "`)", true},
		{"with the root's dot, which Traefik drops", "Host(`OWN.`)", true},
		{"with a path", "Host(`OWN`) && PathPrefix(`/api`)", true},
		{"with either of two paths", "(PathPrefix(`/a`) || Path(`/b`)) && Host(`OWN`)", true},
		{"twice", "Host(`OWN`) || Host(`OWN`) && Method(`GET`)", true},
		{"negated twice", "!(!Host(`OWN`))", true},
		{"behind De Morgan", "!(!Host(`OWN`) || Path(`/x`))", true},
		{"another host", "Host(`other.example.org`)", false},
		{"v2's list with another host", "Host(`OWN`, `www.example.org`)", false},
		{"own or another", "Host(`OWN`) || Host(`other.example.org`)", false},
		{"own and precedence: || binds less than &&", "Host(`OWN`) && Path(`/a`) || Path(`/b`)", false},
		{"everything but another", "!Host(`other.example.org`)", false},
		{"everything but own", "!Host(`OWN`)", false},
		{"not both", "!(Host(`OWN`) && Path(`/x`))", false},
		{"a path of every host", "PathPrefix(`/`)", false},
		{"a regular expression", "HostRegexp(`.+`)", false},
		{"a regular expression that looks like the own host", "HostRegexp(`OWN`)", false},
		{"a header that is not the host for Traefik", "Header(`Host`, `OWN`)", false},
		{"the name of a TCP rule", "HostSNI(`OWN`)", false},
		{"v2's alias", "HostHeader(`OWN`)", false},
		{"a host below the own", "Host(`api.OWN`)", false},
		{"a host that ends with the own", "Host(`xOWN`)", false},
		{"a function nobody knows", "Catch(`OWN`)", false},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			got, err := traefik.OnlyHost(strings.ReplaceAll(test.rule, "OWN", own), own)
			if err != nil || got != test.want {
				t.Errorf("%s: got %v, %v, want %v", test.rule, got, err, test.want)
			}
		})
	}
}

func TestOnlyHostRefusesToRead(t *testing.T) {
	for sentence, rule := range map[string]string{
		"nothing":                 "",
		"no function":             "true",
		"no argument":             "Host()",
		"an empty argument":       "Host(``)",
		"a number":                "Host(1)",
		"a concatenation":         "Host(`a`+`b`)",
		"another operator":        "Host(`a`) == Host(`b`)",
		"a method":                "x.Host(`a`)",
		"a list as the argument":  "Host([]string{`a`}...)",
		"half a rule":             "Host(`a`) &&",
		"more than any rule has":  "Host(`" + strings.Repeat("a", 5000) + "`)",
		"a function in a bracket": "(Host)(`a`)",
	} {
		if ok, err := traefik.OnlyHost(rule, own); err == nil || ok {
			t.Errorf("%s (%s) was read as %v", sentence, rule, ok)
		}
	}
}

// FuzzOnlyHost holds what is accepted against the simplest reading of a rule: a
// rule that never names the own host can't be for it only, and a rule that is
// for it stays so with any condition added, and loses it with any alternative.
func FuzzOnlyHost(f *testing.F) {
	for _, rule := range []string{
		"Host(`" + own + "`)", "Host(`a`) || Host(`" + own + "`)", "!(!Host(\"" + own + "\") || Path(`/`))", "HostRegexp(`^.*$`)", "((((",
		"Host(`" + own + "`) // ` || Host(`x`)", "Host(`\\x68ell`)", "Host(\"\\x68ell-k3x9q2.ci.example.org\")",
	} {
		f.Add(rule)
	}
	f.Fuzz(func(t *testing.T, rule string) {
		ok, err := traefik.OnlyHost(rule, own)
		if err != nil && ok {
			t.Fatal("accepted with an error")
		}
		if !ok {
			return
		}
		if ok, err := traefik.OnlyHost(rule, "other.example.org"); ok || err != nil {
			t.Fatalf("%q is for two hosts only: %v", rule, err)
		}
		if strings.Contains(rule, "//") || strings.Contains(rule, "/*") || len(rule) > 4000 {
			return
		}
		if ok, _ := traefik.OnlyHost("("+rule+") && Path(`/x`)", own); !ok {
			t.Errorf("%q loses its host by a condition", rule)
		}
		if ok, _ := traefik.OnlyHost("("+rule+") || Path(`/x`)", own); ok {
			t.Errorf("%q keeps its host in spite of an alternative", rule)
		}
	})
}

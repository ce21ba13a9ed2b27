package dotenv_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"git.autonomic.zone/recipe-maintainers/cc-ci/abra/internal/dotenv"
	"github.com/joho/godotenv"
)

func TestParse(t *testing.T) {
	forced := map[string]string{"DOMAIN": "own.example.org"}
	for _, test := range []struct {
		sentence   string
		text, more string
		key, want  string
	}{
		{"a later line wins", "A=1\nA=2", "", "A", "2"},
		{"the second source wins over the first", "A=1", "A=2", "A", "2"},
		{"a value expands from the lines above", "COMPOSE_FILE=compose.yml", `COMPOSE_FILE="$COMPOSE_FILE:b.yml"`, "COMPOSE_FILE", "compose.yml:b.yml"},
		{"single quotes are literal", "X=', `www.$A`'", "", "X", ", `www.$A`"},
		{"a comment behind a value isn't of it", "A=v1 # length=3", "", "A", "v1"},
		{"a hash inside of a word is", "A=a#b", "", "A", "a#b"},
		{"export may stand before", "export A=1", "", "A", "1"},
		{"an unset variable is empty, whatever the process has", "A=x${HOME}x", "", "A", "xx"},
		{"a quoted value may span lines", "A=\"one\nDOMAIN=two\"", "", "A", "one\nDOMAIN=two"},
		{"a forced key keeps its value", "DOMAIN=example.com", "DOMAIN=evil.example.net", "DOMAIN", "own.example.org"},
		{"a forced key expands to its value after a line that sets it", "DOMAIN=example.com\nAPI=api.$DOMAIN", "", "API", "api.own.example.org"},
		{"also when the line is quoted or exported", "export DOMAIN='example.com' # note\nAPI=api.$DOMAIN", "", "API", "api.own.example.org"},
		{"also when the name is written as in YAML", "DOMAIN: example.com\nAPI=api.$DOMAIN", "", "API", "api.own.example.org"},
		{"also in a text with Windows' line ends", "DOMAIN=example.com\r\nAPI=api.$DOMAIN\r\n", "", "API", "api.own.example.org"},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			env, err := dotenv.Parse([]dotenv.Source{{Name: ".env.sample", Text: test.text}, {Name: "more", Text: test.more}}, forced)
			if err != nil {
				t.Fatal(err)
			}
			if got := env.Values[test.key]; got != test.want {
				t.Errorf("%s is %q, want %q", test.key, got, test.want)
			}
		})
	}
}

func TestSyntaxErrorsHoldNoValue(t *testing.T) {
	for _, test := range []struct {
		sentence, text string
		line           int
	}{
		{"a name without a value", "A=1\nhunter2", 2},
		{"a name without a value in the middle", "A=1\nhunter2\nB=2", 2},
		{"a quote that isn't closed", "A=1\n\n# note\nB=\"hunter2\n", 4},
		{"a character that no name has", "hunter2!=1", 1},
		{"a value without a name", "=hunter2", 1},
		{"export and nothing", "A=1\nexport  ", 2},
		{"lines of which each doubles the one above", "A=hunter2hunter2" + strings.Repeat("\nA=$A$A", 40), 17},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			_, err := dotenv.Parse([]dotenv.Source{{Name: "x.env", Text: test.text}}, nil)
			syntax := (*dotenv.SyntaxError)(nil)
			if !errors.As(err, &syntax) || syntax.Line != test.line || syntax.Source != "x.env" {
				t.Fatalf("the error is %v, want one of x.env:%d", err, test.line)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%q quotes the line, which may be a secret", err)
			}
		})
	}
}

func TestModifiers(t *testing.T) {
	for _, test := range []struct {
		sentence, text string
		want           map[string]string
	}{
		{"words of key=value behind the value", "K=v1 # length=64 charset=hex", map[string]string{"length": "64", "charset": "hex"}},
		{"no blank behind the hash", "K=v1 #generate=false", map[string]string{"generate": "false"}},
		{"prose between them", "K=v1 # at least length=10, for X=1 and =2", map[string]string{"length": "10,"}},
		{"behind a quoted value", `K="v1" # length=8`, map[string]string{"length": "8"}},
		{"two comments on a line", "K=v1 # length=8 #generate=false", map[string]string{"length": "8", "generate": "false"}},
		{"a later line without modifiers leaves them", "K=v1 # length=8\nK=v2", map[string]string{"length": "8"}},
		{"a line that is commented out has none", "#K=v1 # length=8\nK=v1", nil},
		{"a hash in a quoted value is no comment", `K="v1 # length=8"`, nil},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			env, err := dotenv.Parse([]dotenv.Source{{Name: ".env.sample", Text: test.text}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := env.Modifiers("K"); !maps.Equal(got, test.want) {
				t.Errorf("the modifiers are %v, want %v", got, test.want)
			}
		})
	}
}

// FuzzParse compares the package's own reading of where assignments stand with
// godotenv's reading of what they say, and tries to change a forced key.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		"A=1\nB=2 # length=3\n", "export A='x'\nDOMAIN=evil", "A=\"one\nDOMAIN=two\"", "DOMAIN: a\rDOMAIN=b", "# only\n", "A= # x", "\u00a0A=1",
		"DOMAIN\t=x", "A=\"\\\"\"B=1", "A=${DOMAIN}\nexport\tDOMAIN=1", "\ufeffDOMAIN=x", "D\u0085OMAIN=x", "A='\nDOMAIN=x'DOMAIN=y",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		sources := []dotenv.Source{{Name: "fuzz", Text: text}}
		env, err := dotenv.Parse(sources, nil)
		if err != nil {
			return
		}
		want, err := godotenv.Unmarshal(strings.ReplaceAll(text, "\r\n", "\n"))
		if err != nil {
			t.Fatalf("godotenv refuses what was read: %v", err)
		}
		if !maps.Equal(env.Values, want) {
			t.Fatalf("read %q, godotenv reads %q", env.Values, want)
		}
		keys := map[string]bool{}
		for _, a := range env.Assignments {
			keys[a.Key] = true
		}
		for key := range want {
			if !keys[key] {
				t.Fatalf("no assignment found for %q", key)
			}
		}
		env, err = dotenv.Parse(sources, map[string]string{"DOMAIN": "own.example.org"})
		if err != nil {
			t.Fatalf("with a forced key: %v", err)
		}
		if got := env.Values["DOMAIN"]; got != "own.example.org" {
			t.Fatalf("DOMAIN became %q", got)
		}
		if len(env.Values) != len(want) && keys["DOMAIN"] || !keys["DOMAIN"] && len(env.Values) != len(want)+1 {
			t.Fatalf("forcing DOMAIN changed which keys there are: %q, %q", env.Values, want)
		}
	})
}

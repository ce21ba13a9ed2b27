package abra_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"git.autonomic.zone/recipe-maintainers/cc-ci/abra"
)

var update = flag.Bool("update", false, "write the golden files anew")

// counting stands in for randomness: bytes 0, 1, 2, ….
type counting struct{ next byte }

func (c *counting) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = c.next
		c.next++
	}
	return len(p), nil
}

// TestGolden resolves recipes and compares findings and app with what was seen
// to be right before: testdata/<name>.golden has the findings, a line of
// dashes, and the app as JSON. The values of secrets come from counting.
func TestGolden(t *testing.T) {
	for _, test := range []struct {
		sentence, dir, golden string
		options               abra.Options
	}{
		{"the example recipe", "../examples/recipes/hello", "hello", abra.Options{Commit: "0123456789abcdef"}},
		{"two compose files, a database, secrets with modifiers, one given", "testdata/forum", "forum",
			abra.Options{Env: `COMPOSE_FILE="$COMPOSE_FILE:compose.smtp.yml"` + "\nSMTP_HOST=mail.example.org", Secrets: map[string]string{"SMTP_PASSWORD": "given"}}},
		{"the same without what it needs: all findings at once", "testdata/forum", "forum-refused",
			abra.Options{ComposeFile: "compose.yml:compose.smtp.yml:compose.bad.yml", Secrets: map[string]string{"smtp_pasword": "x"}, Env: "DOMAIN=x.org"}},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			recipe, err := abra.Open(test.dir)
			if err != nil {
				t.Fatal(err)
			}
			test.options.Domain = domain
			test.options.Random = &counting{}
			app, findings, err := recipe.Resolve(test.options)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, filepath.Join("testdata", test.golden+".golden"), render(t, app, findings))
		})
	}
}

// render writes what Resolve gave; a config's bytes are shown as their text.
func render(t *testing.T, app *abra.App, findings []abra.Finding) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, f := range findings {
		fmt.Fprintln(&out, f)
	}
	fmt.Fprintln(&out, "---")
	if app != nil {
		for _, c := range app.Configs {
			fmt.Fprintf(&out, "%s:\n%s---\n", c.Name, c.Data)
		}
		for _, s := range app.Secrets {
			fmt.Fprintf(&out, "%s: %s\n", s.Name, s.Data)
		}
		fmt.Fprintln(&out, "---")
	}
	encoder := json.NewEncoder(&out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(app); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func compare(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test ./abra -update writes it anew); got:\n%s", file, got)
	}
}

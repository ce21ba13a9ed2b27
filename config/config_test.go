package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"git.autonomic.zone/recipe-maintainers/cc-ci/config"
)

var update = flag.Bool("update", false, "rewrite the expected part of testdata/*.golden")

// Each golden file is a configuration, a line of dashes, and the problems Load
// finds in it.
func TestLoadReportsEveryProblemAtOnce(t *testing.T) {
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".golden"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			const line = "-----\n"
			input, want, ok := strings.Cut(string(data), line)
			if !ok {
				t.Fatalf("%s has no line of dashes", file)
			}
			got := problems(t, input)
			if *update {
				if err := os.WriteFile(file, []byte(input+line+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// problems loads input and returns what is wrong with it, one a line, with the
// file's folder left out.
func problems(t *testing.T, input string) string {
	t.Helper()
	path := write(t, "config.yml", input)
	_, err := config.Load(path)
	if err == nil {
		return ""
	}
	var list config.Problems
	if !errors.As(err, &list) || len(list) == 0 {
		t.Fatalf("Load's error is %T: %v; want Problems", err, err)
	}
	return strings.ReplaceAll(err.Error()+"\n", filepath.Dir(path)+"/", "")
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The example is the documentation of the defaults: it must say them, and all.
func TestExampleSaysEveryDefault(t *testing.T) {
	got, err := config.Load(write(t, "config.yml", config.Example()))
	if err != nil {
		t.Fatal(err)
	}
	if got != config.Default() {
		t.Errorf("the example gives\n%+v\nthe defaults are\n%+v", got, config.Default())
	}
	for _, key := range config.Keys() {
		name := key[strings.LastIndexByte(key, '.')+1:]
		if !regexp.MustCompile(`(?m)^ *` + name + `:`).MatchString(config.Example()) {
			t.Errorf("the example doesn't set %s", key)
		}
	}
}

// What is printed as the effective settings can be loaded again.
func TestMarshalledConfigLoadsUnchanged(t *testing.T) {
	want := config.Default()
	want.Sandbox.Memory = 1536 << 20
	out, err := yaml.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(write(t, "config.yml", string(out)))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestLoadKeepsDefaultsOfWhatIsNotSet(t *testing.T) {
	cases := []struct {
		name, input string
		change      func(*config.Config)
	}{
		{"an empty file leaves every default", "", func(*config.Config) {}},
		{"a file of comments too", "# nothing\n", func(*config.Config) {}},
		{"a group keeps the defaults beside the key that is set", "timeouts: {job: 30m}", func(c *config.Config) {
			c.Timeouts.Job = 30 * time.Minute
		}},
		{"the identity follows the state folder", "state_dir: /srv/cc-ci", func(c *config.Config) {
			c.StateDir, c.Identity = "/srv/cc-ci", "/srv/cc-ci/identity.json"
		}},
		{"anchors and quotes are YAML like any other", "base_domain: &d 'ci.example.org'\n", func(c *config.Config) {
			c.BaseDomain = "ci.example.org"
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want := config.Default()
			c.change(&want)
			got, err := config.Load(write(t, "config.yml", c.input))
			if err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestLoadWantsCertificatesThatParse(t *testing.T) {
	good := selfSigned(t)
	cases := []struct{ name, pem, problem string }{
		{"a certificate", good, ""},
		{"a chain after a key", "-----BEGIN X-----\nAAAA\n-----END X-----\n" + good + good, ""},
		{"an empty file", "", "holds no PEM certificate"},
		{"a damaged certificate", good + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 2: x509:"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			file := write(t, "ca.pem", c.pem)
			_, err := config.Load(write(t, "config.yml", "ca_file: "+file))
			switch {
			case c.problem == "" && err != nil:
				t.Error(err)
			case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)):
				t.Errorf("got %v, want %q in it", err, c.problem)
			}
		})
	}
}

// A file that can't be read is no list of problems: the caller may fall back to
// the defaults when it isn't there.
func TestLoadTellsAMissingFile(t *testing.T) {
	_, err := config.Load(filepath.Join(t.TempDir(), "none.yml"))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(config.Example())
	f.Add("a: &x [*x]")
	f.Add("log: {<<: {level: debug}}")
	f.Fuzz(func(t *testing.T, input string) {
		_, _ = config.Load(write(t, "config.yml", input))
	})
}

func selfSigned(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

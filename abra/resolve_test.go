package abra_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/abra"
)

func TestOpen(t *testing.T) {
	if _, err := abra.Open(t.TempDir()); !errors.Is(err, abra.ErrNoCompose) {
		t.Errorf("a folder without compose.yml: %v, want ErrNoCompose", err)
	}
	if _, err := abra.Open(filepath.Join(t.TempDir(), "gone")); err == nil || errors.Is(err, abra.ErrNoCompose) {
		t.Errorf("a folder that isn't there: %v, want another error than ErrNoCompose", err)
	}
}

// TestBadRecipe resolves recipes that can't be deployed: each ends with one
// finding that says where it is and what to do.
func TestBadRecipe(t *testing.T) {
	const fine = "version: '3.8'\nservices: {app: {image: 'a:1'}}\n"
	for _, test := range []struct {
		sentence string
		files    map[string]string
		options  abra.Options
		want     string // the finding begins so
	}{
		{"no .env.sample", map[string]string{"compose.yml": fine}, abra.Options{}, ".env.sample: error (R008): the recipe has no .env.sample"},
		{"a folder for .env.sample", map[string]string{"compose.yml": fine, ".env.sample/x": ""}, abra.Options{}, ".env.sample: error (R008): .env.sample isn't a regular file"},
		{"a folder for abra.sh", map[string]string{"compose.yml": fine, ".env.sample": "TYPE=x\n", "abra.sh/x": ""}, abra.Options{}, "abra.sh: error (env): abra.sh isn't a regular file"},
		{"an .env.sample that can't be read", map[string]string{"compose.yml": fine, ".env.sample": "A=1\nB='x"}, abra.Options{}, ".env.sample:2: error (env): a quote is opened and never closed"},
		{"a CC_CI_ENV that can't be read", map[string]string{"compose.yml": fine, ".env.sample": "A=1"}, abra.Options{Env: "\nsecret value"}, "CC_CI_ENV:2: error (env): a name without a value"},
		{"a quote in CC_CI_COMPOSE_FILE", map[string]string{"compose.yml": fine, ".env.sample": "A=1"}, abra.Options{ComposeFile: "a\"\nDOMAIN=b"}, "CC_CI_COMPOSE_FILE: error (env): has a quote"},
		{"broken YAML", map[string]string{"compose.yml": "services:\n  app:\n\timage: x\n", ".env.sample": ""}, abra.Options{}, "compose.yml:3: error (compose): line 3:"},
		{"a key twice", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app: {}\n  app: {}\n", ".env.sample": ""}, abra.Options{}, "compose.yml:4: error (compose)"},
		{"a list where a map belongs", map[string]string{"compose.yml": "- a\n", ".env.sample": ""}, abra.Options{}, "compose.yml: error (compose): top-level object must be a mapping"},
		{"an empty file", map[string]string{"compose.yml": "", ".env.sample": ""}, abra.Options{}, "compose.yml: error (compose): top-level object must be a mapping"},
		{"a key that compose doesn't know", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app:\n    image: a:1\n    uts: host\n", ".env.sample": ""}, abra.Options{}, "compose.yml:3: error (compose): services.app: additional property 'uts' is not allowed"},
		{"a service that is nothing", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app:\n", ".env.sample": ""}, abra.Options{}, "compose.yml:3: error (compose): services.app: must be a mapping"},
		{"a variable that is asked for", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app:\n    image: a:${TAG:?set TAG}\n", ".env.sample": ""}, abra.Options{}, "compose.yml:4: error (compose): invalid interpolation format for services.app.image"},
		{"extends", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app:\n    extends: {service: x}\n", ".env.sample": ""}, abra.Options{}, "compose.yml: error (compose): extends: Support for `extends`"},
		{"two versions", map[string]string{"compose.yml": fine, "b.yml": "services: {}\n", ".env.sample": "COMPOSE_FILE=compose.yml:b.yml"}, abra.Options{}, "compose.yml: error (compose): version mismatched between two composefiles : 3.8 and 3.13"},
		{"a compose file that isn't there", map[string]string{"compose.yml": fine, ".env.sample": "COMPOSE_FILE=compose.yml:b.yml"}, abra.Options{}, "b.yml: error (compose): COMPOSE_FILE: there is no such file"},
		{"a compose file that is a folder", map[string]string{"compose.yml": fine, "b/c": "", ".env.sample": "COMPOSE_FILE=b"}, abra.Options{}, "b: error (compose): COMPOSE_FILE: b isn't a regular file"},
		{"a compose file larger than any", map[string]string{"compose.yml": "#" + strings.Repeat("x", 1<<20), ".env.sample": ""}, abra.Options{}, "compose.yml: error (compose): COMPOSE_FILE: compose.yml is larger"},
		{"no image", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app: {build: .}\n", ".env.sample": ""}, abra.Options{}, "compose.yml:3: error (R011): service app: the service has no image. To do: Swarm doesn't build"},
		{"a DOMAIN and no route", map[string]string{"compose.yml": fine, ".env.sample": "DOMAIN=x.example.com"}, abra.Options{}, "compose.yml:2: error (R010): services: the .env.sample has a DOMAIN"},
		{"a volume that isn't defined", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app: {image: 'a:1', volumes: ['data:/v']}\n", ".env.sample": ""}, abra.Options{}, `compose.yml:3: error (compose): service app: docker can't make a service of it: undefined volume "data"`},
		{"a network that isn't defined", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app: {image: 'a:1', networks: [n]}\n", ".env.sample": ""}, abra.Options{}, "compose.yml:3: error (compose): service app, networks.n: the service uses the network n"},
		{"a secret that isn't defined", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app: {image: 'a:1', secrets: [s]}\n", ".env.sample": ""}, abra.Options{}, "compose.yml:3: error (secrets): service app, secrets.s: the service uses the secret s"},
		{"a config that isn't defined", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app: {image: 'a:1', configs: [c]}\n", ".env.sample": ""}, abra.Options{}, "compose.yml:3: error (configs): service app, configs.c: the service uses the config c"},
		{"an empty config", map[string]string{"compose.yml": fine + "configs: {c: {file: c}}\n", "c": "", ".env.sample": ""}, abra.Options{}, "compose.yml:3: error (configs): configs.c.file: the file has 0 bytes"},
		{"a config of the stack that nothing makes", map[string]string{"compose.yml": fine + "configs: {c: {external: true, name: '${STACK_NAME}_c'}}\n", ".env.sample": ""}, abra.Options{}, "compose.yml:3: error (configs): configs.c: nothing makes a config that is external"},
		{"a name that is too long", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app: {image: 'a:1', secrets: [s]}\nsecrets:\n  s: {external: true, name: '${STACK_NAME}_a_secret_whose_name_nobody_can_remember_v1'}\n", ".env.sample": ""}, abra.Options{},
			"compose.yml:5: error (names): secrets.s: the secret would be named hell-k3x9q2_ci_example_org_a_secret_whose_name_nobody_can_remember_v1: 26 for the stack's name and 43 for _ and its own come to 69 characters, and Swarm takes 64"},
		{"two configs of one name", map[string]string{"compose.yml": fine + "configs:\n  a: {file: f, name: '${STACK_NAME}_a'}\n  b: {file: f, name: '${STACK_NAME}_a'}\n", "f": "x", ".env.sample": ""}, abra.Options{}, "compose.yml:5: error (names): configs.b: there is another config named hell-k3x9q2_ci_example_org_a"},
		{"aliases that make a small file large", map[string]string{"compose.yml": "version: '3.8'\nx-a: &a '" + strings.Repeat("x", 1<<16) + "'\nx-b: [" + strings.Repeat("*a, ", 100) + "]\n", ".env.sample": ""}, abra.Options{}, "compose.yml: error (compose): with its variables and aliases filled in the file is longer"},
		{"variables that make a small file large", map[string]string{"compose.yml": "version: '3.8'\nx-a: '" + strings.Repeat("$A", 1<<16) + "'\n", ".env.sample": "A=" + strings.Repeat("x", 1<<16)}, abra.Options{}, "compose.yml: error (compose): with its variables and aliases filled in the file is longer"},
		{"an environment that isn't of texts, beside an env_file", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app: {image: 'a:1', env_file: /proc/self/environ, environment: {1: a}}\n", ".env.sample": ""}, abra.Options{}, "compose.yml:3: error (compose): service app, env_file: env_file or environment isn't made of texts"},
		{"more containers than the others leave", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app: {image: 'a:1', deploy: &d {replicas: 20}}\n  b: {image: 'a:1', deploy: *d}\n  c: {image: 'a:1', deploy: *d}\n  d: {image: 'a:1'}\n", ".env.sample": ""}, abra.Options{}, "compose.yml:2: error (policy): services: 61 containers"},
		{"more configs than Swarm's managers should keep", map[string]string{"compose.yml": fine + "configs: {" + strings.Repeat("cN: {file: f}, ", 9) + "}\n", "f": strings.Repeat("x", 1000<<10-1), ".env.sample": ""}, abra.Options{}, "compose.yml:3: error (policy): configs.c8: secrets and configs of one app may come to 8192 KiB"},
		{"a name without its version", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app: {image: 'a:1', secrets: [s]}\nsecrets:\n  s: {external: true, name: '${STACK_NAME}_s_${SECRET_S_VERSION}'}\n", ".env.sample": ""}, abra.Options{},
			`compose.yml:5: error (names): secrets.s: the secret would be named "hell-k3x9q2_ci_example_org_s_", which Swarm refuses`},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			t.Parallel()
			for n := 0; strings.Contains(test.files["compose.yml"], "cN:"); n++ {
				test.files["compose.yml"] = strings.Replace(test.files["compose.yml"], "cN:", fmt.Sprintf("c%d:", n), 1)
			}
			test.options.Domain = domain
			app, findings, err := write(t, test.files).Resolve(test.options)
			if err != nil {
				t.Fatal(err)
			}
			if app != nil {
				t.Error("there is an app in spite of it")
			}
			var errs []abra.Finding
			for _, f := range findings {
				if f.Level == abra.Error {
					errs = append(errs, f)
				}
			}
			if len(errs) != 1 || !strings.HasPrefix(errs[0].String(), test.want) {
				t.Errorf("found:\n%swant one that begins:\n%s", list(findings), test.want)
			}
			if text := list(findings); strings.Contains(text, os.TempDir()) || strings.Contains(text, "secret value") {
				t.Errorf("a finding shows this machine's folders or a value:\n%s", text)
			}
		})
	}
}

// TestManyFindings resolves a recipe with a thousand faults: a hundred are told.
func TestManyFindings(t *testing.T) {
	compose := "version: '3.8'\nservices:\n  app:\n    image: a:1\n    deploy:\n      labels:\n"
	for i := range 1000 {
		compose += fmt.Sprintf("      - com.docker.x%d=1\n", i)
	}
	app, findings, err := write(t, map[string]string{".env.sample": "", "compose.yml": compose}).Resolve(abra.Options{Domain: domain})
	if err != nil || app != nil {
		t.Fatal(app, err)
	}
	if len(findings) != 101 || findings[0].Text != "and 900 more findings" && findings[100].Text != "and 900 more findings" {
		t.Errorf("%d findings are told; the first and the last are\n%s\n%s", len(findings), findings[0], findings[len(findings)-1])
	}
}

// TestEnvironmentOfThisProcess makes sure that nothing of the runner's own
// environment gets into an app.
func TestEnvironmentOfThisProcess(t *testing.T) {
	t.Setenv("RUNNER_TOKEN", "hunter2")
	recipe := write(t, map[string]string{
		".env.sample": "A=x${RUNNER_TOKEN}\n",
		"vars.env":    "RUNNER_TOKEN\nB=${RUNNER_TOKEN}\n",
		"compose.yml": "version: '3.8'\nservices:\n  app:\n    image: a:1${RUNNER_TOKEN}\n    env_file: vars.env\n    environment: [RUNNER_TOKEN, 'C=${RUNNER_TOKEN:-none}']\n",
	})
	app, findings, err := recipe.Resolve(abra.Options{Domain: domain})
	if err != nil || app == nil {
		t.Fatal(err, list(findings))
	}
	if text := string(render(t, app, findings)); strings.Contains(text, "hunter2") {
		t.Errorf("the process's environment is in the app:\n%s", text)
	}
}

func TestSecrets(t *testing.T) {
	const compose = "version: '3.8'\nservices:\n  app: {image: 'a:1', secrets: [key]}\nsecrets:\n  key: {external: true, name: '${STACK_NAME}_key_${SECRET_KEY_VERSION}'}\n"
	for _, test := range []struct {
		sentence, line string
		length         int
		alphabet       string
	}{
		{"without modifiers: 32 letters and digits", "SECRET_KEY_VERSION=v1", 32, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"},
		{"a length", "SECRET_KEY_VERSION=v1 # length=128", 128, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"},
		{"hexadecimal digits", "SECRET_KEY_VERSION=v1   # length=200 charset=hex", 200, "0123456789abcdef"},
		{"characters that need no quotes", "SECRET_KEY_VERSION=v1 # length=200 charset=safespecial", 200, "!@#%^&*_-+="},
		{"two sets", "SECRET_KEY_VERSION=v1 # length=300 charset=hex,safespecial", 300, "0123456789abcdef!@#%^&*_-+="},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			t.Parallel()
			recipe := write(t, map[string]string{".env.sample": test.line, "compose.yml": compose})
			seen := map[string]bool{}
			for range 2 {
				app, findings, err := recipe.Resolve(abra.Options{Domain: domain})
				if err != nil || app == nil {
					t.Fatal(err, list(findings))
				}
				value := string(app.Secrets[0].Data)
				if len(value) != test.length || strings.Trim(value, test.alphabet) != "" {
					t.Errorf("the secret is %q, want %d of %q", value, test.length, test.alphabet)
				}
				if len(app.Generated) != 1 || app.Generated[0] != value {
					t.Errorf("to be masked are %q", app.Generated)
				}
				seen[value] = true
			}
			if len(seen) != 2 {
				t.Error("two jobs have the same secret")
			}
		})
	}
	t.Run("a value given isn't generated, whatever its name's case", func(t *testing.T) {
		recipe := write(t, map[string]string{".env.sample": "SECRET_KEY_VERSION=v1 # generate=false", "compose.yml": compose})
		app, findings, err := recipe.Resolve(abra.Options{Domain: domain, Secrets: map[string]string{"KEY": "given"}})
		if err != nil || app == nil {
			t.Fatal(err, list(findings))
		}
		if string(app.Secrets[0].Data) != "given" || len(app.Generated) != 0 {
			t.Errorf("the secret is %q, generated are %q", app.Secrets[0].Data, app.Generated)
		}
	})
	t.Run("a value given stands before the recipe's own file", func(t *testing.T) {
		recipe := write(t, map[string]string{".env.sample": "", "compose.yml": "version: '3.8'\nservices:\n  app: {image: 'a:1', secrets: [some-key]}\nsecrets: {some-key: {file: key}}\n", "key": "x"})
		app, findings, err := recipe.Resolve(abra.Options{Domain: domain, Secrets: map[string]string{"SOME_KEY": "given"}})
		if err != nil || app == nil {
			t.Fatal(err, list(findings))
		}
		if string(app.Secrets[0].Data) != "given" {
			t.Errorf("the secret is %q", app.Secrets[0].Data)
		}
	})
	t.Run("a value that is empty is refused", func(t *testing.T) {
		recipe := write(t, map[string]string{".env.sample": "SECRET_KEY_VERSION=v1", "compose.yml": compose})
		app, findings, err := recipe.Resolve(abra.Options{Domain: domain, Secrets: map[string]string{"key": ""}})
		if err != nil || app != nil || !strings.Contains(list(findings), "has 0 bytes") {
			t.Error(err, list(findings))
		}
	})
	t.Run("without randomness there is an error, not a weak secret", func(t *testing.T) {
		recipe := write(t, map[string]string{".env.sample": "SECRET_KEY_VERSION=v1", "compose.yml": compose})
		if _, _, err := recipe.Resolve(abra.Options{Domain: domain, Random: strings.NewReader("")}); err == nil {
			t.Error("no error")
		}
	})
}

func TestTimeout(t *testing.T) {
	for _, test := range []struct {
		sentence, value string
		want            time.Duration
		warned          bool
	}{
		{"seconds", "300", 5 * time.Minute, false},
		{"nothing", "", 0, false},
		{"a duration isn't seconds", "5m", 0, true},
		{"longer than a day", "90000", 0, true},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			t.Parallel()
			recipe := write(t, map[string]string{".env.sample": "TIMEOUT=" + test.value,
				"compose.yml": "version: '3.8'\nservices:\n  app:\n    image: a:1\n    deploy: {labels: ['coop-cloud.${STACK_NAME}.timeout=${TIMEOUT}']}\n"})
			app, findings, err := recipe.Resolve(abra.Options{Domain: domain})
			if err != nil || app == nil {
				t.Fatal(err, list(findings))
			}
			if app.Timeout != test.want || (len(findings) > 0) != test.warned {
				t.Errorf("the timeout is %v, findings:\n%s", app.Timeout, list(findings))
			}
		})
	}
}

// TestProxyHasNoShortNames checks that a neighbour asking for "app" or "db" on
// the shared network isn't given this app's.
func TestProxyHasNoShortNames(t *testing.T) {
	app, findings := resolveCase(t, "networks: {proxy: {aliases: ['${STACK_NAME}_web']}, internal: {aliases: [web]}}",
		"    db: {image: 'b:1', networks: [proxy]}\nnetworks: {internal: }")
	if app == nil {
		t.Fatal(list(findings))
	}
	for _, service := range app.Services {
		for _, network := range service.TaskTemplate.Networks {
			for _, alias := range network.Aliases {
				if network.Target == "proxy" && !strings.HasPrefix(alias, stack+"_") {
					t.Errorf("%s answers to %q on the proxy", service.Name, alias)
				}
			}
		}
	}
	if len(findings) != 1 || findings[0].Service != "db" || !strings.Contains(findings[0].Text, "short names aren't answered") {
		t.Errorf("nobody says that db has no short name:\n%s", list(findings))
	}
}

func TestWrongDomain(t *testing.T) {
	recipe := write(t, map[string]string{".env.sample": "", "compose.yml": "services: {}"})
	for _, domain := range []string{"", "A.example.org", "a b", "a`) || Host(`b", "a.", "-a"} {
		if _, _, err := recipe.Resolve(abra.Options{Domain: domain}); err == nil {
			t.Errorf("%q was taken for a domain", domain)
		}
	}
}

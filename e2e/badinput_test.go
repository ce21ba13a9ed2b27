package e2e_test

import (
	"io/fs"
	"maps"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/gitea"
)

var repositoryName = regexp.MustCompile(`[^a-z]+`)

const (
	workflowFile = ".gitea/workflows/ci.yml"
	oneStep      = "- run: echo never"
)

// small is a recipe of one service without an address, with these files over
// its own; an empty one isn't there.
func small(files map[string]string) fs.FS {
	all := map[string]string{
		"compose.yml": compose("image: cc-ci-lab/hello:1"),
		".env.sample": "TYPE=small\n",
		workflowFile:  workflow(oneStep),
	}
	maps.Copy(all, files)
	maps.DeleteFunc(all, func(_, text string) bool { return text == "" })
	return gitea.Files(all)
}

// compose is a compose file with this text as its service app.
func compose(service string) string {
	return "version: \"3.8\"\nservices:\n  app:\n" + indent(service, "    ")
}

// routed is a service that Traefik serves at host.
func routed(host string) string {
	return "image: cc-ci-lab/hello:1\nnetworks: [proxy]\ndeploy:\n  labels:\n" +
		"    - \"traefik.enable=true\"\n" +
		"    - \"traefik.http.routers.${STACK_NAME}.rule=Host(`" + host + "`)\"\n" +
		"    - \"traefik.http.routers.${STACK_NAME}.entrypoints=web-secure\"\n" +
		"    - \"traefik.http.services.${STACK_NAME}.loadbalancer.server.port=8080\""
}

// TestBadRecipes: each mistake fails the job, not the daemon, with one message
// that says what to do, and leaves nothing. The cases share one daemon: it must
// be as good as new after each.
func TestBadRecipes(t *testing.T) {
	w := newWorld(t)
	w.daemon("timeouts: {pull: 1m, route: 5s}")
	for _, c := range []struct {
		name  string
		files map[string]string // over those of a small recipe without a domain
		wants []string
	}{
		{"broken workflow", map[string]string{workflowFile: "on: push\njobs:\n  test:\n    runs-on: cc-ci\n    steps:\n      - id: a\n        run: echo\n      - id: a\n        run: echo\n"},
			[]string{"::error::workflow: ", "line "}},
		{"broken compose", map[string]string{"compose.yml": "version: \"3.8\"\nservices:\n  app:\n    image: [oops\n"},
			[]string{"::error::", "compose.yml:"}},
		{"unknown compose key", map[string]string{"compose.yml": compose("image: cc-ci-lab/hello:1\nimagine: true")},
			[]string{"::error::", "imagine"}},
		{"no env sample", map[string]string{".env.sample": ""},
			[]string{"::error::", ".env.sample"}},
		{"missing image", map[string]string{"compose.yml": compose("image: cc-ci-lab/nowhere:1")},
			[]string{"::error::pull", "cc-ci-lab/nowhere:1"}},
		{"a name too long", map[string]string{"compose.yml": compose("image: cc-ci-lab/hello:1") + "  " + strings.Repeat("long", 12) + ":\n    image: cc-ci-lab/hello:1\n"},
			[]string{"::error::", "63"}},
		{"out of its place", map[string]string{"compose.yml": compose("image: cc-ci-lab/hello:1\nvolumes: [\"/var/run/docker.sock:/var/run/docker.sock\"]")},
			[]string{"::error::", "service app", "volumes"}},
		{"another host's rule", map[string]string{"compose.yml": compose(routed("git.autonomic.zone"))},
			[]string{"::error::", "rule", "matches other hosts"}},
		{"a misspelt setting", map[string]string{workflowFile: "env:\n  CC_CI_HEALTH_PAHT: /x\n" + workflow(oneStep)},
			[]string{"::error::", "CC_CI_HEALTH_PATH"}},
		{"never healthy", map[string]string{"compose.yml": compose("image: cc-ci-lab/hello:1\nenvironment: [HELLO_FAIL=unhealthy]\nhealthcheck: {test: [CMD, /hello, health], interval: 1s, retries: 2}\ndeploy:\n  restart_policy: {delay: 0s}")},
			[]string{"::error::converge", "health"}},
		{"no answer at the address", map[string]string{
			"compose.yml": compose(routed("${DOMAIN}")) + "networks:\n  proxy:\n    external: true\n",
			".env.sample": "TYPE=small\nDOMAIN=small.example.com\n",
			workflowFile:  "env: {CC_CI_HEALTH_PATH: /nowhere}\n" + workflow(oneStep)},
			[]string{"::error::routed", "/nowhere", "404"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := w.as(t)
			w.unchanged()
			repo, commit := w.push(repositoryName.ReplaceAllString(c.name, "-"), small(c.files))
			job, log := w.finish(repo, w.job(repo, commit))
			if job.Conclusion != "failure" {
				t.Errorf("the job ended with %q", job.Conclusion)
			}
			w.contains(log, c.wants...)
			if strings.Contains(log, "\nnever") {
				t.Error("a step ran")
			}
		})
	}
}

// TestBadHost: what is wrong with the host is said by the daemon itself, at
// once and with what to do, and ends it with a code of its own.
func TestBadHost(t *testing.T) {
	w := newWorld(t)
	d := w.register()
	closed := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	nowhere := closed.Addr().String()
	closed.Close()
	dir := filepath.Dir(d.config)
	w.write(filepath.Join(dir, "wrong-token"), "0123456789012345678901234567890123456789")
	right := must(w.admin.RegistrationToken(t.Context(), w.org))(t)
	w.write(filepath.Join(dir, "right-token"), right)

	register := func(url, token string) []string {
		return []string{"register", "--instance", url, "--token-file", filepath.Join(dir, token), "--labels", "cc-ci",
			"--name", "bad", "--config", w.variant(d, "other.yml", "identity", filepath.Join(dir, "other.json"))}
	}
	for _, c := range []struct {
		name string
		args []string
		want string // a regular expression
	}{
		{"wrong token", register(w.lab.Facts.Gitea.URL, "wrong-token"), `token`},
		{"missing token file", register(w.lab.Facts.Gitea.URL, "no-token"), `no-token`},
		{"unreachable Gitea", register("http://"+nowhere, "right-token"), `(?s)reach|connect|answer`},
		{"something else than Gitea", register("https://"+w.lab.Facts.Address, "right-token"), `.`},
		{"no engine", []string{"daemon", "--config", w.variant(d, "engine.yml", "docker_host", "unix:///run/nowhere.sock")}, `is it running`},
		{"no proxy network", []string{"daemon", "--config", w.variant(d, "proxy.yml", "proxy_network", "nowhere")}, `docker network create`},
		{"a misspelt key", []string{"daemon", "--config", w.variant(d, "key.yml", "capactiy", "2")}, `key\.yml:\d+.*capacity`},
		{"no identity", []string{"daemon", "--config", w.variant(d, "identity.yml", "identity", filepath.Join(dir, "none.json"))}, `cc-ci register`},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			out, code := w.as(t).cli(c.args...)
			if code == 0 || !regexp.MustCompile(c.want).MatchString(out) {
				t.Errorf("exit code %d, want another than 0 and %q in\n%s", code, c.want, out)
			}
			if strings.Contains(out, right) {
				t.Error("the token is in the output")
			}
			if took := time.Since(start); took > 90*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// TestNoTraefik: a job on a host whose Traefik is away fails with that, as the
// runner's fault.
func TestNoTraefik(t *testing.T) {
	w := newWorld(t)
	w.daemon("https_port: 9", "timeouts: {route: 5s}")
	repo, commit := w.push("hello", w.recipe(oneStep)...)
	job, log := w.finish(repo, w.job(repo, commit))
	if job.Conclusion != "failure" {
		t.Errorf("the job ended with %q", job.Conclusion)
	}
	w.contains(log, "::error::routed (the runner's side, not the recipe's)", "Traefik", "all gone")
}

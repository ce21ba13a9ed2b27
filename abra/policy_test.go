package abra_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"git.autonomic.zone/recipe-maintainers/cc-ci/abra"
)

const (
	domain = "hell-k3x9q2.ci.example.org"
	stack  = "hell-k3x9q2_ci_example_org"
)

// base is a recipe without a fault. The cases change it by a second file.
const base = `version: "3.8"
services:
  app:
    image: example/app:1.0.0
    networks: [proxy]
    deploy:
      labels:
        - traefik.enable=true
        - traefik.http.services.${STACK_NAME}.loadbalancer.server.port=80
        - traefik.http.routers.${STACK_NAME}.rule=Host(` + "`${DOMAIN}`" + `)
        - traefik.http.routers.${STACK_NAME}.tls.certresolver=${LETS_ENCRYPT_ENV}
networks:
  proxy:
    external: true
`

// write makes a recipe of the files given, by name.
func write(t *testing.T, files map[string]string) *abra.Recipe {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "sample")
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			if err := os.Symlink(target, path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	recipe, err := abra.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return recipe
}

// indent puts a snippet under services: app:.
func indent(snippet string) string {
	if snippet == "" {
		return " {}\n"
	}
	return "\n      " + strings.ReplaceAll(strings.TrimRight(snippet, "\n"), "\n", "\n      ") + "\n"
}

// resolveCase resolves the base with a snippet for its service app (which
// begins in line 4 of compose.case.yml) and one for the file's top.
func resolveCase(t *testing.T, app, top string) (*abra.App, []abra.Finding) {
	t.Helper()
	recipe := write(t, map[string]string{
		".env.sample":      "TYPE=sample\nDOMAIN=sample.example.com\nLETS_ENCRYPT_ENV=production\nEVIL=other.example.org\nBIND=/etc\n",
		"compose.yml":      base,
		"compose.case.yml": "version: \"3.8\"\nservices:\n    app:" + indent(app) + top + "\n",
		"file.txt":         "text",
	})
	resolved, findings, err := recipe.Resolve(abra.Options{Domain: domain, ComposeFile: "$COMPOSE_FILE:compose.case.yml", Env: "COMPOSE_FILE=compose.yml"})
	if err != nil {
		t.Fatal(err)
	}
	return resolved, findings
}

func TestPolicyRefuses(t *testing.T) {
	for _, test := range []struct {
		sentence, app, top string
		key, text          string
		line               int
	}{
		{"a path of the host's", "volumes:\n- /etc:/host", "", "volumes[/host]", "a path of the host's", 5},
		{"a path of the recipe's, which is on the host, too", "volumes:\n- ./data:/data", "", "volumes[/data]", "a path of the host's", 5},
		{"Docker's socket in the long form", "volumes:\n- type: bind\n  source: /var/run/docker.sock\n  target: /sock", "", "volumes[/sock]", "a path of the host's", 5},
		{"a path out of a variable", "volumes:\n- ${BIND}:/host", "", "volumes[/host]", "/etc is a path", 5},
		{"a named pipe", "volumes:\n- type: npipe\n  source: x\n  target: /x", "", "volumes[/x]", "type npipe", 5},
		{"a cluster volume", "volumes:\n- type: cluster\n  source: group:x\n  target: /x", "", "volumes[/x]", "type cluster", 5},
		{"a template in a mount", "volumes:\n- 'data:/x{{.Node.ID}}'", "volumes: {data: {}}", "volumes[/x{{.Node.ID}}]", "templates in a mount", 5},
		{"a volume that binds a path", "volumes:\n- data:/data", "volumes:\n  data:\n    driver_opts: {type: none, o: bind, device: /etc}", "volumes.data.driver_opts.device", "the host mounts", 8},
		{"a volume in memory of a device", "volumes:\n- data:/data", "volumes:\n  data:\n    driver_opts: {type: tmpfs, device: /dev/sda}", "volumes.data.driver_opts.device", "the host mounts", 8},
		{"a volume of another machine", "", "volumes:\n  data:\n    driver_opts: {type: nfs, o: addr=10.0.0.1, device: ':/x'}", "volumes.data.driver_opts.device", "the host mounts", 6},
		{"a driver of volumes", "", "volumes:\n  data:\n    driver: rexray", "volumes.data.driver", "outside of this engine", 6},
		{"an external volume", "", "volumes:\n  data:\n    external: true\n    name: other_data", "volumes.data", "other_data is a volume outside", 5},
		{"an external volume in the old form", "", "volumes:\n  data:\n    external: {name: other_data}", "volumes.data", "other_data is a volume outside", 5},
		{"a volume under another stack's name", "", "volumes:\n  data:\n    name: other_data", "volumes.data.name", "isn't of this stack", 6},
		{"a volume whose name only begins like the stack's", "", "volumes:\n  data:\n    name: ${STACK_NAME}x_data", "volumes.data.name", "isn't of this stack", 6},
		{"a privileged container", "privileged: true", "", "privileged", "root on the host", 4},
		{"all capabilities", "cap_add: [ALL]", "", "cap_add", "power over the host", 4},
		{"a capability in lower case", "cap_add: [sys_admin]", "", "cap_add", "CAP_SYS_ADMIN", 4},
		{"the host's processes", "pid: host", "", "pid", "namespaces", 4},
		{"the host's IPC", "ipc: host", "", "ipc", "namespaces", 4},
		{"the host's users", "userns_mode: host", "", "userns_mode", "namespaces", 4},
		{"the host's network", "network_mode: host", "", "network_mode", "namespaces", 4},
		{"another container's network", "network_mode: 'container:x'", "", "network_mode", "namespaces", 4},
		{"a cgroup of the host's", "cgroup_parent: /", "", "cgroup_parent", "namespaces", 4},
		{"a device", "devices: ['/dev/kvm:/dev/kvm']", "", "devices", "belongs to the host", 4},
		{"no seccomp", "security_opt: ['seccomp:unconfined']", "", "security_opt", "confines", 4},
		{"a kernel setting of the host's", "sysctls: {kernel.core_pattern: '|/x'}", "", "sysctls.kernel.core_pattern", "kernel setting", 4},
		{"an account of the host's", "credential_spec: {file: x.json}", "", "credential_spec", "account of the host", 0},
		{"a port", "ports: ['8080:80']", "", "ports", "(8080) is the whole host's", 4},
		{"a port in host mode", "ports:\n- {target: 80, published: 80, mode: host}", "", "ports", "(80) is the whole host's", 4},
		{"a port chosen by the engine", "ports: ['80']", "", "ports", "whole host's", 4},
		{"too many replicas", "deploy: {replicas: 21}", "", "deploy.replicas", "21 replicas", 4},
		{"a log that goes elsewhere", "logging: {driver: syslog, options: {syslog-address: 'tcp://10.0.0.1:514'}}", "", "logging", "syslog", 4},
		{"another external network", "networks: [other]", "networks:\n  other: {external: true}", "networks.other", "other is a network outside", 6},
		{"another external network under the proxy's key", "", "networks:\n  proxy: {external: true, name: other}", "networks.proxy", "other is a network outside", 5},
		{"the host's network as an external one", "networks: [h]", "networks:\n  h: {external: true, name: host}", "networks.h", "host is a network outside", 6},
		{"a network under another stack's name", "networks: [n]", "networks:\n  n: {name: other_default}", "networks.n.name", "isn't of this stack", 6},
		{"a network of the host's interfaces", "networks: [n]", "networks:\n  n: {driver: macvlan}", "networks.n.driver", "host's interfaces", 6},
		{"options of a network's driver", "networks: [n]", "networks:\n  n: {driver_opts: {parent: eth0}}", "networks.n.driver_opts.parent", "host's interfaces", 6},
		{"a name on the proxy that isn't its own", "networks:\n  proxy: {aliases: [other_app]}", "", "networks.proxy.aliases", "answered to other apps", 5},
		{"an external secret of another stack", "secrets: [s]", "secrets:\n  s: {external: true, name: other_s_v1}", "secrets.s.name", "isn't of this stack", 6},
		{"an external secret without a name", "secrets: [s]", "secrets:\n  s: {external: true}", "secrets.s.name", "isn't of this stack", 6},
		{"an external config of another stack", "", "configs:\n  c: {external: true, name: other_c_v1}", "configs.c.name", "isn't of this stack", 5},
		{"a secret by a driver", "secrets: [s]", "secrets:\n  s: {driver: vault}", "secrets.s.driver", "from outside", 6},
		{"a config from outside of the folder", "", "configs:\n  c: {file: ../../../../etc/passwd}", "configs.c.file", "outside of the recipe", 5},
		{"a config from an absolute path", "", "configs:\n  c: {file: /etc/passwd}", "configs.c.file", "outside of the recipe", 5},
		{"a secret from outside of the folder", "secrets: [s]", "secrets:\n  s: {file: /etc/shadow}", "secrets.s.file", "outside of the recipe", 6},
		{"an env_file from outside of the folder", "env_file: ../../x.env", "", "env_file[0]", "outside of the recipe", 4},
		{"an env_file from outside by a variable", "env_file: ['file.txt', '${BIND}/passwd']", "", "env_file[1]", "outside of the recipe", 4},
		{"cc-ci's own labels on the service", "deploy: {labels: {zone.autonomic.cc-ci.runner: x}}", "", "deploy.labels.zone.autonomic.cc-ci.runner", "whose an object is", 4},
		{"cc-ci's own labels on containers", "labels: ['Zone.Autonomic.cc-ci.task=1']", "", "labels.Zone.Autonomic.cc-ci.task", "whose an object is", 4},
		{"cc-ci's own labels on a volume", "", "volumes:\n  data: {labels: {zone.autonomic.cc-ci.slug: x}}", "volumes.data.labels.zone.autonomic.cc-ci.slug", "whose an object is", 5},
		{"another stack's label", "deploy: {labels: {com.docker.stack.namespace: other}}", "", "deploy.labels.com.docker.stack.namespace", "which stack", 4},
		{"the labels from which Traefik would name the service", "deploy: {labels: {com.docker.compose.service: x}}", "", "deploy.labels.com.docker.compose.service", "which stack", 4},
		{"another app's description", "deploy: {labels: {coop-cloud.other.version: x}}", "", "deploy.labels.coop-cloud.other.version", "another app", 4},
		{"another host in a list of labels", "deploy:\n  labels:\n  - traefik.http.routers.${STACK_NAME}-x.rule=Host(`other.org`)", "", "deploy.labels.traefik.http.routers." + stack + "-x.rule", "other hosts", 6},
		{"another host in a map of labels", "deploy:\n  labels:\n    traefik.http.routers.hell-k3x9q2_ci_example_org.rule: Host(`other.org`)", "", "deploy.labels.traefik.http.routers." + stack + ".rule", "other hosts", 6},
		{"another host by a variable", "deploy:\n  labels:\n  - traefik.http.routers.${STACK_NAME}-x.rule=Host(`${EVIL}`)", "", "deploy.labels.traefik.http.routers." + stack + "-x.rule", "other hosts", 6},
		{"another host on the containers", "labels: ['traefik.http.routers.${STACK_NAME}.rule=Host(`other.org`)']", "", "labels.traefik.http.routers." + stack + ".rule", "other hosts", 4},
		{"Traefik's default rule for a second service", "", "    more:\n      image: a:1\n      deploy: {labels: [traefik.enable=true]}", "deploy.labels.traefik.enable", "without a router", 6},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			t.Parallel()
			app, findings := resolveCase(t, test.app, test.top)
			if app != nil {
				t.Error("there is an app in spite of it")
			}
			for _, f := range findings {
				if f.Level == abra.Error && f.Rule == "policy" && f.Key == test.key && strings.Contains(f.Text, test.text) {
					if f.File != "compose.case.yml" || f.Line != test.line && test.line != 0 {
						t.Errorf("found at %s:%d, want compose.case.yml:%d", f.File, f.Line, test.line)
					}
					if f.Hint == "" {
						t.Error("no hint says what to do")
					}
					return
				}
			}
			t.Fatalf("no finding for %s says %q:\n%s", test.key, test.text, list(findings))
		})
	}
}

func list(findings []abra.Finding) string {
	var text strings.Builder
	for _, f := range findings {
		fmt.Fprintln(&text, f)
	}
	return text.String()
}

func TestPolicyAllows(t *testing.T) {
	for _, test := range []struct {
		sentence, app, top string
		warning            string // "" for no finding at all
	}{
		{"nothing more than abra recipe new writes", "", "", ""},
		{"a volume of its own", "volumes: ['data:/data']", "volumes: {data: {}}", ""},
		{"a volume with the stack's name", "volumes: ['data:/data']", "volumes: {data: {name: '${STACK_NAME}_d'}}", ""},
		{"a volume without a name", "volumes: [/data]", "", ""},
		{"memory", "volumes: [{type: tmpfs, target: /tmp}]", "", ""},
		{"a volume in memory", "volumes: ['data:/data']", "volumes: {data: {driver_opts: {type: tmpfs, device: tmpfs, o: size=10m}}}", ""},
		{"capabilities that Docker gives anyway", "cap_drop: [ALL]\ncap_add: [chown, SETUID, NET_BIND_SERVICE, CAP_IPC_LOCK]", "", ""},
		{"no new privileges", "security_opt: ['no-new-privileges:true']", "", ""},
		{"kernel settings of its own network", "sysctls: {net.core.somaxconn: 1024, net.ipv4.tcp_keepalive_time: 60}", "", ""},
		{"a network of its own with names", "networks: {internal: {aliases: [web, db]}}", "networks: {internal: {internal: true}}", ""},
		{"global mode, limits, an init", "init: true\ndeploy: {mode: global, resources: {limits: {memory: 64M, cpus: '0.5'}}}", "", ""},
		{"twenty replicas", "deploy: {replicas: 20}", "", ""},
		{"depends_on, restart and container_name, which Swarm ignores and recipes have", "depends_on: [app]\nrestart: always\ncontainer_name: x", "", ""},
		{"a log of the engine", "logging: {driver: json-file, options: {max-size: 10m}}", "", ""},
		{"its own name on the proxy", "networks: {proxy: {aliases: ['${STACK_NAME}_web']}}", "", ""},
		{"hosts of its own", "extra_hosts: ['db:10.0.0.1']", "", ""},
		{"the domain as host name", "hostname: ${DOMAIN}", "", ""},
		{"a host name of the engine's", "hostname: '{{.Node.Hostname}}-{{.Task.Slot}}'", "", ""},
		{"another host name is left out", "hostname: db", "", "is left out"},
		{"a host name that a template hides is left out", "hostname: '{{\"db\"}}'", "", "is left out"},
		{"placement", "deploy: {placement: {constraints: [node.role == manager]}}", "", "waits for ever"},
		{"tmpfs, which Swarm ignores", "tmpfs: /tmp", "", "Swarm ignores it"},
		{"a subnet", "networks: [n]", "networks: {n: {ipam: {config: [{subnet: 10.1.0.0/24}]}}}", "same subnet"},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			t.Parallel()
			app, findings := resolveCase(t, test.app, test.top)
			if app == nil {
				t.Fatalf("refused:\n%s", list(findings))
			}
			switch {
			case test.warning == "" && len(findings) > 0:
				t.Errorf("found:\n%s", list(findings))
			case test.warning != "" && (len(findings) != 1 || findings[0].Level != abra.Warning || !strings.Contains(findings[0].Text, test.warning)):
				t.Errorf("no single warning says %q:\n%s", test.warning, list(findings))
			}
		})
	}
}

// TestPolicySeesThroughYAML hides what is refused in every way that YAML, the
// env and merging offer.
func TestPolicySeesThroughYAML(t *testing.T) {
	const tail = "\nnetworks: {proxy: {external: true}}\n"
	route := func(host string) string {
		return "deploy: {labels: {traefik.enable: 'true', 'traefik.http.routers." + stack + ".rule': 'Host(`" + host + "`)'}}"
	}
	for _, test := range []struct {
		sentence string
		files    map[string]string
		options  abra.Options
		file     string
		line     int
		text     string
	}{
		{"an anchor in an extension field", map[string]string{"compose.yml": "version: '3.8'\nx-a: &a\n  privileged: true\nservices:\n  app:\n    <<: *a\n    image: a:1" + tail},
			abra.Options{}, "compose.yml", 3, "root on the host"},
		{"a merge key of several maps", map[string]string{"compose.yml": "version: '3.8'\nx-a: &a {image: 'a:1'}\nx-b: &b\n  pid: host\nservices:\n  app:\n    <<: [*a, *b]" + tail},
			abra.Options{}, "compose.yml", 4, "namespaces"},
		{"an alias for a whole service", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app: &a\n    image: a:1\n    ports: ['1:1']\n  more: *a" + tail},
			abra.Options{}, "compose.yml", 5, "whole host's"},
		{"a file that COMPOSE_FILE of .env.sample adds", map[string]string{"compose.yml": "version: '3.8'\nservices: {app: {image: 'a:1'}}" + tail,
			".env.sample": "COMPOSE_FILE=compose.yml:sub/more.yml", "sub/more.yml": "version: '3.8'\nservices:\n  app:\n    privileged: true"},
			abra.Options{}, "sub/more.yml", 4, "root on the host"},
		{"a later file that can't take back what an earlier one asks", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app:\n    image: a:1\n    privileged: true" + tail,
			"b.yml": "version: '3.8'\nservices: {app: {privileged: false}}"},
			abra.Options{ComposeFile: "compose.yml:b.yml"}, "b.yml", 2, "root on the host"},
		{"true as a text from a variable", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app:\n    image: a:1\n    privileged: ${P}" + tail},
			abra.Options{Env: "P=yes"}, "compose.yml", 5, "root on the host"},
		{"external as a text from a variable", map[string]string{"compose.yml": "version: '3.8'\nservices: {app: {image: 'a:1'}}\nvolumes:\n  v:\n    external: ${P}\n" + tail},
			abra.Options{Env: "P=on"}, "compose.yml", 4, "is a volume outside"},
		{"a default behind a variable that isn't set", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app:\n    image: a:1\n    volumes:\n    - ${B:-/etc}:/x" + tail},
			abra.Options{}, "compose.yml", 6, "/etc is a path"},
		{"abra.sh exports another DOMAIN", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app:\n    image: a:1\n    " + route("evil.example.net") + tail,
			"abra.sh": "export DOMAIN=evil.example.net\nexport STACK_NAME=evil"},
			abra.Options{}, "compose.yml", 5, "other hosts"},
		{"a job's CC_CI_ENV sets a variable of the rule", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app:\n    image: a:1\n    " + route("${D:-x}") + tail},
			abra.Options{Env: "D=evil.example.net"}, "compose.yml", 5, "other hosts"},
		{"EXTRA_DOMAINS in the form of Traefik v2", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app:\n    image: a:1\n    " + route(domain+"`${E}, `"+domain) + tail},
			abra.Options{Env: "E=', `www.example.net`'"}, "compose.yml", 5, "other hosts"},
		{"a rule that a dollar escapes from the check", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app:\n    image: a:1\n    " + route("$${DOMAIN}") + tail},
			abra.Options{}, "compose.yml", 5, "other hosts"},
		{"a label written twice, in two cases", map[string]string{"compose.yml": "version: '3.8'\nservices:\n  app:\n    image: a:1\n    deploy:\n      labels:\n        traefik.http.routers." + stack + ".rule: Host(`" + domain + "`)\n        traefik.http.routers." + stack + ".Rule: Host(`evil`)" + tail},
			abra.Options{}, "compose.yml", 8, "other hosts"},
		{"an older form of the file that knows no deploy", map[string]string{"compose.yml": "version: '2.4'\nservices: {app: {image: 'a:1', privileged: true}}"},
			abra.Options{}, "compose.yml", 0, "unsupported Compose file version: 2.4"},
		{"a compose file that is a link out of the folder", map[string]string{"compose.yml": "-> /etc/hostname"}, abra.Options{}, "compose.yml", 0, "outside of the recipe"},
		{"a folder that is a link out of the folder", map[string]string{"compose.yml": "version: '3.8'\nservices: {app: {image: 'a:1'}}\nconfigs:\n  c:\n    file: etc/hostname" + tail, "etc": "-> /etc"},
			abra.Options{}, "compose.yml", 5, "outside of the recipe"},
		{"a COMPOSE_FILE out of the folder", map[string]string{"compose.yml": "version: '3.8'\nservices: {app: {image: 'a:1'}}" + tail},
			abra.Options{ComposeFile: "compose.yml:../../etc/passwd"}, "../../etc/passwd", 0, "outside of the recipe"},
		{"an .env.sample that is a link out of the folder", map[string]string{"compose.yml": "services: {}", ".env.sample": "-> /etc/passwd"}, abra.Options{}, ".env.sample", 0, "outside of the recipe"},
		{"an abra.sh that is a link out of the folder", map[string]string{"compose.yml": "services: {}", "abra.sh": "-> /etc/passwd"}, abra.Options{}, "abra.sh", 0, "outside of the recipe"},
	} {
		t.Run(test.sentence, func(t *testing.T) {
			t.Parallel()
			if _, ok := test.files[".env.sample"]; !ok {
				test.files[".env.sample"] = "TYPE=sample\n"
			}
			test.options.Domain = domain
			app, findings, err := write(t, test.files).Resolve(test.options)
			if err != nil {
				t.Fatal(err)
			}
			if app != nil {
				t.Error("there is an app in spite of it")
			}
			for _, f := range findings {
				if f.Level == abra.Error && strings.Contains(f.Text, test.text) && f.File == test.file && (f.Line == test.line) {
					return
				}
			}
			t.Fatalf("nothing at %s:%d says %q:\n%s", test.file, test.line, test.text, list(findings))
		})
	}
}

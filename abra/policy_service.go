package abra

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"git.autonomic.zone/recipe-maintainers/cc-ci/traefik"
	"github.com/docker/cli/cli/compose/types"
	"github.com/docker/cli/opts"
)

// policy refuses what would let an app reach out of its place: the host,
// another app, a route that isn't its own. It judges the app as resolved: after
// variables are filled in and files merged, so that no spelling matters.
type policy struct {
	*findings
	config *types.Config
	stack  string
	domain string
	proxy  string
	routed bool
}

// What one app may take of the engine it shares with other jobs.
const (
	maxReplicas   = 20      // containers of one service
	maxContainers = 60      // of all its services
	maxNetworks   = 20      // each has a subnet of its own
	maxStored     = 8 << 20 // bytes of secrets and configs, which Swarm keeps in memory on all managers
)

// allowedCaps are the capabilities a service may add: those that Docker gives
// by default (so adding them after cap_drop: ALL is fine), and two that give no
// power over the host: locking memory and its own priority.
var allowedCaps = []string{
	"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD", "CAP_NET_BIND_SERVICE",
	"CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
	"CAP_IPC_LOCK", "CAP_SYS_NICE",
}

// allowedSysctls are kernel settings of the container's own network and IPC
// namespaces that programs ask for, as patterns of path.Match.
var allowedSysctls = []string{
	"net.core.somaxconn", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_*", "net.ipv4.ping_group_range",
	"net.ipv6.conf.all.disable_ipv6", "net.ipv6.conf.default.disable_ipv6", "kernel.msg*", "kernel.sem", "kernel.shm*", "fs.mqueue.*",
}

// allowedLogDrivers keep a service's log on this engine, bounded by its own
// options.
var allowedLogDrivers = []string{"", "json-file", "local", "none"}

// services judges all services.
func (p *policy) services() {
	containers := uint64(0)
	for _, s := range p.config.Services {
		if s.Deploy.Replicas == nil {
			containers++
		} else {
			containers += min(*s.Deploy.Replicas, maxReplicas)
		}
	}
	if containers > maxContainers {
		p.refuse(at("", "services"), fmt.Sprintf("run %d or fewer", maxContainers), "%d containers would take the machine from the other jobs", containers)
	}
	for _, s := range p.config.Services {
		p.hostAccess(s)
		p.privileges(s)
		p.resources(s)
		p.mounts(s)
		p.serviceNetworks(s)
		p.labels(at(s.Name, "labels"), s.Labels)
		p.labels(at(s.Name, "deploy", "labels"), s.Deploy.Labels)
		p.traefik(s)
		p.ignored(s)
	}
}

// hostAccess refuses the host's namespaces, devices and ports.
func (p *policy) hostAccess(s types.ServiceConfig) {
	refused := []struct{ key, value string }{
		{"network_mode", s.NetworkMode}, {"pid", s.Pid}, {"cgroup_parent", s.CgroupParent},
		{"ipc", s.Ipc}, {"userns_mode", s.UserNSMode}, {"cgroupns_mode", s.CgroupNSMode},
	}
	for _, r := range refused {
		if r.value != "" && r.value != "private" {
			p.refuse(at(s.Name, r.key), "remove it", "%s would take the service out of its own namespaces into the host's or another container's; Swarm ignores it elsewhere", r.value)
		}
	}
	if len(s.Devices) > 0 {
		p.refuse(at(s.Name, "devices"), "remove it", "a device belongs to the host")
	}
	if len(s.Ports) > 0 {
		p.refuse(at(s.Name, "ports"), "route through Traefik, or reach the service from a step by its name",
			"a published port (%d) is the whole host's, and two jobs can't both have it", s.Ports[0].Published)
	}
	for i, host := range s.ExtraHosts {
		if strings.HasSuffix(host, ":host-gateway") {
			p.warn(rulePolicy, at(s.Name, "extra_hosts", fmt.Sprintf("[%d]", i)), "remove it", "Swarm doesn't know host-gateway")
		}
	}
}

// privileges refuses rights over the host's kernel.
func (p *policy) privileges(s types.ServiceConfig) {
	if s.Privileged {
		p.refuse(at(s.Name, "privileged"), "remove it, and add the capability that is needed if it is allowed", "a privileged container is root on the host")
	}
	added, _ := opts.EffectiveCapAddCapDrop(s.CapAdd, nil)
	for _, name := range added {
		if !slices.Contains(allowedCaps, name) {
			p.refuse(at(s.Name, "cap_add"), "do without it; allowed are Docker's default ones, IPC_LOCK and SYS_NICE", "%s gives power over the host or its networks", name)
		}
	}
	for _, option := range s.SecurityOpt {
		if option != "no-new-privileges" && option != "no-new-privileges:true" && option != "no-new-privileges=true" {
			p.refuse(at(s.Name, "security_opt"), "remove it", "%s loosens what confines the container", option)
		}
	}
	for name := range s.Sysctls {
		known := func(pattern string) bool { ok, err := path.Match(pattern, name); return ok && err == nil }
		if !slices.ContainsFunc(allowedSysctls, known) {
			p.refuse(at(s.Name, "sysctls", name), "remove it", "this kernel setting isn't one that cc-ci knows to be the container's own")
		}
	}
	if c := s.CredentialSpec; c.Config != "" || c.File != "" || c.Registry != "" {
		p.refuse(at(s.Name, "credential_spec"), "remove it", "it hands the service an account of the host's")
	}
	// docker/cli v29.9 drops oom_score_adj by a slip; a later one may not.
	if s.OomScoreAdj < 0 {
		p.refuse(at(s.Name, "oom_score_adj"), "write 0 or more", "a negative value has the kernel kill others, even the engine, before this service")
	}
	if s.Logging != nil && !slices.Contains(allowedLogDrivers, s.Logging.Driver) {
		p.refuse(at(s.Name, "logging"), "use json-file or local", "the driver %s sends the log out of the engine, where the report of a failed job can't read it", s.Logging.Driver)
	}
}

// resources bounds how much of the engine an app takes.
func (p *policy) resources(s types.ServiceConfig) {
	if s.Deploy.Replicas != nil && *s.Deploy.Replicas > maxReplicas {
		p.refuse(at(s.Name, "deploy", "replicas"), fmt.Sprintf("write %d or fewer", maxReplicas), "%d replicas would take the machine from the other jobs", *s.Deploy.Replicas)
	}
	if len(s.Deploy.Placement.Constraints) > 0 {
		p.warn(rulePolicy, at(s.Name, "deploy", "placement", "constraints"), "", "the service waits for ever where no node is as it asks")
	}
}

// mounts refuses everything but volumes of the app's own and memory.
func (p *policy) mounts(s types.ServiceConfig) {
	for _, v := range s.Volumes {
		where := at(s.Name, "volumes", v.Target)
		switch v.Type {
		case "volume", "", "tmpfs":
		case "bind":
			p.refuse(where, "use a named volume, or a config for a file of the recipe", "%s is a path of the host's", v.Source)
		default:
			p.refuse(where, "use a named volume or tmpfs", "a mount of type %s isn't the app's own", v.Type)
		}
		if strings.Contains(v.Source+v.Target, "{{") {
			p.refuse(where, "write a plain name", "Docker's templates in a mount are filled in after the check")
		}
	}
}

// serviceNetworks keeps names on the shared network to those of this stack.
func (p *policy) serviceNetworks(s types.ServiceConfig) {
	for name, network := range s.Networks {
		if network == nil {
			continue
		}
		if len(network.DriverOpts) > 0 {
			p.refuse(at(s.Name, "networks", name, "driver_opts"), "remove it", "options of a network's driver reach the host's interfaces")
		}
		if !p.isProxy(name) {
			continue
		}
		for _, alias := range network.Aliases {
			if alias != s.Name && !strings.HasPrefix(alias, p.stack+"_") {
				p.refuse(at(s.Name, "networks", name, "aliases"), "give the alias on a network of the recipe's own",
					"the name %s on %s would be answered to other apps, too", alias, p.proxy)
			}
		}
	}
}

// isProxy reports whether a network of the compose files is the shared one.
func (p *policy) isProxy(name string) bool {
	network := p.config.Networks[name]
	return network.External.External && network.Name == p.proxy
}

// labels refuses labels that make an object look like another's.
func (p *policy) labels(where place, labels types.Labels) {
	for label := range labels {
		lower := strings.ToLower(label)
		here := place{where.service, append(slices.Clone(where.keys), label)}
		switch {
		case strings.HasPrefix(lower, "zone.autonomic.cc-ci"):
			p.refuse(here, "remove it", "cc-ci's own labels say whose an object is")
		case strings.HasPrefix(lower, "com.docker."):
			p.refuse(here, "remove it", "Docker's own labels say which stack an object is of")
		case strings.HasPrefix(lower, "coop-cloud.") && !strings.HasPrefix(lower, "coop-cloud."+p.stack+"."):
			p.refuse(here, "write coop-cloud.${STACK_NAME}.…", "it describes another app")
		}
	}
}

// traefik judges the routes: labels on the service, which Traefik reads, and on
// its containers, which it would read with another provider.
func (p *policy) traefik(s types.ServiceConfig) {
	own := traefik.Own{Domain: p.domain, Stack: p.stack, Proxy: p.proxy}
	for _, service := range p.config.Services {
		own.Services = append(own.Services, service.Name)
	}
	for _, set := range []struct {
		keys   []string
		labels types.Labels
	}{{[]string{"deploy", "labels"}, s.Deploy.Labels}, {[]string{"labels"}, s.Labels}} {
		verdict := traefik.Judge(set.labels, own)
		for _, problem := range verdict.Problems {
			level := Error
			if problem.Warning {
				level = Warning
			}
			p.put(level, rulePolicy, at(s.Name, append(slices.Clone(set.keys), problem.Label)...), problem.Hint, "%s", problem.Text)
		}
		if len(set.keys) == 2 {
			p.routed = p.routed || verdict.Routed
		} else if verdict.Routed {
			p.warn(rulePolicy, at(s.Name, set.keys...), "move them to deploy: labels:", "Traefik reads the labels of services, not those of their containers")
		}
	}
}

// ignored tells of keys that Swarm leaves out.
func (p *policy) ignored(s types.ServiceConfig) {
	set := map[string]bool{
		"links": len(s.Links) > 0, "external_links": len(s.ExternalLinks) > 0, "mac_address": s.MacAddress != "",
		"shm_size": s.ShmSize != "", "domainname": s.DomainName != "", "tmpfs": len(s.Tmpfs) > 0,
	}
	for key, is := range set {
		if is {
			p.warn(ruleCompose, at(s.Name, key), "remove it", "Swarm ignores it")
		}
	}
	if s.Image == "" {
		hint := "add image: with a tag"
		if s.Build.Context != "" || s.Build.Dockerfile != "" {
			hint = "Swarm doesn't build: push the image to a registry and name it with image:"
		}
		p.put(Error, "R011", at(s.Name), hint, "the service has no image")
	}
}

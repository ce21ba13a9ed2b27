package abra

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/docker/cli/cli/compose/types"
)

// objects judges what the compose files define beside services.
func (p *policy) objects() {
	if len(p.config.Networks) > maxNetworks {
		p.refuse(at("", "networks"), fmt.Sprintf("define %d or fewer", maxNetworks), "%d networks would take the machine's subnets from the other jobs", len(p.config.Networks))
	}
	for _, name := range slices.Sorted(maps.Keys(p.config.Networks)) {
		p.network(name, p.config.Networks[name])
	}
	for _, name := range slices.Sorted(maps.Keys(p.config.Volumes)) {
		p.volume(name, p.config.Volumes[name])
	}
	for _, name := range slices.Sorted(maps.Keys(p.config.Secrets)) {
		p.fileObject("secrets", name, types.FileObjectConfig(p.config.Secrets[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(p.config.Configs)) {
		p.fileObject("configs", name, types.FileObjectConfig(p.config.Configs[name]))
	}
}

// owned refuses a fixed name that isn't of this stack. Every object's name
// begins with the stack's, or another app's object could be meant.
func (p *policy) owned(where place, name string) {
	if name == "" {
		return
	}
	if !strings.HasPrefix(name, p.stack+"_") {
		p.refuse(where, "begin the name with ${STACK_NAME}_, or leave it out", "the name %s isn't of this stack, so it could be another app's", name)
	} else if strings.Contains(name, "{{") {
		p.refuse(where, "write a plain name", "Docker's templates in a name are filled in after the check")
	}
}

func (p *policy) network(name string, n types.NetworkConfig) {
	p.labels(at("", "networks", name, "labels"), n.Labels)
	if n.External.External {
		if n.Name != p.proxy {
			p.refuse(at("", "networks", name), "use a network of the recipe's own", "%s is a network outside of the recipe: the one that may be used is %s", n.Name, p.proxy)
		}
		return
	}
	p.owned(at("", "networks", name, "name"), n.Name)
	if n.Driver != "" && n.Driver != "overlay" {
		p.refuse(at("", "networks", name, "driver"), "use overlay", "a network of driver %s reaches the host's interfaces", n.Driver)
	}
	for option := range n.DriverOpts {
		if option != "encrypted" && option != "com.docker.network.driver.mtu" {
			p.refuse(at("", "networks", name, "driver_opts", option), "remove it", "options of a network's driver reach the host's interfaces")
		}
	}
	if n.Ipam.Driver != "" && n.Ipam.Driver != "default" {
		p.refuse(at("", "networks", name, "ipam", "driver"), "remove it", "only Docker's own address management is there")
	}
	if len(n.Ipam.Config) > 0 {
		p.warn(rulePolicy, at("", "networks", name, "ipam"), "let Docker choose the subnet", "two jobs at once can't have the same subnet")
	}
}

// volume allows Docker's plain volumes, and those in memory.
func (p *policy) volume(name string, v types.VolumeConfig) {
	p.labels(at("", "volumes", name, "labels"), v.Labels)
	if v.External.External {
		p.refuse(at("", "volumes", name), "leave external out: each job gets its own volume", "%s is a volume outside of the recipe", v.Name)
		return
	}
	p.owned(at("", "volumes", name, "name"), v.Name)
	if v.Driver != "" && v.Driver != "local" {
		p.refuse(at("", "volumes", name, "driver"), "use local", "the driver %s keeps data outside of this engine", v.Driver)
	}
	if v.Spec != nil {
		p.refuse(at("", "volumes", name, "x-cluster-spec"), "use a plain volume", "a cluster volume is outside of the recipe")
	}
	inMemory := v.DriverOpts["type"] == "tmpfs"
	for option, value := range v.DriverOpts {
		if inMemory && (option == "type" || option == "o" || option == "device" && value == "tmpfs") && !strings.Contains(value, "{{") {
			continue
		}
		p.refuse(at("", "volumes", name, "driver_opts", option), "leave driver_opts out, or use type: tmpfs with device: tmpfs",
			"the host mounts what driver_opts say, which can be any of its paths or another machine's")
	}
}

// fileObject judges a secret or config.
func (p *policy) fileObject(kind, name string, o types.FileObjectConfig) {
	p.labels(at("", kind, name, "labels"), o.Labels)
	p.owned(at("", kind, name, "name"), o.Name)
	if o.Driver != "" || len(o.DriverOpts) > 0 {
		p.refuse(at("", kind, name, "driver"), "remove it", "a driver brings the value from outside of the recipe")
	}
	if o.TemplateDriver != "" && o.TemplateDriver != "golang" {
		p.refuse(at("", kind, name, "template_driver"), "write golang", "there is no template driver %s", o.TemplateDriver)
	}
}

package abra

import (
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/docker/cli/cli/compose/convert"
	"github.com/docker/cli/cli/compose/types"
	"github.com/docker/docker/api/types/swarm"
	moby "github.com/moby/moby/api/types/swarm"
)

// appService is the service that abra gives its labels and the .env to.
const appService = "app"

// services turns the compose files' services into Docker's specs.
type services struct {
	*findings
	objects *objects
	proxy   string
	commit  string
}

func (s services) convert() {
	app := s.objects.app
	for _, service := range s.objects.config.Services {
		if service.Name == appService {
			s.abraLabels(&service)
			exposeAllEnv(&service, app.Env)
		}
		spec, err := s.spec(service)
		if err != nil {
			s.put(Error, ruleCompose, at(service.Name), "", "docker can't make a service of it: %s", err)
			continue
		}
		s.leaveProxyAlone(service, &spec)
		app.Services = append(app.Services, spec)
		app.Images = append(app.Images, service.Image)
	}
	slices.Sort(app.Images)
	app.Images = slices.Compact(app.Images)
	s.warnProxyOnly()
}

// abraLabels adds what abra adds to the service app. A job deploys a commit,
// not a release, which abra calls chaos.
func (s services) abraLabels(service *types.ServiceConfig) {
	if service.Deploy.Labels == nil {
		service.Deploy.Labels = types.Labels{}
	}
	prefix := "coop-cloud." + s.objects.app.StackName + "."
	service.Deploy.Labels[prefix+"recipe"] = s.objects.app.Recipe
	service.Deploy.Labels[prefix+"chaos"] = "true"
	if s.commit != "" {
		service.Deploy.Labels[prefix+"chaos-version"] = s.commit
	}
}

// exposeAllEnv gives the service every variable of the app's env that it
// doesn't set itself, as abra does: templates of configs rely on it.
func exposeAllEnv(service *types.ServiceConfig, env map[string]string) {
	if service.Environment == nil {
		service.Environment = types.MappingWithEquals{}
	}
	for key, value := range env {
		if service.Environment[key] == nil {
			service.Environment[key] = &value
		}
	}
}

// spec converts one service with docker/cli's converter.
func (s services) spec(service types.ServiceConfig) (spec swarm.ServiceSpec, err error) {
	config := s.objects.config
	var converted moby.ServiceSpec
	err = guard(func() (err error) {
		converted, err = convert.Service(s.objects.namespace, service, config.Networks, config.Volumes, s.secretRefs(service), s.configRefs(service))
		return err
	})
	if err != nil {
		return spec, err
	}
	return recode[swarm.ServiceSpec](converted)
}

// secretRefs are the service's secrets by name, in the order of their names,
// as docker/cli has them.
func (s services) secretRefs(service types.ServiceConfig) []*moby.SecretReference {
	var refs []*moby.SecretReference
	for _, ref := range service.Secrets {
		file := moby.SecretReferenceFileTarget(fileTarget(types.FileReferenceConfig(ref)))
		refs = append(refs, &moby.SecretReference{File: &file, SecretName: s.objects.name(ref.Source, s.objects.config.Secrets[ref.Source].Name)})
	}
	slices.SortStableFunc(refs, func(a, b *moby.SecretReference) int { return strings.Compare(a.SecretName, b.SecretName) })
	return refs
}

func (s services) configRefs(service types.ServiceConfig) []*moby.ConfigReference {
	var refs []*moby.ConfigReference
	for _, ref := range service.Configs {
		file := fileTarget(types.FileReferenceConfig(ref))
		refs = append(refs, &moby.ConfigReference{File: &file, ConfigName: s.objects.name(ref.Source, s.objects.config.Configs[ref.Source].Name)})
	}
	slices.SortStableFunc(refs, func(a, b *moby.ConfigReference) int { return strings.Compare(a.ConfigName, b.ConfigName) })
	return refs
}

// fileTarget is where a secret or config appears in the container, with
// docker/cli's defaults.
func fileTarget(ref types.FileReferenceConfig) moby.ConfigReferenceFileTarget {
	file := moby.ConfigReferenceFileTarget{Name: ref.Target, UID: ref.UID, GID: ref.GID, Mode: 0o444}
	if file.Name == "" {
		file.Name = ref.Source
	}
	if file.UID == "" {
		file.UID = "0"
	}
	if file.GID == "" {
		file.GID = "0"
	}
	if ref.Mode != nil {
		file.Mode = os.FileMode(*ref.Mode)
	}
	return file
}

// engineHostname is a host name that the engine makes up itself, from nothing
// that a recipe can choose.
var engineHostname = regexp.MustCompile(`^(\{\{\s*\.(Node\.(ID|Hostname)|Service\.(ID|Name)|Task\.(ID|Name|Slot))\s*\}\}|[-_.])+$`)

// leaveProxyAlone takes the service's short names off the shared network, where
// another app asking for its own "db" could be given this one. The names that
// begin with the stack's stay.
func (s services) leaveProxyAlone(service types.ServiceConfig, spec *swarm.ServiceSpec) {
	stack := s.objects.app.StackName
	for i := range spec.TaskTemplate.Networks {
		attached := &spec.TaskTemplate.Networks[i]
		if attached.Target != s.proxy {
			continue
		}
		attached.Aliases = slices.DeleteFunc(attached.Aliases, func(alias string) bool { return !strings.HasPrefix(alias, stack+"_") })
		hostname := spec.TaskTemplate.ContainerSpec.Hostname
		own := hostname == s.objects.app.Domain || strings.HasSuffix(hostname, "."+s.objects.app.Domain) || strings.HasPrefix(hostname, stack)
		if hostname != "" && !own && !engineHostname.MatchString(hostname) {
			spec.TaskTemplate.ContainerSpec.Hostname = ""
			s.warn(rulePolicy, at(service.Name, "hostname"), "write ${DOMAIN}, or a name that ends with it",
				"the host name %s is left out: on %s it would be answered to other apps, too", hostname, s.proxy)
		}
	}
}

// warnProxyOnly tells of services that can't find each other by short names,
// since the only network they share is the proxy.
func (s services) warnProxyOnly() {
	var only []types.ServiceConfig
	config := s.objects.config
	for _, service := range config.Services {
		for name := range service.Networks {
			if len(service.Networks) == 1 && config.Networks[name].External.External {
				only = append(only, service)
			}
		}
	}
	if len(config.Services) < 2 {
		return
	}
	for _, service := range only {
		s.warn(rulePolicy, at(service.Name, "networks"), "put it on a network of the recipe's own, too",
			"the service is on %s only, where short names aren't answered: others find it as ${STACK_NAME}_%s", s.proxy, service.Name)
	}
}

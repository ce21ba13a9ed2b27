package abra

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"git.autonomic.zone/recipe-maintainers/cc-ci/abra/internal/dotenv"
	"git.autonomic.zone/recipe-maintainers/cc-ci/spell"
	"github.com/docker/cli/cli/compose/convert"
	"github.com/docker/cli/cli/compose/types"
	"github.com/docker/docker/api/types/swarm"
)

// Swarm's limits for what a secret and a config hold, in bytes.
const (
	maxSecret = 500 << 10
	maxConfig = 1000 << 10
)

// objects makes what services refer to: networks, secrets, configs.
type objects struct {
	*findings
	recipe    *Recipe
	config    *types.Config
	raw       []source
	env       *dotenv.Env
	options   Options
	namespace convert.Namespace
	app       *App
	used      map[string]bool // keys of Options.Secrets that a secret took
	stored    int             // bytes of secrets and configs so far
}

// name is an object's full name.
func (o *objects) name(key, fixed string) string {
	if fixed != "" {
		return fixed
	}
	return o.namespace.Scope(key)
}

func (o *objects) labels(own map[string]string) map[string]string {
	return convert.AddStackLabel(o.namespace, maps.Clone(own))
}

// networks makes those that a service uses, as docker stack deploy does.
func (o *objects) networks() {
	used := map[string]bool{}
	for _, s := range o.config.Services {
		for _, name := range slices.Sorted(maps.Keys(s.Networks)) {
			if _, defined := o.config.Networks[name]; defined || name == "default" {
				used[name] = true
				continue
			}
			o.put(Error, ruleCompose, at(s.Name, "networks", name), "define it under networks:", "the service uses the network %s, which isn't defined", name)
		}
		if len(s.Networks) == 0 {
			used["default"] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(used)) {
		n := o.config.Networks[key]
		if n.External.External {
			o.app.External = append(o.app.External, n.Name)
			continue
		}
		network := Network{Name: o.name(key, n.Name), Driver: n.Driver, Internal: n.Internal, Options: n.DriverOpts, Labels: o.labels(n.Labels)}
		for _, pool := range n.Ipam.Config {
			if pool != nil && pool.Subnet != "" {
				network.IPAM = append(network.IPAM, pool.Subnet)
			}
		}
		o.app.Networks = append(o.app.Networks, network)
	}
	slices.Sort(o.app.External)
	o.app.External = slices.Compact(o.app.External)
}

// configs makes all that are defined, as docker stack deploy does.
func (o *objects) configs() {
	for _, key := range slices.Sorted(maps.Keys(o.config.Configs)) {
		c := o.config.Configs[key]
		if c.External.External {
			o.put(Error, ruleConfigs, at("", "configs", key), "write file: with a file of the recipe", "nothing makes a config that is external")
			continue
		}
		data := o.file("configs", key, c.File, maxConfig)
		spec := swarm.ConfigSpec{Annotations: swarm.Annotations{Name: o.name(key, c.Name), Labels: o.labels(c.Labels)}, Data: data}
		if c.TemplateDriver != "" {
			spec.Templating = &swarm.Driver{Name: c.TemplateDriver}
		}
		o.app.Configs = append(o.app.Configs, spec)
	}
}

// file reads what a secret or config holds.
func (o *objects) file(kind, key, file string, limit int) []byte {
	if file == o.recipe.dir {
		o.put(Error, kind, at("", kind, key), "write file: with a file of the recipe", "no file is named")
		return nil
	}
	if o.stored > maxStored {
		return nil // refused already
	}
	data, err := o.recipe.read(file)
	outside := (*outsideError)(nil)
	switch where := at("", kind, key, "file"); {
	case errors.As(err, &outside):
		o.refuse(where, "name a file of the recipe's folder", "%s", err)
	case errors.Is(err, fs.ErrNotExist):
		o.put(Error, kind, where, "add the file, or correct its name", "there is no such file in the recipe")
	case err != nil:
		o.put(Error, kind, where, "name a regular file of the recipe's folder", "%s", err)
	case len(data) == 0 || len(data) >= limit:
		o.put(Error, kind, where, "", "the file has %d bytes; Swarm takes from 1 to %d", len(data), limit-1)
	}
	if o.stored += len(data); o.stored > maxStored {
		o.refuse(at("", kind, key), "put large files into an image", "secrets and configs of one app may come to %d KiB", maxStored>>10)
	}
	return data
}

// secrets makes those that a service refers to.
func (o *objects) secrets() error {
	used := map[string]bool{}
	for _, s := range o.config.Services {
		for _, ref := range s.Secrets {
			if _, ok := o.config.Secrets[ref.Source]; !ok {
				o.put(Error, ruleSecrets, at(s.Name, "secrets", ref.Source), "define it under secrets:", "the service uses the secret %s, which isn't defined", ref.Source)
				continue
			}
			used[ref.Source] = true
		}
		for _, ref := range s.Configs {
			if _, ok := o.config.Configs[ref.Source]; !ok {
				o.put(Error, ruleConfigs, at(s.Name, "configs", ref.Source), "define it under configs:", "the service uses the config %s, which isn't defined", ref.Source)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(used)) {
		if err := o.secret(key, o.config.Secrets[key]); err != nil {
			return err
		}
	}
	o.unknownSecrets(used)
	return nil
}

func (o *objects) secret(key string, s types.SecretConfig) error {
	spec := swarm.SecretSpec{Annotations: swarm.Annotations{Name: o.name(key, s.Name), Labels: o.labels(s.Labels)}}
	if s.TemplateDriver != "" {
		spec.Templating = &swarm.Driver{Name: s.TemplateDriver}
	}
	if value, ok := o.given(key, spec.Name); ok {
		spec.Data = []byte(value)
	} else if s.External.External {
		value, err := o.generate(key)
		if err != nil {
			return err
		}
		spec.Data = []byte(value)
	} else {
		spec.Data = o.file("secrets", key, s.File, maxSecret)
	}
	o.app.Secrets = append(o.app.Secrets, spec)
	return nil
}

// given is the value that the job gives for a secret, by the key or by the
// short form of its name.
func (o *objects) given(key, name string) (value string, ok bool) {
	for _, given := range slices.Sorted(maps.Keys(o.options.Secrets)) {
		if !sameSecret(given, key) && !sameSecret(given, o.short(name)) {
			continue
		}
		o.used[given] = true
		value = o.options.Secrets[given]
		if len(value) == 0 || len(value) >= maxSecret {
			o.put(Error, ruleSecrets, at("", "secrets", key), "see whether the repository has the secret that "+settingOf(key)+" is set from",
				"the value given has %d bytes; Swarm takes from 1 to %d", len(value), maxSecret-1)
		}
		return value, true
	}
	return "", false
}

// generate makes the value of an external secret that the job doesn't give.
func (o *objects) generate(key string) (string, error) {
	variable := o.versionVariable(key)
	modifiers := o.env.Modifiers(variable)
	if modifiers["generate"] == "false" {
		setting := settingOf(key)
		o.put(Error, ruleSecrets, at("", "secrets", key), fmt.Sprintf("add a secret to the repository and to the job's env: %s: ${{ secrets.%s }}", setting, strings.ToUpper(key)),
			"%s says generate=false, so its value must be given", variable)
		return "", nil
	}
	maker, warnings := newSecretMaker(modifiers)
	for _, text := range warnings {
		o.add(Finding{Level: Warning, Rule: ruleSecrets, File: envSample, Line: o.lineOf(variable), Key: variable, Text: text})
	}
	value, err := maker.make(o.options.Random)
	if err != nil {
		return "", err
	}
	o.app.Generated = append(o.app.Generated, value)
	return value, nil
}

func (o *objects) lineOf(variable string) int {
	for _, a := range slices.Backward(o.env.Assignments) {
		if a.Key == variable && a.Source == envSample {
			return a.Line
		}
	}
	return 0
}

// short is a secret's name without the stack before and the version behind.
func (o *objects) short(name string) string {
	name = o.namespace.Descope(name)
	if i := strings.LastIndexByte(name, '_'); i > 0 {
		return name[:i]
	}
	return name
}

var versionInName = regexp.MustCompile(`\$\{?([A-Za-z_][A-Za-z0-9_]*_VERSION)`)

// versionVariable is the variable whose line has the modifiers: the one that
// the name of the secret is written with.
func (o *objects) versionVariable(key string) string {
	for _, s := range slices.Backward(o.raw) {
		secrets, _ := s.dict["secrets"].(map[string]any)
		secret, _ := secrets[key].(map[string]any)
		name, _ := secret["name"].(string)
		if m := versionInName.FindStringSubmatch(name); m != nil {
			return m[1]
		}
	}
	return "SECRET_" + upper(key) + "_VERSION"
}

// settingOf is the job's setting that gives a secret.
func settingOf(key string) string {
	return settingPrefix + upper(key)
}

const settingPrefix = "CC_CI_SECRET_"

// upper is a secret's name in an environment variable's.
func upper(key string) string { return strings.ToUpper(strings.ReplaceAll(key, "-", "_")) }

func sameSecret(a, b string) bool { return settingOf(a) == settingOf(b) }

// unknownSecrets tells of values that no secret of the app takes.
func (o *objects) unknownSecrets(known map[string]bool) {
	names := slices.Sorted(maps.Keys(known))
	var right []string
	for _, name := range names {
		right = append(right, upper(name))
	}
	for _, given := range slices.Sorted(maps.Keys(o.options.Secrets)) {
		if o.used[given] {
			continue
		}
		var hint string
		if near := spell.Nearest(upper(given), right); near != "" {
			hint = "write " + settingPrefix + near
		} else if len(names) > 0 {
			hint = "the recipe's secrets: " + strings.Join(names, ", ")
		}
		o.add(Finding{Level: Error, Rule: ruleSecrets, Key: settingOf(given), Text: "no service of the recipe uses a secret of this name", Hint: hint})
	}
}

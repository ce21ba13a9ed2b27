package abra

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/abra/internal/dotenv"
	"github.com/docker/cli/cli/compose/convert"
	"github.com/docker/cli/cli/compose/types"
)

// Resolve makes an app of the recipe. Its findings are all that is wrong with
// the recipe, sorted by file and line; with an Error among them the app is nil,
// so that nothing can deploy what was refused. The error is for what isn't the
// recipe's fault: reading its folder, a wrong Options.Domain, no randomness.
func (r *Recipe) Resolve(o Options) (*App, []Finding, error) {
	o.ProxyNetwork = cmp.Or(o.ProxyNetwork, "proxy")
	f := &findings{}
	env, err := r.readEnv(o, f)
	if err != nil {
		return nil, nil, err
	}
	if env == nil {
		return nil, f.sorted(), nil
	}
	config, raw := r.loadCompose(env.Values, f)
	if config == nil {
		return nil, f.sorted(), nil
	}
	app, err := r.build(o, env, config, raw, f)
	if err != nil {
		return nil, nil, err
	}
	if f.failed() {
		app = nil
	}
	return app, f.sorted(), nil
}

// build judges what was loaded and turns it into Docker's types.
func (r *Recipe) build(o Options, env *dotenv.Env, config *types.Config, raw []source, f *findings) (*App, error) {
	stack := StackName(o.Domain)
	app := &App{Recipe: r.recipeName(env), Domain: o.Domain, StackName: stack, Env: env.Values}
	p := &policy{findings: f, config: config, stack: stack, domain: o.Domain, proxy: o.ProxyNetwork}
	p.services()
	p.objects()
	app.Routed = p.routed
	lintApp(config, env, p.routed, f)

	objects := &objects{findings: f, recipe: r, config: config, raw: raw, env: env, options: o,
		namespace: convert.NewNamespace(stack), app: app, used: map[string]bool{}}
	objects.networks()
	objects.configs()
	if err := objects.secrets(); err != nil {
		return nil, err
	}
	checkNames(app, config, f)
	readLabels(app, config, f)
	if f.failed() {
		return nil, nil
	}
	s := services{findings: f, objects: objects, proxy: o.ProxyNetwork, commit: o.Commit}
	s.convert()
	return app, nil
}

// recipeName is the recipe's name: TYPE without its version, or the folder's.
func (r *Recipe) recipeName(env *dotenv.Env) string {
	name, _, _ := strings.Cut(env.Values["TYPE"], ":")
	return cmp.Or(name, r.name)
}

// lintApp checks what abra recipe lint calls R009 and R010.
func lintApp(config *types.Config, env *dotenv.Env, routed bool, f *findings) {
	if !slices.ContainsFunc(config.Services, func(s types.ServiceConfig) bool { return s.Name == appService }) {
		f.warn("R009", at("", "services"), "name the main service app", "no service is named app, so abra gives its labels and the .env's variables to none")
	}
	if env.Has(envSample, "DOMAIN") && !routed && !f.failed() {
		f.put(Error, "R010", at("", "services"), "add Traefik's labels to a service, or remove DOMAIN from .env.sample",
			"the .env.sample has a DOMAIN, but no service gets its visitors")
	}
}

// checkNames does the sum for every name that Swarm bounds.
func checkNames(app *App, config *types.Config, f *findings) {
	b := budget{f, app, map[string]bool{}}
	for _, s := range config.Services {
		b.check("service", app.StackName+"_"+s.Name, at(s.Name), maxServiceName, serviceName)
	}
	for _, n := range app.Networks {
		b.check("network", n.Name, at("", "networks", strings.TrimPrefix(n.Name, app.StackName+"_")), maxServiceName, serviceName)
	}
	key := func(name, fixed string) string { return cmp.Or(fixed, app.StackName+"_"+name) }
	for _, name := range slices.Sorted(maps.Keys(config.Secrets)) {
		b.check("secret", key(name, config.Secrets[name].Name), at("", "secrets", name), maxObjectName, objectName)
	}
	for _, name := range slices.Sorted(maps.Keys(config.Configs)) {
		b.check("config", key(name, config.Configs[name].Name), at("", "configs", name), maxObjectName, objectName)
	}
}

// readLabels reads the recipe's version and timeout, which are labels of the
// service app, or in some recipes of another.
func readLabels(app *App, config *types.Config, f *findings) {
	version, timeout := "coop-cloud."+app.StackName+".version", "coop-cloud."+app.StackName+".timeout"
	for _, s := range config.Services {
		if v := s.Deploy.Labels[version]; v != "" && (app.Version == "" || s.Name == appService) {
			app.Version = v
		}
		text := s.Deploy.Labels[timeout]
		if text == "" {
			continue
		}
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds < 1 || seconds > int(24*time.Hour/time.Second) {
			f.warn(ruleCompose, at(s.Name, "deploy", "labels", timeout), "write a number of seconds", "the timeout %s isn't a number of seconds up to a day", fmt.Sprintf("%q", text))
			continue
		}
		app.Timeout = max(app.Timeout, time.Duration(seconds)*time.Second)
	}
}

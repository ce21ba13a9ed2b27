package abra

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/docker/cli/cli/compose/loader"
	"github.com/docker/cli/cli/compose/template"
	"github.com/docker/cli/cli/compose/types"
)

// source is one compose file, parsed but not interpolated.
type source struct {
	name string
	dict map[string]any
}

// loadCompose reads, interpolates and merges the files of COMPOSE_FILE with
// docker/cli's loader, which is what abra uses. It returns nil when a finding
// says why not.
func (r *Recipe) loadCompose(env map[string]string, f *findings) (*types.Config, []source) {
	lookup := func(key string) (string, bool) { v, ok := env[key]; return v, ok }
	f.docs.expand = func(text string) string {
		out, err := template.Substitute(text, lookup)
		if err != nil {
			return text
		}
		return out
	}
	sources := r.composeFiles(env, f)
	if f.failed() || len(sources) == 0 {
		return nil, nil
	}
	details := types.ConfigDetails{WorkingDir: r.dir, Environment: env}
	for _, s := range sources {
		details.ConfigFiles = append(details.ConfigFiles, types.ConfigFile{Filename: s.name, Config: s.dict})
	}
	config, err := load(details, false)
	if err != nil {
		reportLoad(err, f, Error, "")
		return nil, nil
	}
	if _, err := load(details, true); err != nil {
		reportLoad(err, f, Warning, "abra checks compose files before it fills in variables, too, and there this fails: ")
	}
	slices.SortFunc(config.Services, func(a, b types.ServiceConfig) int { return cmp.Compare(a.Name, b.Name) })
	return config, sources
}

// composeFiles reads the files that COMPOSE_FILE names.
func (r *Recipe) composeFiles(env map[string]string, f *findings) []source {
	names := env["COMPOSE_FILE"]
	if names == "" {
		names = composeFile
	}
	var sources []source
	envFileBytes := maxExpanded
	for name := range strings.SplitSeq(names, ":") {
		data, err := r.read(name)
		if err != nil {
			reportFile(err, f, Finding{File: name, Key: "COMPOSE_FILE",
				Hint: "name files of the recipe's folder, with colons between: compose.yml:compose.smtp.yml"})
			continue
		}
		var dict map[string]any
		if err := guard(func() (err error) { dict, err = loader.ParseYAML(data); return err }); err != nil {
			f.add(Finding{Level: Error, Rule: ruleCompose, File: name, Line: lineOf(err.Error()),
				Text: strings.TrimPrefix(err.Error(), "yaml: "), Hint: "correct the YAML"})
			continue
		}
		f.docs.add(name, data)
		if !fits(dict, env) {
			f.add(Finding{Level: Error, Rule: ruleCompose, File: name, Text: fmt.Sprintf("with its variables and aliases filled in the file is longer than %d KiB", maxExpanded>>10),
				Hint: "make it smaller"})
			continue
		}
		r.inlineEnvFiles(dict, &envFileBytes, f)
		sources = append(sources, source{name, dict})
	}
	return sources
}

// maxExpanded bounds a compose file with its variables and YAML aliases filled
// in, in bytes: either can make a small file large without end.
const maxExpanded = 4 << 20

// variable is a variable as docker/cli's templates find it.
var variable = regexp.MustCompile(`(?i)\$\{?([_a-z][_a-z0-9]*)`)

// fits reports whether a parsed file stays within maxExpanded.
func fits(value any, env map[string]string) bool {
	r := room{left: maxExpanded, env: env}
	return r.take(value)
}

// room is what parsed files may still take up, in bytes and roughly.
type room struct {
	left int
	env  map[string]string
}

// take takes a value's size off, and reports whether there was room for it.
func (r *room) take(value any) bool {
	r.left -= 8
	switch value := value.(type) {
	case map[string]any:
		for key, item := range value {
			if r.left -= len(key); r.left < 0 || !r.take(item) {
				return false
			}
		}
	case []any:
		for _, item := range value {
			if !r.take(item) {
				return false
			}
		}
	case string:
		return r.takeText(value)
	}
	return r.left >= 0
}

// takeText takes off a text with the values of its variables.
func (r *room) takeText(text string) bool {
	r.left -= len(text)
	for _, m := range variable.FindAllStringSubmatch(text, -1) {
		if r.left -= len(r.env[m[1]]); r.left < 0 {
			break
		}
	}
	return r.left >= 0
}

// reportFile adds a finding for a file that can't be read.
func reportFile(err error, f *findings, finding Finding) {
	finding.Level, finding.Rule, finding.Text = Error, ruleCompose, err.Error()
	if outside := (*outsideError)(nil); errors.As(err, &outside) {
		finding.Rule = rulePolicy
	}
	if errors.Is(err, fs.ErrNotExist) {
		finding.Text = "there is no such file in the recipe"
	}
	f.add(finding)
}

// load runs docker/cli's loader, which panics on some input.
func load(details types.ConfigDetails, raw bool) (config *types.Config, err error) {
	err = guard(func() (err error) {
		config, err = loader.Load(details, func(o *loader.Options) { o.SkipInterpolation = raw })
		return err
	})
	return config, err
}

// guard turns a panic of fn into an error.
func guard(fn func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("docker's compose loader fails on it: %v", p)
		}
	}()
	return fn()
}

func reportLoad(err error, f *findings, level Level, before string) {
	text := err.Error()
	if forbidden := (*loader.ForbiddenPropertiesError)(nil); errors.As(err, &forbidden) {
		text = ""
		for _, key := range slices.Sorted(maps.Keys(forbidden.Properties)) {
			text += fmt.Sprintf("%s: %s ", key, forbidden.Properties[key])
		}
	}
	file, line := f.docs.inMessage(text)
	if file == "" {
		file = composeFile
	}
	f.add(Finding{Level: level, Rule: ruleCompose, File: file, Line: line, Text: before + strings.TrimSpace(text),
		Hint: "see the compose file format, version 3, as docker stack deploy takes it"})
}

// inlineEnvFiles puts the variables of each service's env_file into its
// environment and drops env_file. The loader would open the files by itself,
// wherever they are, and fill names without a value from this process's own
// environment. It reads up to left bytes.
func (r *Recipe) inlineEnvFiles(dict map[string]any, left *int, f *findings) {
	services, _ := dict["services"].(map[string]any)
	for name, service := range services {
		service, ok := service.(map[string]any)
		if !ok || service["env_file"] == nil {
			continue
		}
		files, ok := texts(service["env_file"])
		delete(service, "env_file")
		environment, fine := variables(service["environment"], f.docs.expand)
		if !ok || !fine {
			f.put(Error, ruleCompose, at(name, "env_file"), "name files of the recipe's folder, and write environment as KEY: value", "env_file or environment isn't made of texts")
			continue
		}
		all := map[string]any{}
		for i, file := range files {
			data, err := r.read(f.docs.expand(file))
			if *left -= len(data); *left < 0 {
				f.put(Error, ruleCompose, at(name, "env_file"), "put the variables into environment", "the recipe's env_files come to more than %d KiB", maxExpanded>>10)
				return
			}
			if err != nil {
				where, line := f.docs.find([]string{"services", name, "env_file"})
				reportFile(err, f, Finding{File: where, Line: line, Service: name, Key: fmt.Sprintf("env_file[%d]", i),
					Hint: "name a file of the recipe's folder"})
				continue
			}
			maps.Copy(all, envFile(string(data)))
		}
		maps.Copy(all, environment)
		delete(service, "env_file")
		if len(all) > 0 {
			service["environment"] = all
		}
	}
}

// envFile reads an env_file as docker does: KEY=value with nothing quoted or
// filled in; a lone KEY is left for the app's env.
func envFile(text string) map[string]any {
	vars := map[string]any{}
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		line = strings.TrimLeft(strings.TrimRight(line, "\r\n"), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			vars[key] = nil
			continue
		}
		// Dollars are doubled because the loader fills in variables afterwards.
		vars[key] = strings.ReplaceAll(value, "$", "$$")
	}
	return vars
}

// texts takes a text or a list of texts.
func texts(value any) ([]string, bool) {
	switch value := value.(type) {
	case string:
		return []string{value}, true
	case []any:
		var list []string
		for _, item := range value {
			text, ok := item.(string)
			if !ok {
				return nil, false
			}
			list = append(list, text)
		}
		return list, len(list) > 0
	}
	return nil, false
}

// variables takes an environment in either form. Names in a list may hold
// variables, in a map they can't.
func variables(value any, expand func(string) string) (map[string]any, bool) {
	switch value := value.(type) {
	case nil:
		return nil, true
	case map[string]any:
		return value, true
	case []any:
		vars := map[string]any{}
		for _, item := range value {
			text, ok := item.(string)
			if !ok {
				return nil, false
			}
			key, v, has := strings.Cut(text, "=")
			key = expand(key)
			if vars[key] = v; !has {
				vars[key] = nil
			}
		}
		return vars, true
	}
	return nil, false
}

package abra

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"strings"

	"git.autonomic.zone/recipe-maintainers/cc-ci/abra/internal/dotenv"
)

// The files of a recipe that have fixed names.
const (
	composeFile = "compose.yml"
	envSample   = ".env.sample"
	abraScript  = "abra.sh"
)

// Names under which lines from outside of the recipe are reported: the job's
// settings that they come from.
const (
	fromEnv         = "CC_CI_ENV"
	fromComposeFile = "CC_CI_COMPOSE_FILE"
)

// StackName is STACK_NAME of a domain: dots become underscores, hyphens stay.
func StackName(domain string) string { return strings.ReplaceAll(domain, ".", "_") }

// plainDomain is what a domain has to be to stand in an .env unquoted.
var plainDomain = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

// forced are the variables that cc-ci sets and no recipe or job can: which host
// an app has, whose stack it is, and that nobody asks Let's Encrypt.
func forced(o Options) map[string]string {
	return map[string]string{
		"DOMAIN":           o.Domain,
		"STACK_NAME":       StackName(o.Domain),
		"LETS_ENCRYPT_ENV": "",
	}
}

// readEnv builds the app's env: .env.sample, the job's own lines, then the
// exports of abra.sh, as abra does; last what is forced. It returns nil when a
// finding says why not; the error is one of I/O.
func (r *Recipe) readEnv(o Options, f *findings) (*dotenv.Env, error) {
	if !plainDomain.MatchString(o.Domain) {
		return nil, fmt.Errorf("resolve recipe: the domain %q isn't one", o.Domain)
	}
	sample, err := r.read(envSample)
	switch outside := (*outsideError)(nil); {
	case errors.As(err, &outside):
		f.add(Finding{Level: Error, Rule: rulePolicy, File: envSample, Text: err.Error(), Hint: "replace the link with the file"})
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		f.add(Finding{Level: Error, Rule: "R008", File: envSample, Text: "the recipe has no .env.sample, so nobody can make an app of it",
			Hint: "add one with at least TYPE=<recipe> and DOMAIN=<recipe>.example.com, as abra recipe new does"})
		return nil, nil
	case err != nil:
		f.add(Finding{Level: Error, Rule: "R008", File: envSample, Text: err.Error(), Hint: "make it a text file"})
		return nil, nil
	}
	sources := []dotenv.Source{{Name: envSample, Text: string(sample)}, {Name: fromEnv, Text: o.Env}}
	if o.ComposeFile != "" {
		if strings.ContainsAny(o.ComposeFile, "\"'\\\n\r") {
			f.add(Finding{Level: Error, Rule: ruleEnv, File: fromComposeFile, Text: "has a quote or a line end in it",
				Hint: "write the files' names with colons between: compose.yml:compose.smtp.yml"})
			return nil, nil
		}
		sources = append(sources, dotenv.Source{Name: fromComposeFile, Text: `COMPOSE_FILE="` + o.ComposeFile + `"`})
	}
	env, err := dotenv.Parse(sources, forced(o))
	if syntax := (*dotenv.SyntaxError)(nil); errors.As(err, &syntax) {
		f.add(Finding{Level: Error, Rule: ruleEnv, File: syntax.Source, Line: syntax.Line, Text: syntax.Reason})
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("resolve recipe: %w", err)
	}
	warnEnv(env, o, f)
	r.mergeExports(env.Values, o, f)
	return env, nil
}

// warnEnv tells of lines that don't do what they seem to.
func warnEnv(env *dotenv.Env, o Options, f *findings) {
	set := forced(o)
	for _, a := range env.Assignments {
		if _, ok := set[a.Key]; ok && a.Source == fromEnv {
			f.add(Finding{Level: Warning, Rule: ruleEnv, File: fromEnv, Line: a.Line, Key: a.Key,
				Text: "cc-ci sets this itself for each job; the line is ignored", Hint: "remove it"})
		}
		if !a.Quoted && a.Comment != "" && strings.Contains(env.Values[a.Key], " #") {
			f.add(Finding{Level: Warning, Rule: ruleEnv, File: a.Source, Line: a.Line, Key: a.Key,
				Text: "with two # on the line the first is part of the value", Hint: "quote the value, or join the comments"})
		}
	}
}

var (
	exportLine  = regexp.MustCompile(`^export\s+([A-Za-z_][A-Za-z0-9_]*)=(.*)$`)
	exportValue = regexp.MustCompile("^(?:\"([^\"$`\\\\]*)\"|'([^']*)'|([A-Za-z0-9_.+:/@,%-]*))\\s*(?:[#;].*)?$")
)

// mergeExports reads the exports of abra.sh into env. The file is never run:
// it comes from a pull request.
func (r *Recipe) mergeExports(env map[string]string, o Options, f *findings) {
	script, err := r.read(abraScript)
	switch outside := (*outsideError)(nil); {
	case errors.Is(err, fs.ErrNotExist):
		return
	case errors.As(err, &outside):
		f.add(Finding{Level: Error, Rule: rulePolicy, File: abraScript, Text: err.Error(), Hint: "replace the link with the file"})
		return
	case err != nil:
		f.add(Finding{Level: Error, Rule: ruleEnv, File: abraScript, Text: err.Error(), Hint: "make it a text file"})
		return
	}
	set := forced(o)
	number := 0
	for line := range strings.Lines(string(script)) {
		number++
		export := exportLine.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if export == nil {
			continue
		}
		key := export[1]
		value := exportValue.FindStringSubmatch(strings.TrimSpace(export[2]))
		switch _, isForced := set[key]; {
		case isForced:
			f.add(Finding{Level: Warning, Rule: ruleEnv, File: abraScript, Line: number, Key: key,
				Text: "cc-ci sets this itself for each job; the export is ignored", Hint: "remove it"})
		case value == nil:
			f.add(Finding{Level: Warning, Rule: ruleEnv, File: abraScript, Line: number, Key: key,
				Text: "abra.sh is read, not run, so this export has no value here", Hint: "export a plain value"})
		default:
			env[key] = value[1] + value[2] + value[3]
		}
	}
	maps.Copy(env, set)
}

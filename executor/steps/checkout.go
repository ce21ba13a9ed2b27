package steps

import (
	"slices"
	"strings"

	"github.com/kballard/go-shellquote"
	"github.com/nektos/act/pkg/model"
	"gopkg.in/yaml.v3"
)

// servedInputs are the inputs of actions/checkout under which its result is
// what the job's own clone has, each with the values that leave it so; no
// values: any.
var servedInputs = map[string][]string{
	"path":                nil,
	"clean":               nil,
	"show-progress":       nil,
	"set-safe-directory":  nil,
	"persist-credentials": nil,
	"fetch-depth":         {"1", ""},
	"fetch-tags":          {"false", ""},
	"submodules":          {"false", ""},
	"lfs":                 {"false", ""},
	"ref":                 {"", "${{github.sha}}"},
	"repository":          {"", "${{github.repository}}"},
	"token":               {"", "${{github.token}}", "${{secrets.GITHUB_TOKEN}}", "${{secrets.GITEA_TOKEN}}"},
}

// serveCheckout turns actions/checkout of the job's own repository into a
// command of the runner's, where the result is the same: milliseconds instead
// of a fetch. Its id, if, name and continue-on-error stay.
func (a *actions) serveCheckout(step *model.Step) bool {
	if len(a.job.CheckoutArgv) == 0 || !isCheckout(step.Uses) {
		return false
	}
	for input, value := range step.With {
		usual, ok := servedInputs[strings.ToLower(input)]
		folded := strings.ReplaceAll(strings.TrimSpace(value), " ", "")
		if !ok || usual != nil && !slices.Contains(usual, folded) && !(input == "repository" && value == a.job.Context["repository"]) {
			return false
		}
	}
	argv := slices.Clone(a.job.CheckoutArgv)
	if path := step.With["path"]; path != "" {
		argv = append(argv, path)
	}
	step.Run = step.Uses
	step.Uses, step.With = "", nil
	step.Shell = shellquote.Join(argv...)
	step.WorkingDirectory = a.job.Workspace
	step.Env = yaml.Node{}
	return true
}

func isCheckout(uses string) bool {
	if match := usesURL.FindStringSubmatch(uses); match != nil {
		uses = match[2] + "/" + match[3] + match[4] + "@" + match[5]
	}
	return strings.HasPrefix(uses, "actions/checkout@")
}

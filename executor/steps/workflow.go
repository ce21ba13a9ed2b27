package steps

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/nektos/act/pkg/model"
	"gopkg.in/yaml.v3"
)

// Workflow is what a workflow file says, as far as a runner needs it before it
// runs a job.
type Workflow struct {
	// Name is the workflow's own; "" when it has none.
	Name string
	// Jobs are in the order of the file.
	Jobs []JobInfo
}

// Job is the job with this id; ok is false when there is none.
func (w *Workflow) Job(id string) (info JobInfo, ok bool) {
	for _, job := range w.Jobs {
		if job.ID == id {
			return job, true
		}
	}
	return JobInfo{}, false
}

// JobInfo is one job of a workflow.
type JobInfo struct {
	ID     string
	Name   string // the id when the job has none
	RunsOn []string
	Needs  []string
	// Timeout is timeout-minutes: minutes as the workflow has them, maybe an
	// expression; "" when not set.
	Timeout string
	// Image is container: or container.image:, maybe with expressions; see the
	// function Image.
	Image string
	// Matrix are the combinations of strategy.matrix; one empty one without it.
	Matrix []map[string]any
	Steps  []StepInfo
}

// StepInfo is one step of a job.
type StepInfo struct {
	Index int
	ID    string // "" when the step has none
	Name  string // what the Actions page shows, expressions not evaluated
}

// Parse reads a workflow and checks what this runner can run. The error joins
// all findings, each a sentence that begins with its line ("line 7: …").
func Parse(workflow []byte) (*Workflow, error) {
	doc, err := readDocument(workflow)
	if err != nil {
		return nil, err
	}
	info := &Workflow{Name: doc.workflow.Name}
	for _, id := range doc.order {
		info.Jobs = append(info.Jobs, describe(id, doc.workflow.Jobs[id]))
	}
	return info, nil
}

func describe(id string, job *model.Job) JobInfo {
	info := JobInfo{ID: id, Name: job.Name, RunsOn: job.RunsOn(), Needs: job.Needs(), Timeout: job.TimeoutMinutes}
	if info.Name == "" {
		info.Name = id
	}
	if c := job.Container(); c != nil {
		info.Image = c.Image
	}
	info.Matrix, _ = combinations(job)
	for i, step := range job.Steps {
		info.Steps = append(info.Steps, StepInfo{Index: i, ID: step.ID, Name: stepName(step)})
	}
	return info
}

// stepName is the name that Gitea's page gives a step.
func stepName(step *model.Step) string {
	switch {
	case step.Name != "":
		return step.Name
	case step.Uses != "":
		return "Run " + step.Uses
	default:
		return "Run " + firstLine(step.Run)
	}
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(line)
}

// document is a workflow after reading: aliases inlined, gitea. rewritten,
// checked.
type document struct {
	workflow *model.Workflow
	order    []string // job ids as in the file
}

// readDocument decodes around act's own schema check, which refuses what Gitea
// sends (quoted numbers, its extra keys).
func readDocument(text []byte) (*document, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, syntaxError(err)
	}
	if len(root.Content) == 0 || root.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("line 1: the workflow is empty or no mapping: it needs at least on: and jobs:")
	}
	if err := inlineAliases(&root); err != nil {
		return nil, err
	}
	var found findings
	found.expressions(root.Content[0])
	found.structure(root.Content[0])
	if err := found.err(); err != nil {
		return nil, err
	}
	rewriteGitea(root.Content[0])
	type plain model.Workflow
	var decoded plain
	if err := root.Decode(&decoded); err != nil {
		return nil, decodeError(err)
	}
	workflow := model.Workflow(decoded)
	doc := &document{workflow: &workflow}
	jobs := child(root.Content[0], "jobs")
	for i := 0; i+1 < len(jobs.Content); i += 2 {
		id := jobs.Content[i].Value
		doc.order = append(doc.order, id)
		if _, err := combinations(workflow.Jobs[id]); err != nil {
			return nil, fmt.Errorf("line %d: strategy.matrix of job %s can't be read (%w): each key needs a list of values, include and exclude lists of mappings", jobs.Content[i].Line, id, err)
		}
	}
	return doc, nil
}

// syntaxError says in the order of other findings what yaml says, with the
// usual reason where it is cryptic.
func syntaxError(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line, rest, ok := strings.Cut(text, ": ")
	if !ok || !strings.HasPrefix(line, "line ") {
		line, rest = "line 1", text
	}
	hint := "check the indentation there and above"
	if strings.Contains(rest, "cannot start any token") {
		hint = "indent with spaces, not tabs, and quote values that begin with @, ` or %"
	}
	return fmt.Errorf("%s: the workflow isn't valid YAML (%s): %s", line, rest, hint)
}

// decodeError turns yaml's list of type errors into sentences.
func decodeError(err error) error {
	var types *yaml.TypeError
	if !errors.As(err, &types) {
		return fmt.Errorf("the workflow can't be read: %w", err)
	}
	var all []error
	for _, text := range types.Errors {
		all = append(all, errors.New(text+": the value has the wrong type for its key"))
	}
	return errors.Join(all...)
}

// maxNodes bounds a document after its aliases are inlined, since a few lines
// of nested aliases can unfold to gigabytes.
const maxNodes = 200_000

func inlineAliases(root *yaml.Node) error {
	budget := maxNodes
	var inline func(node *yaml.Node, depth int) (*yaml.Node, error)
	inline = func(node *yaml.Node, depth int) (*yaml.Node, error) {
		if budget--; budget < 0 || depth > 200 {
			return nil, fmt.Errorf("line %d: the workflow's aliases unfold to too much; write the parts out", node.Line)
		}
		if node.Kind == yaml.AliasNode {
			return inline(node.Alias, depth+1)
		}
		clone := *node
		clone.Anchor = ""
		clone.Content = make([]*yaml.Node, len(node.Content))
		for i, part := range node.Content {
			var err error
			if clone.Content[i], err = inline(part, depth+1); err != nil {
				return nil, err
			}
		}
		return &clone, nil
	}
	inlined, err := inline(root, 0)
	if err != nil {
		return err
	}
	*root = *inlined
	return nil
}

// child is the value of a mapping's key; nil when it has none.
func child(node *yaml.Node, key string) *yaml.Node {
	if node == nil || node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			return node.Content[i+1]
		}
	}
	return nil
}

// findings collects what is wrong with a workflow, so that all is shown at once.
type findings []finding

type finding struct {
	line int
	text string
}

func (f *findings) add(node *yaml.Node, format string, args ...any) {
	*f = append(*f, finding{node.Line, fmt.Sprintf(format, args...)})
}

// err joins the findings in the order of their lines; nil when there are none.
func (f findings) err() error {
	slices.SortStableFunc(f, func(a, b finding) int { return cmp.Compare(a.line, b.line) })
	var all []error
	for _, found := range f {
		all = append(all, fmt.Errorf("line %d: %s", found.line, found.text))
	}
	return errors.Join(all...)
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

func (f *findings) structure(root *yaml.Node) {
	f.environment(child(root, "env"))
	jobs := child(root, "jobs")
	if jobs == nil || jobs.Kind != yaml.MappingNode || len(jobs.Content) == 0 {
		f.add(root, "the workflow has no jobs: add jobs: with at least one job")
		return
	}
	for i := 0; i+1 < len(jobs.Content); i += 2 {
		key, job := jobs.Content[i], jobs.Content[i+1]
		switch {
		case !identifier.MatchString(key.Value):
			f.add(key, "job id %q: only letters, digits, - and _, and no digit or - at the start", key.Value)
		case job.Kind != yaml.MappingNode:
			f.add(key, "job %s is no mapping: it needs runs-on: and steps:", key.Value)
		default:
			f.job(key, job)
		}
	}
}

func (f *findings) job(key, job *yaml.Node) {
	if uses := child(job, "uses"); uses != nil {
		f.add(uses, "job %s calls a reusable workflow (uses: %s), not supported by cc-ci yet: copy its jobs into this workflow", key.Value, uses.Value)
		return
	}
	if services := child(job, "services"); services != nil && len(services.Content) > 0 {
		f.add(services, "services: of job %s, not supported by cc-ci yet: put the service into the recipe's compose file, or start the program in a step", key.Value)
	}
	f.container(key, child(job, "container"))
	f.environment(child(job, "env"))
	f.minutes(child(job, "timeout-minutes"))
	f.strings(key.Value, "needs", child(job, "needs"))
	if on := child(job, "runs-on"); on == nil {
		f.add(key, "job %s has no runs-on: add runs-on: cc-ci", key.Value)
	} else if on.Kind != yaml.MappingNode {
		f.strings(key.Value, "runs-on", on)
	}
	list := child(job, "steps")
	if list == nil || list.Kind != yaml.SequenceNode || len(list.Content) == 0 {
		f.add(key, "job %s has no steps: add steps: with at least one - run: or - uses:", key.Value)
		return
	}
	ids := map[string]int{}
	for _, step := range list.Content {
		f.step(key.Value, step, ids)
	}
}

// strings wants one string or a list of strings.
func (f *findings) strings(job, key string, node *yaml.Node) {
	if node == nil || node.Kind == yaml.ScalarNode {
		return
	}
	if node.Kind == yaml.SequenceNode {
		for _, item := range node.Content {
			if item.Kind != yaml.ScalarNode {
				f.add(item, "%s of job %s: a string or a list of strings", key, job)
			}
		}
		return
	}
	f.add(node, "%s of job %s: a string or a list of strings", key, job)
}

func (f *findings) container(job, container *yaml.Node) {
	if container == nil || container.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(container.Content); i += 2 {
		switch key := container.Content[i]; key.Value {
		case "image":
		case "env":
			f.environment(container.Content[i+1])
		default:
			f.add(key, "container.%s of job %s, not supported by cc-ci yet: only container.image and container.env are", key.Value, job.Value)
		}
	}
}

func (f *findings) environment(env *yaml.Node) {
	if env == nil || env.Tag == "!!null" {
		return
	}
	if env.Kind != yaml.MappingNode {
		if env.Kind == yaml.ScalarNode && strings.Contains(env.Value, "${{") {
			f.add(env, "env: as one expression, not supported by cc-ci yet: write NAME: value lines")
			return
		}
		f.add(env, "env: is no mapping: write NAME: value lines")
		return
	}
	for i := 0; i+1 < len(env.Content); i += 2 {
		if value := env.Content[i+1]; value.Kind != yaml.ScalarNode && env.Content[i].Tag != "!!merge" {
			f.add(value, "env %s: the value isn't a string", env.Content[i].Value)
		}
	}
}

// minutes takes a number of minutes, quoted or not, or an expression.
func (f *findings) minutes(node *yaml.Node) {
	if node == nil || node.Kind == yaml.ScalarNode && strings.Contains(node.Value, "${{") {
		return
	}
	if n, err := strconv.ParseFloat(node.Value, 64); err != nil || n <= 0 {
		f.add(node, "timeout-minutes: %q is no number of minutes above 0", node.Value)
	}
}

func (f *findings) step(job string, step *yaml.Node, ids map[string]int) {
	if step.Kind != yaml.MappingNode {
		f.add(step, "a step of job %s is no mapping: it needs run: or uses:", job)
		return
	}
	run, uses := child(step, "run"), child(step, "uses")
	switch {
	case run == nil && uses == nil, run != nil && run.Value == "" && uses == nil:
		f.add(step, "a step of job %s has neither run: nor uses:", job)
	case run != nil && uses != nil:
		f.add(step, "a step of job %s has both run: and uses: make two steps of it", job)
	case uses != nil:
		if why := unsupportedUses(uses.Value); why != "" {
			f.add(uses, "uses: %s: %s", uses.Value, why)
		}
	}
	f.environment(child(step, "env"))
	f.minutes(child(step, "timeout-minutes"))
	if id := child(step, "id"); id != nil {
		folded := strings.ToLower(id.Value)
		if before, ok := ids[folded]; ok {
			f.add(id, "the step id %q is used already in line %d: ids of a job's steps must differ", id.Value, before)
		} else if !identifier.MatchString(id.Value) {
			f.add(id, "step id %q: only letters, digits, - and _, and no digit or - at the start", id.Value)
		}
		ids[folded] = id.Line
	}
}

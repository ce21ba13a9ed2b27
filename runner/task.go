package runner

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	runnerv1 "code.gitea.io/actions-proto-go/runner/v1"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor"
	"google.golang.org/protobuf/types/known/structpb"
	"gopkg.in/yaml.v3"
)

// assignment is a task in the executor's words.
type assignment struct {
	job executor.Job
	// steps is how many steps Gitea shows.
	steps int
	// secrets are what no row may show.
	secrets []string
	// refusal says why the job isn't run; "" for a job that is.
	refusal string
}

// Keys of a task's context that aren't part of the github context.
const (
	keyToken        = "token"
	keyRuntimeToken = "gitea_runtime_token"
	keyActionsURL   = "gitea_default_actions_url"
	keyEvent        = "event"
)

// assign reads a task. It doesn't fail: of a task that can't be run the refusal
// says why, and what could be read is there.
func assign(task *runnerv1.Task, labels Labels) assignment {
	fields := task.GetContext().GetFields()
	event, err := json.Marshal(fields[keyEvent].GetStructValue().AsMap())
	shape, shapeErr := readShape(task.GetWorkflowPayload())
	a := assignment{
		job: executor.Job{
			Task:         strconv.FormatInt(task.GetId(), 10),
			ID:           shape.id,
			Workflow:     task.GetWorkflowPayload(),
			Context:      githubContext(fields),
			Event:        event,
			Secrets:      task.GetSecrets(),
			Vars:         task.GetVars(),
			Needs:        needs(task.GetNeeds()),
			Token:        fields[keyToken].GetStringValue(),
			RuntimeToken: fields[keyRuntimeToken].GetStringValue(),
			ActionsURL:   fields[keyActionsURL].GetStringValue(),
			Image:        labels.Image(shape.runsOn),
		},
		steps: shape.steps,
	}
	a.secrets = secretsOf(a.job)
	switch {
	case shapeErr != nil:
		a.refusal = fmt.Sprintf("The workflow can't be read: %v", shapeErr)
	case err != nil:
		a.refusal = fmt.Sprintf("The event that Gitea sent can't be read: %v", err)
	default:
		a.refusal = refuse(shape.runsOn, labels)
	}
	return a
}

// refuse says why a job with this runs-on isn't for this runner, or "". Gitea
// gives a job without runs-on to any runner.
func refuse(runsOn []string, labels Labels) string {
	ours := strings.Join(labels.Names(), ", ")
	if len(runsOn) == 0 {
		return fmt.Sprintf("The job has no runs-on, so Gitea gave it to this runner, which takes only jobs that ask for it. Write `runs-on: %s` for a test of a recipe, or the label of another runner.", labels.Names()[0])
	}
	for _, name := range runsOn {
		if !labels.has(name) {
			return fmt.Sprintf("The job asks for runs-on %q, and this runner is %s. Write `runs-on: %s`; if the runner's labels have changed, run the job again.", name, ours, labels.Names()[0])
		}
	}
	return ""
}

// shape is what of a workflow matters before it is run.
type shape struct {
	id     string
	runsOn []string
	steps  int
}

// readShape reads a workflow with exactly one job. It minds nothing else: the
// executor reads the workflow properly.
func readShape(workflow []byte) (shape, error) {
	var read struct {
		Jobs map[string]struct {
			RunsOn yaml.Node   `yaml:"runs-on"`
			Steps  []yaml.Node `yaml:"steps"`
		} `yaml:"jobs"`
	}
	if err := yaml.Unmarshal(workflow, &read); err != nil {
		return shape{}, err
	}
	if len(read.Jobs) != 1 {
		return shape{}, fmt.Errorf("it has %d jobs where Gitea sends one", len(read.Jobs))
	}
	for id, job := range read.Jobs {
		runsOn, err := words(&job.RunsOn)
		return shape{id: id, runsOn: runsOn, steps: len(job.Steps)}, err
	}
	panic("unreachable: there is one job")
}

// words reads a runs-on: a word, a list of words, or a map with labels.
func words(node *yaml.Node) ([]string, error) {
	for node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch node.Kind {
	case yaml.ScalarNode:
		if node.Value == "" {
			return nil, nil
		}
		return []string{node.Value}, nil
	case yaml.SequenceNode:
		var list []string
		err := node.Decode(&list)
		return list, err
	case yaml.MappingNode:
		var group struct {
			Labels yaml.Node `yaml:"labels"`
		}
		if err := node.Decode(&group); err != nil {
			return nil, err
		}
		return words(&group.Labels)
	}
	return nil, nil
}

// githubContext is a task's context as text, without the event and the tokens,
// which a Job has in fields of their own.
func githubContext(fields map[string]*structpb.Value) map[string]string {
	context := make(map[string]string, len(fields))
	for key, value := range fields {
		switch key {
		case keyEvent, keyToken, keyRuntimeToken, keyActionsURL:
			continue
		}
		switch kind := value.GetKind().(type) {
		case *structpb.Value_StringValue:
			context[key] = kind.StringValue
		case *structpb.Value_BoolValue:
			context[key] = strconv.FormatBool(kind.BoolValue)
		case *structpb.Value_NumberValue:
			context[key] = strconv.FormatFloat(kind.NumberValue, 'f', -1, 64)
		}
	}
	return context
}

// needs are the jobs that this one needed; Gitea's RESULT_SUCCESS is success.
func needs(needed map[string]*runnerv1.TaskNeed) map[string]executor.Need {
	if len(needed) == 0 {
		return nil
	}
	found := make(map[string]executor.Need, len(needed))
	for id, need := range needed {
		result := strings.ToLower(strings.TrimPrefix(need.GetResult().String(), "RESULT_"))
		found[id] = executor.Need{Result: result, Outputs: need.GetOutputs()}
	}
	return found
}

// secretsOf are the values of a job that no row may show.
func secretsOf(job executor.Job) []string {
	values := []string{job.Token, job.RuntimeToken, job.Context["actions_id_token_request_token"]}
	for _, value := range job.Secrets {
		values = append(values, value)
	}
	return values
}

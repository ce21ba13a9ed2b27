package steps

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nektos/act/pkg/exprparser"
	"github.com/nektos/act/pkg/model"
	"github.com/nektos/act/pkg/runner"
	"gopkg.in/yaml.v3"
)

// Evaluate gives the workflow's and the job's own env: with expressions
// evaluated, as it is before the first step. Job.Env isn't in it.
func Evaluate(ctx context.Context, job Job) (map[string]string, error) {
	env := map[string]string{}
	err := before(ctx, job, func(e *evaluation) error {
		layers := []map[string]string{e.doc.workflow.Env, e.rc.Run.Job().Environment()}
		for _, layer := range layers {
			for name, value := range layer {
				evaluated, err := e.interpolate(value)
				if err != nil {
					return fmt.Errorf("env %s: %w", name, err)
				}
				env[name] = evaluated
			}
		}
		return nil
	})
	return env, err
}

// JobIf tells whether the job's if: lets it run.
func JobIf(ctx context.Context, job Job) (bool, error) {
	var run bool
	err := before(ctx, job, func(e *evaluation) error {
		condition := cmp.Or(e.rc.Run.Job().If.Value, "success()")
		var err error
		run, err = runner.EvalBool(e.ctx, e.rc.ExprEval, condition, exprparser.DefaultStatusCheckSuccess)
		if err != nil {
			return fmt.Errorf("if %q of job %s: %w", condition, job.ID, err)
		}
		return nil
	})
	return run, err
}

// Image gives the image that the job asks for with container:, "" when it
// doesn't.
func Image(ctx context.Context, job Job) (string, error) {
	var image string
	err := before(ctx, job, func(e *evaluation) error {
		var err error
		if image, err = e.interpolate(e.info.Image); err != nil {
			return fmt.Errorf("container.image of job %s: %w", job.ID, err)
		}
		return nil
	})
	return image, err
}

// Timeout gives the job's timeout-minutes, 0 when it has none. Minutes may be
// fractions and expressions.
func Timeout(ctx context.Context, job Job) (time.Duration, error) {
	var limit time.Duration
	err := before(ctx, job, func(e *evaluation) error {
		text, err := e.interpolate(e.info.Timeout)
		if err != nil {
			return fmt.Errorf("timeout-minutes of job %s: %w", job.ID, err)
		}
		if text = strings.TrimSpace(text); text == "" {
			return nil
		}
		minutes, err := strconv.ParseFloat(text, 64)
		if err != nil || !(minutes > 0) {
			return fmt.Errorf("timeout-minutes of job %s is %q, which isn't a number of minutes", job.ID, text)
		}
		limit = time.Duration(min(minutes, maxMinutes) * float64(time.Minute))
		return nil
	})
	return limit, err
}

// maxMinutes is a year, far below what a time.Duration holds.
const maxMinutes = 365 * 24 * 60

func describeJob(doc *document, id string) (JobInfo, bool) {
	job, ok := doc.workflow.Jobs[id]
	if !ok {
		return JobInfo{}, false
	}
	return describe(id, job), true
}

// evaluation is a job that isn't run, only asked.
type evaluation struct {
	ctx    context.Context
	doc    *document
	info   JobInfo // as the workflow has it, before it is adapted to act
	rc     *runner.RunContext
	errors *[]string
}

// before prepares a job, without a Place, for questions.
func before(ctx context.Context, job Job, ask func(*evaluation) error) error {
	return guard(func() error {
		doc, err := readDocument(job.Workflow)
		if err != nil {
			return err
		}
		info, ok := describeJob(doc, job.ID)
		if !ok {
			return fmt.Errorf("the workflow has no job %q", job.ID)
		}
		rc := newRunContext(job, doc, info)
		rc.JobContainer = newEnvironment(job, nil, nil)
		e := &evaluation{doc: doc, info: info, rc: rc}
		e.ctx, e.errors = collectErrors(ctx)
		rc.ExprEval = rc.NewExpressionEvaluator(e.ctx)
		return ask(e)
	})
}

// interpolate evaluates the expressions of a string, errors included, which act
// only logs.
func (e *evaluation) interpolate(text string) (string, error) {
	*e.errors = nil
	value := restore(e.rc.ExprEval.Interpolate(e.ctx, text))
	if len(*e.errors) > 0 {
		return "", errors.New(strings.Join(*e.errors, "; "))
	}
	return value, nil
}

// contextEnv is the github context as act takes it: from variables.
func contextEnv(job Job) map[string]string {
	server := strings.TrimSuffix(cmp.Or(job.InstanceURL, job.Context["server_url"]), "/")
	env := map[string]string{
		"GITHUB_SERVER_URL": server,
		"GITHUB_API_URL":    cmp.Or(job.Context["api_url"], server+"/api/v1"),
	}
	for _, key := range []string{
		"run_id", "run_number", "run_attempt", "repository", "repository_owner",
		"ref", "ref_name", "ref_type", "base_ref", "head_ref", "retention_days",
	} {
		if value := job.Context[key]; value != "" {
			env["GITHUB_"+strings.ToUpper(key)] = value
		}
	}
	return env
}

// combinations are the matrix's, which act computes with unchecked type
// assertions.
func combinations(job *model.Job) (all []map[string]any, err error) {
	err = guard(func() error {
		all, err = job.GetMatrixes()
		return err
	})
	return all, err
}

// injectNeeds puts the finished jobs into the workflow, so that needs. and
// success() of the job's if: see them.
func injectNeeds(workflow *model.Workflow, id string, needs map[string]Need) {
	names := yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	for name, need := range needs {
		names.Content = append(names.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: name})
		workflow.Jobs[name] = &model.Job{Result: need.Result, Outputs: defangAll(maps.Clone(need.Outputs))}
	}
	workflow.Jobs[id].RawNeeds = names
}

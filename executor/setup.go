package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"git.autonomic.zone/recipe-maintainers/cc-ci/abra"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/git"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/steps"
	"git.autonomic.zone/recipe-maintainers/cc-ci/swarm"
)

// settingsPage is where a maintainer reads about the settings.
const settingsPage = "https://git.autonomic.zone/recipe-maintainers/cc-ci/src/branch/main/docs/recipes.md"

// announce writes the log's first rows before anything is asked of Docker, so
// that the page shows life at once; then it reads the workflow.
func (r *run) announce(ctx context.Context) error {
	r.phase = "announce"
	r.log.report.Mask(r.job.Token, r.job.RuntimeToken)
	for _, secret := range r.job.Secrets {
		r.log.report.Mask(secret)
	}
	commit := r.job.Context["sha"]
	if len(commit) > 10 {
		commit = commit[:10]
	}
	r.log.rowf("cc-ci %s on %s", r.config.Version, r.config.RunnerName)
	r.log.rowf("recipe  %s", strings.TrimSpace(r.job.Context["repository"]+" "+r.job.Context["ref_name"]+" "+commit))
	r.log.rowf("address %s", r.url)
	r.log.report.Flush()
	workflow, err := steps.Parse(r.job.Workflow)
	if err != nil {
		return asFault("workflow", recipeFault(err, "correct the workflow file and push again", "%v", err))
	}
	info, ok := workflow.Job(r.job.ID)
	if !ok {
		return asFault("workflow", recipeFault(nil, "", "there is no job %q in the workflow", r.job.ID))
	}
	r.info = info
	if err := r.readLimit(ctx); err != nil {
		return err
	}
	wanted, err := steps.JobIf(ctx, r.stepsJob())
	if err != nil {
		return asFault("workflow", recipeFault(err, "correct the expression and push again", "%v", err))
	}
	if r.skipped = !wanted; r.skipped {
		r.log.rowf("the job's if: says no, so nothing is deployed and no step runs")
	}
	return nil
}

// readLimit reads the job's timeout-minutes, which can only shorten the
// runner's own bound.
func (r *run) readLimit(ctx context.Context) error {
	limit, err := steps.Timeout(ctx, r.stepsJob())
	if err != nil {
		return asFault("workflow", recipeFault(err, "write minutes, for example timeout-minutes: 15", "%v", err))
	}
	if limit > 0 {
		r.limit = min(r.limit, limit)
	}
	return nil
}

// takeLease makes the job's folders and the lease, which is on disk before the
// first object is created: whatever happens next, a reaper knows what to look
// for.
func (r *run) takeLease(context.Context) error {
	r.phase = "lease" // too short for the timeline
	lease, err := swarm.TakeLease(r.config.LeaseDir, r.owner, abra.StackName(r.domain), r.dir)
	if err != nil {
		return asFault(r.phase, infraFault(err, "is state_dir writable and not full?", "%v", err))
	}
	r.lease = lease
	for _, name := range []string{"workspace", "act", "run"} {
		if err := os.MkdirAll(r.folder(name), 0o755); err != nil {
			return asFault(r.phase, infraFault(err, "is work_dir writable and not full?", "making the job's folders: %v", err))
		}
	}
	return nil
}

func (r *run) checkout(ctx context.Context) error {
	return r.timed(ctx, "checkout", r.config.Timeouts.Checkout, func(ctx context.Context) error {
		err := checkout(ctx, r.job, r.cloneFolder(), r.config.InstanceCAFile)
		switch {
		case errors.Is(err, git.ErrMissing):
			return infraFault(err, "install git where the runner's service finds it", "%v", err)
		case err != nil && r.job.Dir != "":
			return recipeFault(err, "", "%v", err)
		case err != nil:
			return infraFault(err, "can the runner's host reach the repository with the job's token?", "%v", err)
		}
		return nil
	})
}

// preflight says no before anything is created: to misspelt settings, to what
// the recipe may not do, to names that would not fit. All findings are shown
// at once.
func (r *run) preflight(ctx context.Context) error {
	return r.timed(ctx, "preflight", r.config.Timeouts.Preflight, func(ctx context.Context) error {
		if err := r.readSettings(ctx); err != nil {
			return err
		}
		recipe, err := abra.Open(r.cloneFolder())
		if errors.Is(err, abra.ErrNoCompose) {
			r.log.rowf("no compose.yml in this repository: the steps run without a deployment, and nothing answers at the address")
			return nil
		}
		if err != nil {
			return infraFault(err, "", "%v", err)
		}
		return r.resolve(recipe)
	})
}

func (r *run) readSettings(ctx context.Context) error {
	env, err := steps.Evaluate(ctx, r.stepsJob())
	if err != nil {
		return recipeFault(err, "correct the expression in env: and push again", "%v", err)
	}
	settings, wrong := readSettings(env)
	if len(wrong) > 0 {
		return recipeFault(nil, "the settings are described at "+settingsPage, "%s", strings.Join(wrong, "\n"))
	}
	r.settings = settings
	for _, value := range settings.secrets {
		r.log.report.Mask(value)
	}
	return nil
}

func (r *run) resolve(recipe *abra.Recipe) error {
	app, findings, err := recipe.Resolve(abra.Options{
		Domain:       r.domain,
		Env:          r.settings.env,
		ComposeFile:  r.settings.composeFile,
		Secrets:      r.settings.secrets,
		ProxyNetwork: r.config.ProxyNetwork,
		Commit:       r.job.Context["sha"],
	})
	if err != nil {
		return infraFault(err, "", "reading the recipe: %v", err)
	}
	if app != nil {
		r.log.report.Mask(app.Generated...)
	}
	refused := r.showFindings(findings)
	if refused > 0 {
		return recipeFault(nil, "", "%s; nothing was deployed", countOf(refused, "finding stands", "findings stand")+" in the way of a deployment")
	}
	if r.settings.deploy == deployManual {
		r.log.rowf("CC_CI_DEPLOY is manual: the recipe was checked and is not deployed")
		return nil
	}
	r.app = app
	return nil
}

// showFindings writes the findings, errors outside any group, and returns how
// many errors there are.
func (r *run) showFindings(findings []abra.Finding) (errors int) {
	warnings := slices.DeleteFunc(slices.Clone(findings), func(f abra.Finding) bool { return f.Level != abra.Warning })
	if len(warnings) > 0 {
		r.log.group(countOf(len(warnings), "warning about the recipe", "warnings about the recipe"))
		for _, finding := range warnings {
			r.log.rowf("%s", finding)
		}
		r.log.end()
	}
	for _, finding := range findings {
		if finding.Level == abra.Error {
			r.log.rowf("::error::%s", finding)
			errors++
		}
	}
	return errors
}

func countOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// pull sees to it that the app's images and the sandbox's are on the engine.
func (r *run) pull(ctx context.Context) error {
	warm := true
	err := r.timed(ctx, "pull", r.config.Timeouts.Pull, func(ctx context.Context) error {
		if err := r.chooseImage(ctx); err != nil {
			return err
		}
		images := []string{r.image}
		if r.app != nil {
			images = append(images, r.app.Images...)
		}
		err := r.engine.Pull(ctx, images, "", func(p swarm.PullProgress) {
			if p.Status != "warm" {
				warm = false
				r.log.rowf("%s %s", p.Status, p.Image)
			}
		})
		if err != nil {
			return r.pullFault(err)
		}
		return nil
	})
	if warm && err == nil {
		r.timeline.note("warm")
	}
	return err
}

// chooseImage takes for the sandbox the image of the job's container:, else the
// label's, else the runner's own.
func (r *run) chooseImage(ctx context.Context) error {
	image, err := steps.Image(ctx, r.stepsJob())
	if err != nil {
		return recipeFault(err, "correct container: in the workflow", "%v", err)
	}
	r.imageIsWorkflows = image != ""
	r.image = cmp.Or(image, r.job.Image, r.config.JobImage)
	return nil
}

// pullFault blames the runner for its own image and for registries that don't
// answer, the recipe for an image that its registry hasn't got.
func (r *run) pullFault(err error) error {
	var missing *swarm.ImageError
	switch {
	case !errors.As(err, &missing), !missing.Absent:
		return infraFault(err, r.imageHint(err), "%v", err)
	case strings.Contains(err.Error(), "image "+r.image+" ") && !r.imageIsWorkflows:
		return infraFault(err, r.imageHint(err), "%v", err)
	}
	return recipeFault(err, "", "%v", err)
}

// imageHint says what to do where the runner's own image for steps is missing.
func (r *run) imageHint(err error) string {
	if r.image != r.config.JobImage || !strings.Contains(err.Error(), "image "+r.image+" ") {
		return ""
	}
	return r.image + " is the image for steps: make it with `make job-image` in a checkout of cc-ci, " +
		"or set job_image in the runner's config to one that can be pulled"
}

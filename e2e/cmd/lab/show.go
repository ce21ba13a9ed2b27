package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab"
	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/capsule"
	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/gitea"
)

func showCommand() *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show a push to a recipe's repository on its whole way, and stay up until Ctrl-C",
		Long: `Bring up Gitea, Traefik and a swarm, register and start bin/cc-ci, push the
example recipe and follow its job here. The pages can be opened in a browser on
this machine meanwhile and afterwards; Ctrl-C takes all down.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return within(cmd.Context(), lab.Options{Gitea: true, Traefik: true}, lab.Forwards(),
				func(ctx context.Context, l *lab.Lab, c *capsule.Spec, signals <-chan os.Signal) (int, error) {
					return show(ctx, l, c, signals, once)
				})
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "end with the job; the exit code is 0 if it has succeeded, else 1")
	return cmd
}

const (
	showUser = "maintainer"
	showOrg  = "recipes"
	showRepo = showOrg + "/hello"
)

// jobLimit is how long the shown job may take, from the push to its end.
const jobLimit = 10 * time.Minute

func show(ctx context.Context, l *lab.Lab, c *capsule.Spec, signals <-chan os.Signal, once bool) (code int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outside, err := l.Browse(ctx, c)
	if err != nil {
		return 0, err
	}
	told := make(chan os.Signal, 1)
	go func() { // ends with the context, or the first signal
		select {
		case s := <-signals:
			told <- s
			cancel()
		case <-ctx.Done():
		}
	}()
	user, api, err := furnish(ctx, l)
	if err != nil {
		return 0, interrupted(told, err)
	}
	r, err := startRunner(ctx, l)
	if err != nil {
		return 0, interrupted(told, err)
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	succeeded, err := follow(ctx, l, api, outside)
	switch {
	case err != nil:
		return 0, interrupted(told, err)
	case once && !succeeded:
		return 1, nil
	case once:
		return 0, nil
	}
	fmt.Printf("\nAll stays up until Ctrl-C. Gitea: %s (user %s, password %s)\n", outside.Gitea(api.URL+"/"), user.Name, user.Password)
	<-told
	return 0, nil
}

// interrupted turns an error that only says that the user has had enough into
// the exit code for that.
func interrupted(told <-chan os.Signal, err error) error {
	select {
	case <-told:
		return exitCode(130)
	default:
		return err
	}
}

// furnish makes the user, the organisation and the recipe's repository.
func furnish(ctx context.Context, l *lab.Lab) (gitea.User, *gitea.Client, error) {
	root, err := l.Gitea()
	if err != nil {
		return gitea.User{}, nil, err
	}
	user, err := root.CreateUser(ctx, showUser)
	if err != nil {
		return user, nil, err
	}
	if err := root.CreateOrg(ctx, showOrg, user.Name); err != nil {
		return user, nil, err
	}
	api, err := root.As(ctx, user)
	if err != nil {
		return user, nil, err
	}
	return user, api, api.CreateRepo(ctx, showOrg, "hello")
}

var appURL = regexp.MustCompile(`https://[a-z0-9-]+\.` + regexp.QuoteMeta(lab.BaseDomain))

// follow pushes the recipe, prints its job's log as it grows on the page, and
// tells whether the job has succeeded.
func follow(ctx context.Context, l *lab.Lab, api *gitea.Client, outside *lab.Outside) (succeeded bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, jobLimit)
	defer cancel()
	recipe := os.DirFS(filepath.Join(l.Repo, "examples", "recipes", "hello"))
	commit, err := api.Push(ctx, showRepo, "main", "Add the recipe", recipe)
	if err != nil {
		return false, err
	}
	jobs, err := api.AwaitJobs(ctx, showRepo, commit, 30*time.Second)
	if err != nil {
		return false, err
	}
	job := jobs[0]
	fmt.Printf("Pushed %.10s to %s. The job's page: %s\n\n", commit, showRepo, outside.Gitea(job.HTMLURL))
	page, err := api.Visit().Read(job.HTMLURL)
	if err != nil {
		return false, err
	}
	p := printer{outside: outside, step: -1}
	for {
		seen, err := page.Next(ctx)
		if err != nil {
			return false, fmt.Errorf("read the job's page: %w", err)
		}
		news := p.print(seen)
		// The last lines may come after the end.
		if seen.Done && !news {
			break
		}
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("wait %s for the job: %w", jobLimit, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
	job, err = api.AwaitEnd(ctx, showRepo, job.ID, 10*time.Second)
	if err != nil {
		return false, err
	}
	fmt.Printf("\nThe job's conclusion: %s. Its page: %s\n", job.Conclusion, outside.Gitea(job.HTMLURL))
	return job.Conclusion == "success", nil
}

// printer prints what is new on a job's page.
type printer struct {
	outside *lab.Outside
	step    int  // the step whose heading stands above
	told    bool // of the deployment's URL
}

// print reports whether anything was new.
func (p *printer) print(page gitea.Page) bool {
	news := false
	for i, lines := range page.Lines {
		for _, line := range lines {
			news = true
			if i != p.step {
				p.step = i
				fmt.Printf("── %s\n", page.Steps[i].Summary)
			}
			fmt.Printf("   %s\n", line.Message)
			if url := appURL.FindString(line.Message); url != "" && !p.told {
				p.told = true
				fmt.Printf(">> While it lives, in a browser on this machine: %s\n", p.outside.App(url))
			}
		}
	}
	return news
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"git.autonomic.zone/recipe-maintainers/cc-ci/runner"
)

// maxToken bounds what is read of a token file: a wrong path may be endless.
const maxToken = 4096

// registerFlags are the flags of cc-ci register.
type registerFlags struct {
	settingsFlag
	instance, tokenFile, name string
	labels                    []string
	force                     bool
}

func (m *Main) register() *cobra.Command {
	var flags registerFlags
	c := &cobra.Command{
		Use:   "register",
		Short: "Make this host a runner of a Gitea instance",
		Long: `Registers a new runner with a Gitea instance and writes its identity, which only
this user may read. The registration token comes from Gitea's pages, under
Settings → Actions → Runners of the instance, an organisation or a repository;
it decides whose jobs the runner gets. It is read from a file or from standard
input, so that it appears in no list of processes.`,
		Example: `  cc-ci register --instance https://git.example.org --token-file token
  pass show ci/token | cc-ci register --instance https://git.example.org --token-file -
  cc-ci register --instance … --token-file … --labels cc-ci:docker://my-job-image:1`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return m.registerRunner(c.Context(), flags) },
	}
	flags.register(c)
	f := c.Flags()
	f.StringVar(&flags.instance, "instance", "", "the instance's address, as in a browser (required)")
	f.StringVar(&flags.tokenFile, "token-file", "", "file with the registration token, - for standard input (required)")
	f.StringVar(&flags.name, "name", "", "the runner's name on Gitea's pages (default: this host's)")
	f.StringSliceVar(&flags.labels, "labels", []string{"cc-ci"}, "what runs-on asks for: NAME or NAME:docker://IMAGE")
	f.BoolVar(&flags.force, "force", false, "register anew although there is an identity, which is then lost")
	for _, required := range []string{"instance", "token-file"} {
		_ = c.MarkFlagRequired(required) // fails only for a flag that isn't there
	}
	return c
}

func (m *Main) registerRunner(ctx context.Context, flags registerFlags) error {
	settings, _, err := flags.load()
	if err != nil {
		return err
	}
	if !flags.force {
		if err := unregistered(settings.Identity); err != nil {
			return err
		}
	}
	labels, err := runner.ParseLabels(flags.labels...)
	if err != nil {
		return usage(fmt.Errorf("--labels: %w", err))
	}
	token, err := m.readToken(flags.tokenFile)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(settings.Identity), 0o700); err != nil {
		return fmt.Errorf("making the state folder: %w", err)
	}
	identity, err := runner.Register(ctx, runner.Registration{
		Instance: flags.instance, Token: token, Name: flags.name, Labels: labels,
		Version: readBuild().Version, CAFile: settings.InstanceCAFile,
	})
	if err != nil {
		return err
	}
	if err := identity.Save(settings.Identity); err != nil {
		return err
	}
	_, err = fmt.Fprintf(m.Stdout, "Registered %s with %s for %s; the identity is in %s.\n",
		identity.Name, identity.Address, strings.Join(labels.Names(), ", "), settings.Identity)
	return err
}

// unregistered fails when there is an identity already: registering again makes
// a second runner in Gitea and forgets the first.
func unregistered(path string) error {
	identity, err := runner.LoadIdentity(path)
	if errors.Is(err, runner.ErrNoIdentity) {
		return nil
	}
	if err != nil {
		return err
	}
	return usage(fmt.Errorf("%s is registered with %s already (%s): give --force to register anew, and delete the old one on Gitea's pages",
		identity.Name, identity.Address, path))
}

func (m *Main) readToken(path string) (string, error) {
	in := m.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return "", usage(fmt.Errorf("--token-file: %w", err))
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxToken))
	if err != nil {
		return "", fmt.Errorf("reading the token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" || strings.ContainsAny(token, " \t\n") {
		return "", usage(fmt.Errorf("--token-file: %s doesn't hold a token alone", path))
	}
	return token, nil
}

package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"

	"git.autonomic.zone/recipe-maintainers/cc-ci/config"
)

// settingsFlag is --config, which most verbs have.
type settingsFlag struct{ path string }

func (f *settingsFlag) register(c *cobra.Command) {
	c.Flags().StringVar(&f.path, "config", "", "configuration file (default "+config.DefaultPath+" if it exists)")
	_ = c.MarkFlagFilename("config", "yml", "yaml") // fails only for a flag that isn't there
}

// load reads the file that was named, or the usual one, or takes the defaults.
// The path is "" for defaults.
func (f *settingsFlag) load() (config.Config, string, error) {
	path := f.path
	if path == "" {
		path = config.DefaultPath
	}
	settings, err := config.Load(path)
	switch {
	case f.path == "" && errors.Is(err, fs.ErrNotExist):
		return config.Default(), "", nil
	case err != nil:
		return config.Config{}, path, usage(err)
	}
	return settings, path, nil
}

func (m *Main) config() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Check the configuration",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(m.configCheck(), m.configExample())
	return c
}

func (m *Main) configCheck() *cobra.Command {
	var file settingsFlag
	c := &cobra.Command{
		Use:   "check",
		Short: "Read the configuration and print what it comes to",
		Long: `Reads the configuration as the daemon would and prints every setting with its
value. Each mistake is named with file, line and key, all at once; the exit code
is then 2.`,
		Example: "  cc-ci config check\n  cc-ci config check --config ./config.yml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			settings, path, err := file.load()
			if err != nil {
				return err
			}
			if path == "" {
				path = "no file at " + config.DefaultPath + ": the defaults"
			}
			out, err := yaml.Marshal(settings)
			if err != nil {
				return fmt.Errorf("printing the settings: %w", err)
			}
			_, err = fmt.Fprintf(m.Stdout, "# ok (%s)\n%s", path, out)
			return err
		},
	}
	file.register(c)
	return c
}

func (m *Main) configExample() *cobra.Command {
	return &cobra.Command{
		Use:     "example",
		Short:   "Print a file with every setting, its default and what it is for",
		Example: "  cc-ci config example > " + config.DefaultPath,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(m.Stdout, config.Example())
			return err
		},
	}
}

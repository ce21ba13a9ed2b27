// Package config reads the runner's settings: one YAML file, decoded strictly.
//
// Every mistake in a file is reported at once, each with file, line and key, and
// a misspelt key with the nearest right one. A file that loads is whole: values
// are in range, and certificate files exist and parse.
//
// The package reads no environment variable and no flag, and changes nothing on
// disk. Secrets don't belong in the file: the runner's token lives in the
// identity file that package runner writes.
package config

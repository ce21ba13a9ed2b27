// Command first is cc-ci as far as a sandbox needs it.
package main

import (
	"os"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/inside"
)

func main() { os.Exit(inside.Main(os.Args[2:])) }

package local_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/cmd/cc-ci/local"
	"git.autonomic.zone/recipe-maintainers/cc-ci/executor"
)

// A whole job as it is printed, without and with colours.
func TestTerminalPrintsAJob(t *testing.T) {
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	play := func(colour bool) string {
		var out strings.Builder
		p := local.NewTerminal(&out, colour, []string{"Build with s3cret-value", "Test", "Clean"})
		p.Mask("s3cret", "s3cret-value", "", "two\nline s")
		p.Row(at, "plain s3cret-value and s3cret, line s is gone, two isn't")
		p.Row(at, "::group::Converge")
		p.Row(at, "inside")
		p.Row(at, "::group::Route")
		p.Row(at, "::warning file=a,line=1::slow")
		p.Row(at, "##[endgroup]")
		p.Row(at, "::debug::nothing to see")
		p.Row(at, "::add-mask::hunter2")
		p.Row(at, "::unknown::as it is")
		p.Row(at, "::not a command")
		p.StepStarted(0, at)
		p.Row(at, "::group::left open")
		p.Row(at, "row")
		p.StepFinished(0, at.Add(1500*time.Millisecond), executor.Success)
		p.StepStarted(1, at)
		p.Row(at, "::error::it broke")
		p.StepFinished(1, at.Add(time.Second), executor.Failure)
		p.StepStarted(2, at)
		p.StepFinished(2, at, executor.Skipped)
		p.StepStarted(3, at)
		p.StepFinished(3, at, executor.Cancelled)
		p.Finish(executor.Outcome{Result: executor.Infra, Err: errors.New("teardown: s3cret left")}, 3*time.Second)
		return out.String()
	}
	want := `plain *** and ***, *** is gone, two isn't
Converge
  inside
Route
  warning: slow
::unknown::as it is
::not a command
▶ Build with ***
left open
  row
✓ Build with *** · 1.5 s
▶ Test
error: it broke
✗ Test (failure) · 1.0 s
○ Clean (skipped)
▶ step 4
■ step 4 (cancelled) · 0.0 s
infra in 3.0 s: teardown: *** left
`
	if got := play(false); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	coloured := play(true)
	for _, part := range []string{"\x1b[1mConverge\x1b[0m\n", "\x1b[31merror: it broke\x1b[0m\n", "\x1b[32m✓ Build", "  inside\n"} {
		if !strings.Contains(coloured, part) {
			t.Errorf("%q is missing in\n%q", part, coloured)
		}
	}
}

package local_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/cmd/cc-ci/local"
)

// engine notes what is asked of it.
type engine struct {
	mu    sync.Mutex
	calls []string
	fail  error
}

func (e *engine) note(call string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls = append(e.calls, call)
	return e.fail
}

func (e *engine) SetUp(context.Context, string, func(string)) error { return e.note("set up") }
func (e *engine) Undo(context.Context, string, func(string)) error  { return e.note("undo") }

func place(t *testing.T) local.Place {
	t.Helper()
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	p, err := local.FindPlace()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func quiet(string) {}

func TestFindPlaceMakesFoldersOfTheUsersOwn(t *testing.T) {
	p := place(t)
	for _, folder := range []string{p.Leases, p.Work, p.Actions} {
		if info, err := os.Stat(folder); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v %v", folder, info, err)
		}
	}
	if !strings.HasPrefix(p.Runner, "local-") {
		t.Errorf("the runner id %q could be a daemon's", p.Runner)
	}
	if again, err := local.FindPlace(); err != nil || again != p {
		t.Errorf("a second call gives %+v, %v; the first gave %+v", again, err, p)
	}
}

// What one run set up another may be using: only the last undoes it.
func TestTheLastRunUndoesTheSetUp(t *testing.T) {
	p, e, ctx := place(t), &engine{}, context.Background()
	first, err := p.Borrow(ctx, e, "proxy", quiet)
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.Borrow(ctx, e, "proxy", quiet)
	if err != nil {
		t.Fatal(err)
	}
	if err := first(ctx); err != nil {
		t.Fatal(err)
	}
	if want := []string{"set up", "set up"}; !slices.Equal(e.calls, want) {
		t.Errorf("while one run is left the engine was asked to %q", e.calls)
	}
	if err := second(ctx); err != nil {
		t.Fatal(err)
	}
	if want := []string{"set up", "set up", "undo"}; !slices.Equal(e.calls, want) {
		t.Errorf("the engine was asked to %q, want %q", e.calls, want)
	}
}

// A set-up that fails half-way leaves nothing, and no lock.
func TestAFailedSetUpIsUndone(t *testing.T) {
	p, e, ctx := place(t), &engine{fail: errors.New("no")}, context.Background()
	if _, err := p.Borrow(ctx, e, "proxy", quiet); err == nil {
		t.Fatal("no error")
	}
	e.fail = nil
	giveBack, err := p.Borrow(ctx, e, "proxy", quiet)
	if err != nil {
		t.Fatal(err)
	}
	if err := giveBack(ctx); err != nil {
		t.Fatal(err)
	}
	if want := []string{"set up", "undo", "set up", "undo"}; !slices.Equal(e.calls, want) {
		t.Errorf("the engine was asked to %q, want %q", e.calls, want)
	}
}

// Many runs that begin and end at once: a set-up is undone as often as nobody
// is left, and at the end it is.
func TestManyRunsShareAnEngine(t *testing.T) {
	p, e := place(t), &engine{}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var runs sync.WaitGroup
	for range 8 {
		runs.Go(func() {
			giveBack, err := p.Borrow(ctx, e, "proxy", quiet)
			if err != nil {
				t.Error(err)
				return
			}
			if err := giveBack(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	runs.Wait()
	if len(e.calls) == 0 || e.calls[len(e.calls)-1] != "undo" {
		t.Errorf("the engine was asked to %q: the set-up is left", e.calls)
	}
}

// Somebody else's long change doesn't hold a run that is cancelled.
func TestBorrowEndsWithItsContext(t *testing.T) {
	p, ctx := place(t), context.Background()
	busy, release := make(chan struct{}), make(chan struct{})
	slow := &slowEngine{busy: busy, release: release}
	var run sync.WaitGroup
	run.Go(func() {
		if giveBack, err := p.Borrow(ctx, slow, "proxy", quiet); err == nil {
			_ = giveBack(ctx)
		}
	})
	<-busy
	cause := errors.New("enough")
	ended, cancel := context.WithCancelCause(ctx)
	cancel(cause)
	if _, err := p.Borrow(ended, &engine{}, "proxy", quiet); !errors.Is(err, cause) {
		t.Errorf("got %v, want the context's cause", err)
	}
	close(release)
	run.Wait()
}

type slowEngine struct{ busy, release chan struct{} }

func (e *slowEngine) SetUp(context.Context, string, func(string)) error {
	close(e.busy)
	<-e.release
	return nil
}
func (e *slowEngine) Undo(context.Context, string, func(string)) error { return nil }

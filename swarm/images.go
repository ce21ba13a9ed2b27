package swarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/image"
	"golang.org/x/sync/errgroup"
)

// pullsAtOnce bounds how many images are pulled together. The engine itself
// fetches several layers of each at once.
const pullsAtOnce = 2

// PullProgress is what Pull says about one image.
type PullProgress struct {
	Image string
	// Status is "warm" (it was here already), "pulling" or "pulled".
	Status string
	// Done and Total are bytes of the layers known so far; a pull learns of
	// them as it goes, so Total grows.
	Done, Total int64
	// Took is how long the pull has taken so far.
	Took time.Duration
}

// ImageError tells why an image is not to be had.
type ImageError struct {
	Image string
	// Absent is true when the registry answered that there is no such image,
	// or that it does not give it to us: that is for the recipe to mend. It is
	// false when the registry could not be asked.
	Absent bool
	Err    error
}

// Error says what is wrong in the words of someone who reads a recipe.
func (e *ImageError) Error() string {
	cause := strings.TrimSpace(e.Err.Error())
	why := "its registry could not be asked"
	switch {
	case strings.Contains(cause, "toomanyrequests"):
		why = "its registry limits how often this host may pull"
	case e.Absent:
		why = "its registry has no such image, or it is private; check the service's `image:` for a typo or a removed tag"
	}
	return fmt.Sprintf("image %s is not on this engine and cannot be pulled: %s (%s)", e.Image, why, cause)
}

// Unwrap returns the engine's own error.
func (e *ImageError) Unwrap() error { return e.Err }

// newImageError sorts the engine's words about a failed pull.
func newImageError(name string, err error) *ImageError {
	text := strings.ToLower(err.Error())
	absent := errdefs.IsNotFound(err) || errdefs.IsInvalidArgument(err)
	for _, sign := range []string{"manifest unknown", "not found", "pull access denied", "repository does not exist",
		"unauthorized", "denied: ", "invalid reference format", "no matching manifest"} {
		absent = absent || strings.Contains(text, sign)
	}
	for _, sign := range []string{"toomanyrequests", "dial tcp", "no such host", "i/o timeout", "connection refused"} {
		absent = absent && !strings.Contains(text, sign)
	}
	return &ImageError{Image: name, Absent: absent, Err: err}
}

// ImagesMissing returns which of the images are not on the engine, each once.
func (e *Engine) ImagesMissing(ctx context.Context, images []string) ([]string, error) {
	var missing []string
	for _, name := range distinct(images) {
		_, err := e.api.ImageInspect(ctx, name)
		switch {
		case errdefs.IsNotFound(err):
			missing = append(missing, name)
		case err != nil:
			return nil, fmt.Errorf("look for image %s: %w", name, err)
		}
	}
	return missing, nil
}

// Pull sees to it that the images are on the engine. Those that are there are
// reported as warm, and no registry is asked about them. The others are pulled,
// with auth as the encoded X-Registry-Auth header or "". Progress is called
// from several goroutines, but never twice at once; it may be nil.
//
// All images are tried. The error joins one *ImageError for each that is not to
// be had; with ctx ended it is ctx's.
func (e *Engine) Pull(ctx context.Context, images []string, auth string, progress func(PullProgress)) error {
	missing, err := e.ImagesMissing(ctx, images)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	report := func(p PullProgress) {
		if progress == nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		progress(p)
	}
	for _, name := range distinct(images) {
		if !slices.Contains(missing, name) {
			report(PullProgress{Image: name, Status: "warm"})
		}
	}
	errs := make([]error, len(missing))
	var group errgroup.Group
	group.SetLimit(pullsAtOnce)
	for i, name := range missing {
		group.Go(func() error {
			if err := e.pull(ctx, name, auth, report); err != nil {
				errs[i] = newImageError(name, err)
			}
			return nil
		})
	}
	_ = group.Wait() // errs has the errors, all of them
	if ctx.Err() != nil {
		return fmt.Errorf("pull images: %w", context.Cause(ctx))
	}
	return errors.Join(errs...)
}

// pull pulls one image and reads the engine's account of it to the end, which
// is where failures are told.
func (e *Engine) pull(ctx context.Context, name, auth string, report func(PullProgress)) error {
	start := time.Now()
	report(PullProgress{Image: name, Status: "pulling"})
	body, err := e.api.ImagePull(ctx, name, image.PullOptions{RegistryAuth: auth})
	if err != nil {
		return err
	}
	defer body.Close()
	type layer struct{ done, total int64 }
	layers := map[string]layer{}
	var last time.Time
	for decoder := json.NewDecoder(body); ; {
		var line struct {
			ID             string `json:"id"`
			Error          string `json:"error"`
			ProgressDetail struct {
				Current int64 `json:"current"`
				Total   int64 `json:"total"`
			} `json:"progressDetail"`
		}
		if err := decoder.Decode(&line); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("read the pull's progress: %w", err)
		}
		if line.Error != "" {
			return errors.New(line.Error)
		}
		if line.ProgressDetail.Total > 0 {
			layers[line.ID] = layer{line.ProgressDetail.Current, line.ProgressDetail.Total}
		}
		if now := time.Now(); now.Sub(last) >= time.Second {
			last = now
			p := PullProgress{Image: name, Status: "pulling", Took: time.Since(start)}
			for _, l := range layers {
				p.Done, p.Total = p.Done+l.done, p.Total+l.total
			}
			report(p)
		}
	}
	report(PullProgress{Image: name, Status: "pulled", Took: time.Since(start)})
	return nil
}

// distinct returns names without repetitions, in their order.
func distinct(names []string) []string {
	var once []string
	for _, name := range names {
		if !slices.Contains(once, name) {
			once = append(once, name)
		}
	}
	return once
}

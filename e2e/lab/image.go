package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/supply"
)

// contentLabel tells which content an image was imported with.
const contentLabel = "zone.autonomic.cc-ci.image.content"

// Import gives the engine the image under its name, unless it has that very
// one already.
func Import(ctx context.Context, c *client.Client, img supply.Image, progress *supply.Progress) error {
	have, err := c.ImageInspect(ctx, img.Ref)
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("look for the image %s: %w", img.Ref, err)
	}
	if err == nil && have.Config != nil && have.Config.Labels[contentLabel] == img.Content {
		return nil
	}
	err = progress.Do("importing the image "+img.Ref, func() error { return load(ctx, c, img) })
	if err != nil {
		return fmt.Errorf("import the image %s: %w", img.Ref, err)
	}
	if have.ID != "" {
		// The image that had the name; it is dangling now.
		_, err = c.ImagesPrune(ctx, filters.NewArgs(filters.Arg("dangling", "true"), filters.Arg("label", contentLabel)))
	}
	return err
}

func load(ctx context.Context, c *client.Client, img supply.Image) error {
	f, err := os.Open(img.Tar)
	if err != nil {
		return err
	}
	defer f.Close()
	answer, err := c.ImageImport(ctx, image.ImportSource{Source: f, SourceName: "-"}, img.Ref, image.ImportOptions{
		Changes: append([]string{fmt.Sprintf("LABEL %s=%s", contentLabel, img.Content)}, img.Changes...),
	})
	if err != nil {
		return err
	}
	defer answer.Close()
	for d := json.NewDecoder(answer); ; {
		var m struct{ Error string }
		if err := d.Decode(&m); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if m.Error != "" {
			return errors.New(m.Error)
		}
	}
}

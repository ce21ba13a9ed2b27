package swarm

import (
	"maps"
	"time"

	"github.com/docker/docker/api/types/mount"
)

// The labels that every object of a job carries.
const (
	LabelRunner  = "zone.autonomic.cc-ci.runner"
	LabelTask    = "zone.autonomic.cc-ci.task"
	LabelSlug    = "zone.autonomic.cc-ci.slug"
	LabelExpires = "zone.autonomic.cc-ci.expires"

	// labelStack and labelImage are those of `docker stack deploy`, so that
	// docker's and abra's own commands see the stack.
	labelStack = "com.docker.stack.namespace"
	labelImage = "com.docker.stack.image"
)

// Owner says whose an object is. It goes onto every object as labels.
type Owner struct {
	// Runner is the id of the runner: clean-up touches only objects of its own
	// runner. A daemon uses its registered UUID, cc-ci run one of its own.
	Runner string
	// Task is the task's id as Gitea gave it, or "local".
	Task string
	// Slug is the job's short name, unique on this engine: "hell-k3x9q2".
	Slug string
	// Expires is the hard bound of the job's life. It never changes, and
	// nothing is created for the owner after it.
	Expires time.Time
}

// ownerKey is what makes two owners the same one.
type ownerKey struct{ runner, slug string }

func (o Owner) key() ownerKey { return ownerKey{o.Runner, o.Slug} }

// Labels returns the labels that every object of the owner carries. The map is
// the caller's.
func (o Owner) Labels() map[string]string {
	return map[string]string{
		LabelRunner:  o.Runner,
		LabelTask:    o.Task,
		LabelSlug:    o.Slug,
		LabelExpires: o.Expires.UTC().Format(time.RFC3339),
	}
}

// label returns labels with the owner's on top, so that no recipe can pass its
// objects off as another job's. The map given is left as it was.
func (o Owner) label(labels map[string]string) map[string]string {
	all := make(map[string]string, len(labels)+6)
	maps.Copy(all, labels)
	maps.Copy(all, o.Labels())
	return all
}

// labelMounts puts the owner's labels on the volumes that the mounts make.
func (o Owner) labelMounts(mounts []mount.Mount, extra map[string]string) []mount.Mount {
	labelled := make([]mount.Mount, len(mounts))
	for i, m := range mounts {
		if m.Type == mount.TypeVolume {
			var options mount.VolumeOptions
			if m.VolumeOptions != nil {
				options = *m.VolumeOptions
			}
			all := o.label(options.Labels)
			maps.Copy(all, extra)
			options.Labels = all
			m.VolumeOptions = &options
		}
		labelled[i] = m
	}
	return labelled
}

// owns tells whether an object with these labels is the owner's: either it
// carries the owner's labels, or it carries nobody's and belongs to one of the
// owner's stacks (as everything does that the real abra deploys).
func (o Owner) owns(labels map[string]string, stacks map[string]bool) bool {
	if labels[LabelRunner] == o.Runner && labels[LabelSlug] == o.Slug {
		return true
	}
	return labels[LabelSlug] == "" && labels[labelStack] != "" && stacks[labels[labelStack]]
}

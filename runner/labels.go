package runner

import (
	"fmt"
	"strings"
)

// Label is one word that a job's runs-on may ask this runner for.
type Label struct {
	// Name is what Gitea compares with runs-on, letter for letter.
	Name string
	// Image is the image the job's steps run in; "" leaves it to the
	// configuration.
	Image string
}

// Labels are the labels of a runner.
type Labels []Label

// ParseLabels reads labels as written by an operator: `cc-ci` or
// `cc-ci:docker://IMAGE`. Each may itself be a list with commas.
func ParseLabels(written ...string) (Labels, error) {
	var labels Labels
	for _, list := range written {
		for word := range strings.SplitSeq(list, ",") {
			word = strings.TrimSpace(word)
			if word == "" {
				continue
			}
			label, err := parseLabel(word)
			if err != nil {
				return nil, err
			}
			if labels.has(label.Name) {
				return nil, fmt.Errorf("the label %q is given twice", label.Name)
			}
			labels = append(labels, label)
		}
	}
	if len(labels) == 0 {
		return nil, fmt.Errorf("no label given: cc-ci is the usual one")
	}
	return labels, nil
}

func parseLabel(word string) (Label, error) {
	name, rest, hasSchema := strings.Cut(word, ":")
	if name == "" || strings.ContainsAny(name, " \t") {
		return Label{}, fmt.Errorf("%q is no label: write NAME or NAME:docker://IMAGE", word)
	}
	if !hasSchema {
		return Label{Name: name}, nil
	}
	image, isDocker := strings.CutPrefix(rest, "docker://")
	if !isDocker || image == "" {
		return Label{}, fmt.Errorf("the label %q asks for %q, which this runner can't give: write %s or %s:docker://IMAGE", word, rest, name, name)
	}
	return Label{Name: name, Image: image}, nil
}

// Names are the labels as Gitea is told them: without images.
func (l Labels) Names() []string {
	names := make([]string, len(l))
	for i, label := range l {
		names[i] = label.Name
	}
	return names
}

// Strings are the labels as ParseLabels reads them.
func (l Labels) Strings() []string {
	written := make([]string, len(l))
	for i, label := range l {
		written[i] = label.Name
		if label.Image != "" {
			written[i] += ":docker://" + label.Image
		}
	}
	return written
}

// Image is the image for a job that runs on these names: that of the first name
// with one, or "".
func (l Labels) Image(runsOn []string) string {
	for _, name := range runsOn {
		for _, label := range l {
			if label.Name == name && label.Image != "" {
				return label.Image
			}
		}
	}
	return ""
}

func (l Labels) has(name string) bool {
	for _, label := range l {
		if label.Name == name {
			return true
		}
	}
	return false
}

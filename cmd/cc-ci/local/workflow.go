package local

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// builtIn is the workflow of a recipe that has none: what can be asked of any.
//
//go:embed built-in.yml
var builtIn []byte

// workflow is one job of a file, as Gitea would hand it over.
type workflow struct {
	yaml  []byte
	job   string
	steps []string
	notes []string
}

// narrow does what Gitea's server does before a runner sees a workflow: it
// leaves one job, without needs and with one combination of its matrix.
func narrow(data []byte, wanted string, env [][2]string) (workflow, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return workflow{}, fmt.Errorf("%w: %w", err, ErrUsage)
	}
	if len(doc.Content) == 0 {
		return workflow{}, fmt.Errorf("the workflow is empty: %w", ErrUsage)
	}
	root, err := expand(doc.Content[0], 0)
	if err != nil {
		return workflow{}, fmt.Errorf("%w: %w", err, ErrUsage)
	}
	jobs := get(root, "jobs")
	name, job, err := choose(jobs, wanted)
	if err != nil {
		return workflow{}, err
	}
	w := workflow{job: name, steps: stepNames(get(job, "steps"))}
	jobs.Content = []*yaml.Node{text(name), job}
	if needs := get(job, "needs"); needs != nil {
		w.notes = append(w.notes, "the jobs that this one needs are not run: their outputs are empty")
		remove(job, "needs")
	}
	if one := firstCombination(get(get(job, "strategy"), "matrix")); one != "" {
		w.notes = append(w.notes, "of the matrix only "+one+" is run")
	}
	for _, variable := range env {
		set(job, "env", variable[0], variable[1])
	}
	if w.yaml, err = yaml.Marshal(root); err != nil {
		return workflow{}, fmt.Errorf("writing the workflow of one job: %w", err)
	}
	return w, nil
}

// choose finds the job called wanted, or the only one that can be meant.
func choose(jobs *yaml.Node, wanted string) (string, *yaml.Node, error) {
	names := keys(jobs)
	if wanted == "" {
		ours := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !forUs(get(jobs, n)) })
		switch {
		case len(ours) == 1:
			wanted = ours[0]
		case len(names) == 1:
			wanted = names[0]
		case len(names) == 0:
			return "", nil, fmt.Errorf("the workflow has no jobs: %w", ErrUsage)
		default:
			return "", nil, fmt.Errorf("the workflow has several jobs: choose with --job %s: %w",
				strings.Join(names, " or --job "), ErrUsage)
		}
	}
	job := get(jobs, wanted)
	if job == nil || job.Kind != yaml.MappingNode {
		return "", nil, fmt.Errorf("the workflow has no job %s, it has %s: %w", wanted, strings.Join(names, ", "), ErrUsage)
	}
	return wanted, job, nil
}

// forUs tells whether a job's runs-on asks for a cc-ci runner.
func forUs(job *yaml.Node) bool {
	on := get(job, "runs-on")
	if on == nil {
		return false
	}
	return on.Value == "cc-ci" || slices.ContainsFunc(on.Content, func(n *yaml.Node) bool { return n.Value == "cc-ci" })
}

// Jobs lists the jobs of a workflow file of the recipe in dir, for completion.
func Jobs(dir, file string) []string {
	_, data, err := findWorkflow(dir, file)
	var doc yaml.Node
	if err != nil || yaml.Unmarshal(data, &doc) != nil || len(doc.Content) == 0 {
		return nil
	}
	return keys(get(doc.Content[0], "jobs"))
}

// firstCombination leaves one value of each key of a matrix and says which. A
// matrix of nothing but include leaves the first of these. A matrix that is an
// expression stays: only the runner can evaluate it.
func firstCombination(matrix *yaml.Node) string {
	if matrix == nil || matrix.Kind != yaml.MappingNode {
		return ""
	}
	include := get(matrix, "include")
	remove(matrix, "include")
	remove(matrix, "exclude")
	if len(matrix.Content) == 0 && include != nil && len(include.Content) > 0 {
		matrix.Content = include.Content[0].Content
	}
	var said []string
	for i := 0; i+1 < len(matrix.Content); i += 2 {
		value := matrix.Content[i+1]
		if value.Kind == yaml.SequenceNode && len(value.Content) > 0 {
			value = value.Content[0]
		}
		matrix.Content[i+1] = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{value}}
		said = append(said, matrix.Content[i].Value+"="+value.Value)
	}
	return strings.Join(said, " ")
}

// stepNames names the steps as the Actions page does.
func stepNames(steps *yaml.Node) []string {
	if steps == nil {
		return nil
	}
	names := make([]string, len(steps.Content))
	for i, step := range steps.Content {
		switch {
		case get(step, "name") != nil:
			names[i] = get(step, "name").Value
		case get(step, "uses") != nil:
			names[i] = get(step, "uses").Value
		case get(step, "run") != nil:
			first, _, _ := strings.Cut(strings.TrimSpace(get(step, "run").Value), "\n")
			names[i] = first
		default:
			names[i] = fmt.Sprintf("step %d", i+1)
		}
	}
	return names
}

// maxNesting stops an alias that holds itself.
const maxNesting = 64

// expand copies a tree with each alias replaced by what it stands for, since
// its anchor may be in a part that is cut away.
func expand(n *yaml.Node, depth int) (*yaml.Node, error) {
	if depth > maxNesting {
		return nil, errors.New("the workflow is nested too deeply")
	}
	if n.Kind == yaml.AliasNode {
		return expand(n.Alias, depth+1)
	}
	c := *n
	c.Anchor, c.Content = "", make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		var err error
		if c.Content[i], err = expand(child, depth+1); err != nil {
			return nil, err
		}
	}
	return &c, nil
}

// get returns a key's value in a mapping, or nil.
func get(mapping *yaml.Node, key string) *yaml.Node {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// set sets mapping[group][key], making the group when it isn't a mapping.
func set(mapping *yaml.Node, group, key, value string) {
	inner := get(mapping, group)
	if inner == nil || inner.Kind != yaml.MappingNode {
		remove(mapping, group)
		inner = &yaml.Node{Kind: yaml.MappingNode}
		mapping.Content = append(mapping.Content, text(group), inner)
	}
	remove(inner, key)
	inner.Content = append(inner.Content, text(key), text(value))
}

func remove(mapping *yaml.Node, key string) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			mapping.Content = slices.Delete(mapping.Content, i, i+2)
			return
		}
	}
}

func keys(mapping *yaml.Node) []string {
	if mapping == nil || mapping.Kind != yaml.MappingNode {
		return nil
	}
	var names []string
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		names = append(names, mapping.Content[i].Value)
	}
	return names
}

func text(value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value}
}

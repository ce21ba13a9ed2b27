package abra

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// locator finds the line of a key in the compose files as they were written:
// what the loader returns has forgotten it.
type locator struct {
	docs   []document
	expand func(string) string // interpolates one value
}

type document struct {
	name string
	root *yaml.Node
}

// maxMerges bounds how many merge keys (<<) are followed on the way to a key.
const maxMerges = 20

// add takes a file that is known to be valid YAML.
func (l *locator) add(name string, data []byte) {
	var node yaml.Node
	if err := yaml.Unmarshal(data, &node); err != nil || len(node.Content) == 0 {
		return
	}
	l.docs = append(l.docs, document{name, node.Content[0]})
}

// find returns the file and line of the place that path leads to, or of the
// nearest place above it. A later file wins where both have it, as in merging.
func (l *locator) find(path []string) (file string, line int) {
	best := -1
	for _, doc := range l.docs {
		if depth, at := l.walk(doc.root, path); depth > 0 && depth >= best {
			best, file, line = depth, doc.name, at
		}
	}
	return file, line
}

// walk follows path from node as far as it leads.
func (l *locator) walk(node *yaml.Node, path []string) (depth, line int) {
	line = node.Line
	for _, step := range path {
		key, value := l.child(node, step, maxMerges)
		if value == nil {
			break
		}
		depth++
		line = key.Line
		node = value
	}
	return depth, line
}

// child finds what step names in node: a key of a mapping, an item of a list by
// [index], or the item of a list that is "step=…", "step:…" or a mapping that
// has step as one of its values.
func (l *locator) child(node *yaml.Node, step string, merges int) (key, value *yaml.Node) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	switch node.Kind {
	case yaml.MappingNode:
		return l.inMapping(node, step, merges)
	case yaml.SequenceNode:
		for i, item := range node.Content {
			if step == "["+strconv.Itoa(i)+"]" || l.itemIs(item, step) {
				return item, item
			}
		}
	}
	return nil, nil
}

func (l *locator) inMapping(node *yaml.Node, step string, merges int) (key, value *yaml.Node) {
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == step {
			return node.Content[i], node.Content[i+1]
		}
	}
	for i := 0; i+1 < len(node.Content) && merges > 0; i += 2 {
		if node.Content[i].Value != "<<" {
			continue
		}
		merged := []*yaml.Node{node.Content[i+1]}
		if merged[0].Kind == yaml.SequenceNode {
			merged = merged[0].Content
		}
		for _, m := range merged {
			if key, value = l.child(m, step, merges-1); value != nil {
				return key, value
			}
		}
	}
	return nil, nil
}

// itemIs reports whether a list's item is about step: a label, a variable, a
// volume by its target, a secret by its source.
func (l *locator) itemIs(item *yaml.Node, step string) bool {
	if item.Kind == yaml.AliasNode {
		item = item.Alias
	}
	switch item.Kind {
	case yaml.ScalarNode:
		text := l.expand(item.Value)
		if text == step {
			return true
		}
		if slices.Contains(strings.Split(text, ":"), step) {
			return true
		}
		return strings.HasPrefix(text, step+"=")
	case yaml.MappingNode:
		for i := 1; i < len(item.Content); i += 2 {
			if l.expand(item.Content[i].Value) == step {
				return true
			}
		}
	}
	return false
}

var (
	yamlLine    = regexp.MustCompile(`\bline (\d+)\b`)
	loaderPath  = regexp.MustCompile(`\b(services|networks|volumes|secrets|configs)((?:\.[A-Za-z0-9_-]+)+)`)
	loaderNamed = regexp.MustCompile(`\b(service|network|volume|secret|config) "?([A-Za-z0-9_-]+)"?:`)
)

// inMessage finds the place that a message of the loader tells of.
func (l *locator) inMessage(message string) (file string, line int) {
	if m := loaderPath.FindStringSubmatch(message); m != nil {
		return l.find(append([]string{m[1]}, strings.Split(m[2][1:], ".")...))
	}
	if m := loaderNamed.FindStringSubmatch(message); m != nil {
		return l.find([]string{m[1] + "s", m[2]})
	}
	return "", 0
}

// lineOf reads the line out of a YAML parser's message, or returns 0.
func lineOf(message string) int {
	m := yamlLine.FindStringSubmatch(message)
	if m == nil {
		return 0
	}
	line, err := strconv.Atoi(m[1])
	if err != nil {
		return 0
	}
	return line
}

package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"git.autonomic.zone/recipe-maintainers/cc-ci/spell"
)

// decoder lays a YAML tree over a Config and notes every mistake with its line.
// yaml.v3's own strict mode stops short: it names Go types instead of what to
// write, and can't tell where a value stood once it turns out to be out of range.
type decoder struct {
	file     string
	problems []Problem
	lines    map[string]int // line of each key seen, by dotted path
}

func (d *decoder) add(line int, key, format string, args ...any) {
	d.problems = append(d.problems, Problem{
		File: d.file, Line: line, Key: key, Text: fmt.Sprintf(format, args...),
	})
}

// value decodes node into v, which is a field named key.
func (d *decoder) value(node *yaml.Node, key string, v reflect.Value) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if v.Kind() == reflect.Struct {
		d.mapping(node, key, v)
		return
	}
	if node.Kind != yaml.ScalarNode || node.Tag == "!!null" {
		d.add(node.Line, key, "want %s, found %s", want(v), found(node))
		return
	}
	if !scalar(node, v) {
		d.add(node.Line, key, "want %s, found %s", want(v), found(node))
	}
}

// mapping decodes the keys of node into the fields of v.
func (d *decoder) mapping(node *yaml.Node, path string, v reflect.Value) {
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		return // "timeouts:" with everything below it commented out
	}
	if node.Kind != yaml.MappingNode {
		d.add(node.Line, path, "want keys and values, found %s", found(node))
		return
	}
	fields := fieldsOf(v)
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, child := node.Content[i], node.Content[i+1]
		key := strings.TrimPrefix(path+"."+name.Value, ".")
		field, ok := fields[name.Value]
		switch first, seen := d.lines[key]; {
		case !ok:
			d.unknown(name.Line, key, name.Value, path, fields)
		case seen:
			d.add(name.Line, key, "set twice, first on line %d", first)
		default:
			d.lines[key] = name.Line
			d.value(child, key, field)
		}
	}
}

// unknown reports a key that isn't one, with the nearest that is: of the same
// mapping first, then of the whole file, since a key may be indented wrongly.
func (d *decoder) unknown(line int, key, name, path string, fields map[string]reflect.Value) {
	names := keysOf(fields)
	if right := spell.Nearest(name, names); right != "" {
		d.add(line, key, "no such key, did you mean %s?", strings.TrimPrefix(path+"."+right, "."))
		return
	}
	for _, full := range Keys() {
		if full[strings.LastIndexByte(full, '.')+1:] == name {
			d.add(line, key, "no such key here, did you mean %s?", full)
			return
		}
	}
	d.add(line, key, "no such key; there are %s", strings.Join(names, ", "))
}

// Keys returns the dotted path of every setting, sorted.
func Keys() []string {
	var keys []string
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for name, field := range fieldsOf(v) {
			if field.Kind() == reflect.Struct {
				walk(prefix+name+".", field)
				continue
			}
			keys = append(keys, prefix+name)
		}
	}
	walk("", reflect.ValueOf(&Config{}).Elem())
	slices.Sort(keys)
	return keys
}

func fieldsOf(v reflect.Value) map[string]reflect.Value {
	fields := make(map[string]reflect.Value, v.NumField())
	for i := range v.NumField() {
		fields[v.Type().Field(i).Tag.Get("yaml")] = v.Field(i)
	}
	return fields
}

func keysOf(fields map[string]reflect.Value) []string {
	keys := make([]string, 0, len(fields))
	for k := range fields {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// scalar sets v from node and tells whether node has v's type.
func scalar(node *yaml.Node, v reflect.Value) bool {
	switch v.Interface().(type) {
	case time.Duration:
		t, err := time.ParseDuration(node.Value)
		if err != nil || node.Tag != "!!str" {
			return false
		}
		v.SetInt(int64(t))
		return true
	case Size:
		s, ok := parseSize(node.Value)
		if ok {
			v.SetInt(int64(s))
		}
		return ok
	case string:
		if node.Tag != "!!str" {
			return false
		}
	case int:
		if node.Tag != "!!int" { // yaml.v3 would cut 1.5 to 1
			return false
		}
	}
	return node.Decode(v.Addr().Interface()) == nil
}

// want says in a user's words what v takes.
func want(v reflect.Value) string {
	switch v.Interface().(type) {
	case time.Duration:
		return `a time with its unit like "90s" or "5m"`
	case Size:
		return `a size like "512MiB" or "4GiB"`
	case int:
		return "a whole number"
	case float64:
		return "a number"
	default:
		return "text"
	}
}

// found says in a user's words what node is.
func found(node *yaml.Node) string {
	switch {
	case node.Kind == yaml.MappingNode:
		return "keys and values"
	case node.Kind == yaml.SequenceNode:
		return "a list"
	case node.Tag == "!!null":
		return "nothing"
	default:
		return fmt.Sprintf("%q", node.Value)
	}
}

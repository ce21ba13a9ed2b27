package config

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"

	"gopkg.in/yaml.v3"
)

//go:embed example.yml
var example string

// Example returns a file with every setting, its default and what it is for.
// Loading it gives Default.
func Example() string { return example }

// Load reads the file at path over the defaults. The error is Problems when the
// file could be read: every mistake at once, in the file's order.
func Load(path string) (Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading the configuration: %w", err)
	}
	return parse(path, data)
}

func parse(path string, data []byte) (Config, error) {
	c, d := defaults(), &decoder{file: path, lines: map[string]int{}}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		// An empty file leaves every default.
	case err != nil:
		return Config{}, Problems{syntax(path, err)}
	default:
		d.value(doc.Content[0], "", reflect.ValueOf(&c).Elem())
		if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
			d.add(0, "", "more than one YAML document; only the first would count")
		}
	}
	c.fill()
	c.validate(d)
	if len(d.problems) > 0 {
		slices.SortFunc(d.problems, func(a, b Problem) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key))
		})
		return Config{}, Problems(d.problems)
	}
	return c, nil
}

var syntaxLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntax turns yaml.v3's error into a Problem, whose line is otherwise only in
// the text.
func syntax(path string, err error) Problem {
	m := syntaxLine.FindStringSubmatch(err.Error())
	if m == nil {
		return Problem{File: path, Text: err.Error()}
	}
	line, _ := strconv.Atoi(m[1]) // none is 0
	return Problem{File: path, Line: line, Text: "not YAML: " + err.Error()[len(m[0]):]}
}

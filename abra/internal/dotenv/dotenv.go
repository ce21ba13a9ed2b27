// Package dotenv reads .env files the way abra does: joho/godotenv decides
// what a value is, and this package adds what godotenv drops: where each
// assignment stands, the modifiers in its comment, and values that the file
// can't override but its later lines can refer to.
package dotenv

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/joho/godotenv"
)

// Source is a text with the name it is reported under.
type Source struct {
	Name string
	Text string
}

// Assignment is one KEY=value of a source.
type Assignment struct {
	Key    string
	Source string
	Line   int // 1-based
	Quoted bool
	// Comment is what stands behind the value on its line, without the #.
	Comment string

	start, end int    // of the text with line ends normalised
	raw        string // the statement
}

// SyntaxError tells which line can't be read. It never holds the line's text,
// which may be a secret.
type SyntaxError struct {
	Source string
	Line   int
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s:%d: %s", e.Source, e.Line, e.Reason)
}

// Env is what the sources say together.
type Env struct {
	Values      map[string]string
	Assignments []Assignment // in order
}

// Has reports whether a source named source assigns key.
func (e *Env) Has(source, key string) bool {
	return slices.ContainsFunc(e.Assignments, func(a Assignment) bool {
		return a.Source == source && a.Key == key
	})
}

// Modifiers returns the modifiers of key's last assignment that has any.
func (e *Env) Modifiers(key string) map[string]string {
	for _, a := range slices.Backward(e.Assignments) {
		if a.Key != key {
			continue
		}
		if m := Modifiers(a.Comment); len(m) > 0 {
			return m
		}
	}
	return nil
}

// Parse reads the sources one after another; later assignments win. The keys
// of forced have that value from the first line on: no source can change them,
// and $KEY expands to it everywhere. Forced values are written as they are, so
// they must be plain (letters, digits, dots, hyphens, underscores, colons).
// The error is a *SyntaxError.
func Parse(sources []Source, forced map[string]string) (*Env, error) {
	env := &Env{}
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(forced)) {
		fmt.Fprintf(&text, "%s=%s\n", key, forced[key])
	}
	for _, source := range sources {
		source.Text = strings.ReplaceAll(source.Text, "\r\n", "\n")
		assignments, err := scan(source)
		if err != nil {
			return nil, err
		}
		env.Assignments = append(env.Assignments, assignments...)
		text.WriteString(override(source.Text, assignments, forced))
		text.WriteByte('\n')
	}
	if tooLarge := bounded(env.Assignments, text.Len()); tooLarge != nil {
		return nil, tooLarge
	}
	values, err := godotenv.Unmarshal(text.String())
	if err != nil {
		// Not seen: scan refuses what godotenv refuses. Its own message would
		// quote the text.
		return nil, &SyntaxError{Source: sources[len(sources)-1].Name, Line: 1, Reason: "can't be read as an .env file"}
	}
	maps.Copy(values, forced)
	env.Values = values
	return env, nil
}

// maxExpanded bounds what all values come to once variables are filled in, in
// bytes: each line can double the one above it.
const maxExpanded = 1 << 20

// reference is a variable as godotenv finds it.
var reference = regexp.MustCompile(`\$\(?\{?([A-Z0-9_]+)`)

// bounded refuses values that grow beyond maxExpanded, before godotenv builds
// them. It takes every variable for one that is filled in, quoted or not.
func bounded(assignments []Assignment, total int) error {
	sizes := map[string]int{}
	for _, a := range assignments {
		size := len(a.raw)
		for _, m := range reference.FindAllStringSubmatch(a.raw, -1) {
			size += sizes[m[1]]
			if size > maxExpanded {
				break
			}
		}
		sizes[a.Key] = size
		if total += size; total > 4*maxExpanded || size > maxExpanded {
			return &SyntaxError{a.Source, a.Line, fmt.Sprintf("with its variables filled in it is longer than %d KiB", maxExpanded>>10)}
		}
	}
	return nil
}

// override rewrites the assignments of forced keys in text.
func override(text string, assignments []Assignment, forced map[string]string) string {
	var out strings.Builder
	at := 0
	for _, a := range assignments {
		value, ok := forced[a.Key]
		if !ok {
			continue
		}
		out.WriteString(text[at:a.start])
		fmt.Fprintf(&out, "%s=%s\n", a.Key, value)
		at = a.end
	}
	out.WriteString(text[at:])
	return out.String()
}

// Modifiers reads the key=value words of a comment: "length=64 charset=hex".
// Words of another form are prose and skipped.
func Modifiers(comment string) map[string]string {
	var found map[string]string
	for word := range strings.FieldsSeq(strings.ReplaceAll(comment, "#", " ")) {
		key, value, ok := strings.Cut(word, "=")
		if !ok || key == "" || value == "" || strings.IndexFunc(key, notLower) >= 0 {
			continue
		}
		if found == nil {
			found = map[string]string{}
		}
		found[key] = value
	}
	return found
}

func notLower(r rune) bool { return r < 'a' || r > 'z' }

// scan finds the assignments of one source by godotenv's own rules (v1.5.1,
// parser.go), which the fuzz test compares it with.
func scan(source Source) ([]Assignment, error) {
	src := []byte(source.Text)
	var found []Assignment
	line, counted := 1, 0
	for pos := skipToStatement(src, 0); pos < len(src); pos = skipToStatement(src, pos) {
		line += bytes.Count(src[counted:pos], []byte{'\n'})
		counted = pos
		a := Assignment{Source: source.Name, Line: line, start: pos}
		value, reason := a.readKey(src, pos)
		if reason != "" {
			return nil, &SyntaxError{source.Name, a.Line, reason}
		}
		pos, reason = a.readValue(src, value)
		if reason != "" {
			return nil, &SyntaxError{source.Name, a.Line, reason}
		}
		a.end = pos
		a.raw = source.Text[a.start:a.end]
		found = append(found, a)
	}
	return found, nil
}

// skipToStatement passes over blank space and whole-line comments.
func skipToStatement(src []byte, pos int) int {
	for pos < len(src) {
		next := bytes.IndexFunc(src[pos:], func(r rune) bool { return !unicode.IsSpace(r) })
		if next < 0 {
			return len(src)
		}
		pos += next
		if src[pos] != '#' {
			return pos
		}
		end := bytes.IndexByte(src[pos:], '\n')
		if end < 0 {
			return len(src)
		}
		pos += end
	}
	return pos
}

// readKey reads "export KEY=" from pos and returns where the value begins.
func (a *Assignment) readKey(src []byte, pos int) (value int, reason string) {
	rest := bytes.TrimLeftFunc(src[pos:], isBlank)
	if after, ok := bytes.CutPrefix(rest, []byte("export")); ok && bytes.IndexFunc(after, isBlank) == 0 {
		rest = bytes.TrimLeftFunc(after, isBlank)
	}
	if len(rest) == 0 {
		return 0, "a name without a value: write KEY=value"
	}
	for i, b := range rest {
		r := rune(b)
		switch {
		case b == '=' || b == ':':
			a.Key = strings.TrimRightFunc(string(rest[:i]), unicode.IsSpace)
			if a.Key == "" {
				return 0, "a value without a name: write KEY=value"
			}
			after := bytes.TrimLeftFunc(rest[i+1:], isBlank)
			return len(src) - len(after), ""
		case b == '\n':
			return 0, "a name without a value: write KEY=value"
		case isBlank(r) || b == '_' || b == '.' || unicode.IsLetter(r) || unicode.IsNumber(r):
		default:
			return 0, fmt.Sprintf("a name can't have the character %q: write KEY=value, and # before a comment", r)
		}
	}
	return 0, "a name without a value: write KEY=value"
}

// readValue reads the value at pos and returns where the statement ends.
func (a *Assignment) readValue(src []byte, pos int) (end int, reason string) {
	if pos < len(src) && (src[pos] == '"' || src[pos] == '\'') {
		a.Quoted = true
		end = closingQuote(src, pos)
		if end < 0 {
			return 0, "a quote is opened and never closed"
		}
		rest, _, _ := strings.Cut(string(src[end:]), "\n")
		if trimmed := strings.TrimLeftFunc(rest, isBlank); strings.HasPrefix(trimmed, "#") {
			a.Comment = trimmed[1:]
		}
		return end, ""
	}
	rest := src[pos:]
	end = bytes.IndexFunc(rest, func(r rune) bool { return r == '\n' || r == '\r' })
	if end < 0 {
		end = len(rest)
	}
	runes := []rune(string(rest[:end]))
	for i, r := range runes {
		if r == '#' && i > 0 && isBlank(runes[i-1]) {
			a.Comment = string(runes[i+1:])
			break
		}
	}
	// A value that is a comment: KEY=# note. godotenv keeps it as the value.
	return pos + end, ""
}

// closingQuote returns the position behind the quote that ends the value at
// pos, or -1.
func closingQuote(src []byte, pos int) int {
	for i := pos + 1; i < len(src); i++ {
		if src[i] == src[pos] && src[i-1] != '\\' {
			return i + 1
		}
	}
	return -1
}

// isBlank is godotenv's white space that doesn't end a line.
func isBlank(r rune) bool {
	switch r {
	case '\t', '\v', '\f', '\r', ' ', 0x85, 0xA0:
		return true
	}
	return false
}

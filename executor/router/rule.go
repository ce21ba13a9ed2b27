package router

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// matcher tells whether a request is meant. Its host is without port and in
// lower case.
type matcher func(host string, r *http.Request) bool

// rule is a parsed Traefik rule.
type rule struct {
	match matcher
	hosts []string // each name given to Host, for messages
}

// parseRule reads the part of Traefik's rule language (v2 and v3) that recipes
// use: Host, Path, PathPrefix and Method, with &&, ||, ! and parentheses.
// Anything else is an error that names it.
func parseRule(text string) (rule, error) {
	p := &ruleParser{rest: text}
	m, err := p.any()
	if err == nil && p.peek() != "" {
		err = fmt.Errorf("unexpected %q", p.rest)
	}
	if err != nil {
		return rule{}, fmt.Errorf("rule %s: %w", text, err)
	}
	return rule{match: m, hosts: p.hosts}, nil
}

// ruleParser descends through: any = all {"||" all}; all = one {"&&" one};
// one = "!" one | "(" any ")" | name "(" argument {"," argument} ")".
type ruleParser struct {
	rest  string
	depth int
	hosts []string
}

// maxDepth bounds recursion: a rule comes from a recipe, which may be hostile.
const maxDepth = 50

func (p *ruleParser) any() (matcher, error) {
	return p.chain("||", p.all, func(a, b matcher) matcher {
		return func(h string, r *http.Request) bool { return a(h, r) || b(h, r) }
	})
}

func (p *ruleParser) all() (matcher, error) {
	return p.chain("&&", p.one, func(a, b matcher) matcher {
		return func(h string, r *http.Request) bool { return a(h, r) && b(h, r) }
	})
}

func (p *ruleParser) chain(op string, next func() (matcher, error), join func(a, b matcher) matcher) (matcher, error) {
	left, err := next()
	for err == nil && p.take(op) {
		var right matcher
		if right, err = next(); err == nil {
			left = join(left, right)
		}
	}
	return left, err
}

func (p *ruleParser) one() (matcher, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	defer func() { p.depth-- }()
	switch {
	case p.take("!"):
		m, err := p.one()
		return func(h string, r *http.Request) bool { return !m(h, r) }, err
	case p.take("("):
		m, err := p.any()
		if err == nil && !p.take(")") {
			err = fmt.Errorf("missing ) before %q", p.rest)
		}
		return m, err
	default:
		return p.call()
	}
}

var callStart = regexp.MustCompile(`^([A-Za-z]+)\s*\(`)

func (p *ruleParser) call() (matcher, error) {
	p.peek()
	m := callStart.FindStringSubmatch(p.rest)
	if m == nil {
		return nil, fmt.Errorf("want a matcher like Host(`name`) at %q", p.rest)
	}
	p.rest = p.rest[len(m[0]):]
	var args []string
	for {
		arg, err := p.argument()
		if err != nil {
			return nil, err
		}
		args = append(args, arg)
		if p.take(")") {
			return p.matcher(m[1], args)
		}
		if !p.take(",") {
			return nil, fmt.Errorf("missing ) after %s(… at %q", m[1], p.rest)
		}
	}
}

// argument reads a string in backticks or double quotes.
func (p *ruleParser) argument() (string, error) {
	if quote := p.peek(); quote == "`" || quote == `"` {
		if text, rest, ok := strings.Cut(p.rest[1:], quote); ok {
			p.rest = rest
			return text, nil
		}
	}
	return "", fmt.Errorf("want a name in backticks at %q", p.rest)
}

func (p *ruleParser) matcher(name string, args []string) (matcher, error) {
	switch name {
	case "Host":
		for i := range args {
			args[i] = strings.ToLower(args[i])
		}
		p.hosts = append(p.hosts, args...)
		return func(h string, _ *http.Request) bool { return slices.Contains(args, h) }, nil
	case "Path":
		return func(_ string, r *http.Request) bool { return slices.Contains(args, r.URL.Path) }, nil
	case "PathPrefix":
		return func(_ string, r *http.Request) bool {
			return slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(r.URL.Path, a) })
		}, nil
	case "Method":
		return func(_ string, r *http.Request) bool { return slices.Contains(args, r.Method) }, nil
	default:
		return nil, fmt.Errorf("%s isn't known to cc-ci's own router; it knows Host, Path, PathPrefix and Method", name)
	}
}

// take eats token if it is next.
func (p *ruleParser) take(token string) bool {
	p.peek()
	rest, ok := strings.CutPrefix(p.rest, token)
	p.rest = rest
	return ok
}

// peek skips white space and returns the next byte, or "" at the end.
func (p *ruleParser) peek() string {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	if p.rest == "" {
		return ""
	}
	return p.rest[:1]
}

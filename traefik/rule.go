package traefik

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"iter"
	"strconv"
	"strings"
)

// maxRule bounds a rule's length: a real one has under a hundred characters.
const maxRule = 4096

// Rule is a router's rule: matchers joined by &&, || and !. Whether Traefik
// knows a matcher is for its reader to say.
type Rule struct{ root *node }

// Matcher is one condition of a rule: Host(`a`, `b`).
type Matcher struct {
	// Name is as written; Traefik doesn't tell case.
	Name string
	// Values are never empty, nor is there none. Any of them may match: Traefik
	// v2 knows lists. Those of Host are as Traefik compares them: lower case, one
	// trailing dot off.
	Values []string
}

// Is reports whether the matcher is the one that Traefik calls name.
func (m Matcher) Is(name string) bool { return strings.EqualFold(m.Name, name) }

// node is a part of a rule: a matcher, or what op does with others.
type node struct {
	op          token.Token // LAND, LOR, NOT or, for a matcher, ILLEGAL
	left, right *node       // right for LAND and LOR only
	matcher     Matcher
}

// ParseRule reads a rule. The error goes on after "the rule": what is wrong.
//
// Traefik parses a rule as a Go expression (vulcand/predicate), so this does
// too.
func ParseRule(text string) (Rule, error) {
	if len(text) > maxRule {
		return Rule{}, fmt.Errorf("is longer than %d characters", maxRule)
	}
	expr, err := parser.ParseExpr(text)
	if err != nil {
		return Rule{}, fmt.Errorf("can't be read: %s", complaint(err))
	}
	root, err := read(expr)
	return Rule{root: root}, err
}

// complaint is the first thing that Go's parser has to say, without the place,
// which is one in a line that nobody sees.
func complaint(err error) string {
	if list := (scanner.ErrorList)(nil); errors.As(err, &list) && len(list) > 0 {
		return list[0].Msg
	}
	return err.Error()
}

// read takes an expression over, or reports its first part that isn't of a
// rule's form.
func read(expr ast.Expr) (*node, error) {
	switch e := expr.(type) {
	case *ast.ParenExpr:
		return read(e.X)
	case *ast.UnaryExpr:
		if e.Op != token.NOT {
			return nil, fmt.Errorf("has the operator %s, which Traefik doesn't know", e.Op)
		}
		left, err := read(e.X)
		return &node{op: e.Op, left: left}, err
	case *ast.BinaryExpr:
		if e.Op != token.LAND && e.Op != token.LOR {
			return nil, fmt.Errorf("has the operator %s, which Traefik doesn't know", e.Op)
		}
		left, err := read(e.X)
		if err != nil {
			return nil, err
		}
		right, err := read(e.Y)
		return &node{op: e.Op, left: left, right: right}, err
	case *ast.CallExpr:
		return readCall(e)
	}
	return nil, errForm
}

var errForm = errors.New("isn't made of functions such as Host(`…`)")

func readCall(call *ast.CallExpr) (*node, error) {
	name, ok := call.Fun.(*ast.Ident)
	if !ok {
		return nil, errForm
	}
	if len(call.Args) == 0 || call.Ellipsis.IsValid() {
		return nil, fmt.Errorf("has %s without a value", name.Name)
	}
	m := Matcher{Name: name.Name}
	for _, arg := range call.Args {
		value := literal(arg)
		if value == "" {
			return nil, fmt.Errorf("has %s with something that isn't a text, or an empty one", name.Name)
		}
		if m.Is("Host") {
			value = canonical(value)
		}
		m.Values = append(m.Values, value)
	}
	return &node{matcher: m}, nil
}

// literal returns the text of a string literal, or "".
func literal(expr ast.Expr) string {
	lit, ok := expr.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return ""
	}
	text, err := strconv.Unquote(lit.Value)
	if err != nil {
		return ""
	}
	return text
}

// canonical is a host as Traefik compares it: lower case, one trailing dot off.
func canonical(host string) string {
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// Matchers are a rule's matchers, as they are written from left to right.
func (r Rule) Matchers() iter.Seq[Matcher] {
	return func(yield func(Matcher) bool) { r.root.each(yield) }
}

func (n *node) each(yield func(Matcher) bool) bool {
	switch {
	case n == nil:
		return true
	case n.op == token.ILLEGAL:
		return yield(n.matcher)
	}
	return n.left.each(yield) && n.right.each(yield)
}

// Holds reports whether the rule is true of something of which holds says
// which matchers are.
func (r Rule) Holds(holds func(Matcher) bool) bool {
	return r.root != nil && r.root.holds(holds)
}

func (n *node) holds(holds func(Matcher) bool) bool {
	switch n.op {
	case token.NOT:
		return !n.left.holds(holds)
	case token.LAND:
		return n.left.holds(holds) && n.right.holds(holds)
	case token.LOR:
		return n.left.holds(holds) || n.right.holds(holds)
	default:
		return holds(n.matcher)
	}
}

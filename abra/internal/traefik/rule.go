// Package traefik judges the Traefik labels of a recipe: whether they can take
// a route, a name or a service that isn't the app's own. It reads them as
// Traefik v3.6 does.
package traefik

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
)

// maxRule bounds a rule's length: a real one has under a hundred characters.
const maxRule = 4096

// OnlyHost reports whether a request that matches the router rule always has
// the host given. The error says why the rule can't be read.
//
// Traefik parses a rule as a Go expression (vulcand/predicate), so this does
// too, and what it doesn't know it takes for a rule that matches any host.
func OnlyHost(rule, host string) (bool, error) {
	if len(rule) > maxRule {
		return false, fmt.Errorf("is longer than %d characters", maxRule)
	}
	expr, err := parser.ParseExpr(rule)
	if err != nil {
		return false, fmt.Errorf("isn't a Traefik rule")
	}
	if err := check(expr); err != nil {
		return false, err
	}
	return implies(expr, canonical(host), false), nil
}

// implies reports whether expr, negated if not is true, holds for host only.
// It looks at each side of an "and" by itself rather than at the hosts both
// allow: a host resolver may give a request two names.
func implies(expr ast.Expr, host string, not bool) bool {
	switch e := expr.(type) {
	case *ast.ParenExpr:
		return implies(e.X, host, not)
	case *ast.UnaryExpr:
		return implies(e.X, host, !not)
	case *ast.BinaryExpr:
		left, right := implies(e.X, host, not), implies(e.Y, host, not)
		if (e.Op == token.LAND) != not {
			return left || right
		}
		return left && right
	case *ast.CallExpr:
		return !not && isHost(e, host)
	}
	return false
}

// isHost reports whether call is Host with the host given. Several arguments
// are Traefik v2's list: any of them matches.
func isHost(call *ast.CallExpr, host string) bool {
	if !strings.EqualFold(call.Fun.(*ast.Ident).Name, "Host") {
		return false
	}
	for _, arg := range call.Args {
		if canonical(literal(arg)) != host {
			return false
		}
	}
	return true
}

// check reports the first part of expr that isn't of a rule's form: functions
// of strings, joined by &&, || and !.
func check(expr ast.Expr) error {
	switch e := expr.(type) {
	case *ast.ParenExpr:
		return check(e.X)
	case *ast.UnaryExpr:
		if e.Op != token.NOT {
			return fmt.Errorf("has the operator %s, which Traefik doesn't know", e.Op)
		}
		return check(e.X)
	case *ast.BinaryExpr:
		if e.Op != token.LAND && e.Op != token.LOR {
			return fmt.Errorf("has the operator %s, which Traefik doesn't know", e.Op)
		}
		if err := check(e.X); err != nil {
			return err
		}
		return check(e.Y)
	case *ast.CallExpr:
		return checkCall(e)
	}
	return fmt.Errorf("isn't made of functions such as Host(`…`)")
}

func checkCall(call *ast.CallExpr) error {
	name, ok := call.Fun.(*ast.Ident)
	if !ok {
		return fmt.Errorf("isn't made of functions such as Host(`…`)")
	}
	if len(call.Args) == 0 || call.Ellipsis.IsValid() {
		return fmt.Errorf("has %s without a value", name.Name)
	}
	for _, arg := range call.Args {
		if literal(arg) == "" {
			return fmt.Errorf("has %s with something that isn't a text, or an empty one", name.Name)
		}
	}
	return nil
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

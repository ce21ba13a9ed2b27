package traefik

import (
	"go/token"
	"slices"
)

// OnlyHost reports whether a request that matches the router rule always has
// the host given. The error says why the rule can't be read. A matcher that it
// doesn't know may match any host.
func OnlyHost(rule, host string) (bool, error) {
	parsed, err := ParseRule(rule)
	if err != nil {
		return false, err
	}
	return parsed.root.implies(canonical(host), false), nil
}

// implies reports whether the part, negated if not is true, holds for host
// only. It looks at each side of an "and" by itself rather than at the hosts
// both allow: a host resolver may give a request two names.
func (n *node) implies(host string, not bool) bool {
	switch n.op {
	case token.NOT:
		return n.left.implies(host, !not)
	case token.LAND, token.LOR:
		left, right := n.left.implies(host, not), n.right.implies(host, not)
		if (n.op == token.LAND) != not {
			return left || right
		}
		return left && right
	default:
		other := func(value string) bool { return value != host }
		return !not && n.matcher.Is("Host") && !slices.ContainsFunc(n.matcher.Values, other)
	}
}

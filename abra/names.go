package abra

import (
	"fmt"
	"regexp"
)

// How long Swarm lets names be, in characters.
const (
	maxServiceName = 63 // and networks
	maxObjectName  = 64 // secrets, configs
)

// Swarm's own checks of names (swarmkit, manager/controlapi).
var (
	serviceName = regexp.MustCompile(`^[a-zA-Z0-9](?:[-_]*[A-Za-z0-9]+)*$`)
	objectName  = regexp.MustCompile(`^[a-zA-Z0-9]+(?:[a-zA-Z0-9-_.]*[a-zA-Z0-9])?$`)
)

// budget checks the names of all objects and notes the longest.
type budget struct {
	*findings
	app  *App
	seen map[string]bool
}

func (b budget) check(kind, name string, where place, limit int, form *regexp.Regexp) {
	if len(name) > len(b.app.LongestName) {
		b.app.LongestName = name
	}
	stack := len(b.app.StackName)
	twice := b.seen[kind+" "+name]
	b.seen[kind+" "+name] = true
	switch {
	case twice:
		b.put(Error, ruleNames, where, "give each a name of its own", "there is another %s named %s", kind, name)
	case len(name) > limit:
		b.put(Error, ruleNames, where, "shorten the name, or its version", "the %s would be named %s: %d for the stack's name and %d for _ and its own come to %d characters, and Swarm takes %d",
			kind, name, stack, len(name)-stack, len(name), limit)
	case !form.MatchString(name):
		b.put(Error, ruleNames, where, "use letters, digits, - and _, and end with a letter or digit", "the %s would be named %s, which Swarm refuses", kind, fmt.Sprintf("%q", name))
	}
}

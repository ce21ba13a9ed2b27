package abra

import (
	"io"
	"time"

	"github.com/docker/docker/api/types/swarm"
)

// Options says which app a recipe is to become.
type Options struct {
	// Domain is the app's host name; STACK_NAME is Domain with dots as
	// underscores.
	Domain string
	// Env are lines for the app's .env, after those of .env.sample: KEY=value.
	Env string
	// ComposeFile overrides COMPOSE_FILE: colon-separated, relative to the recipe.
	ComposeFile string
	// Secrets are values for the app's secrets by short name, in any case
	// (db_password, or DB_PASSWORD as of CC_CI_SECRET_DB_PASSWORD); those not given
	// are generated.
	Secrets map[string]string
	// ProxyNetwork is the one external network a recipe may use; "" is "proxy".
	ProxyNetwork string
	// Commit is the recipe's commit, for the label chaos-version; "" for none.
	Commit string
	// Random is what secrets are made from; nil is crypto/rand.
	Random io.Reader
}

// App is a recipe with its env, resolved: everything Docker has to be told, in
// Docker's API types.
type App struct {
	Recipe    string // folder name or TYPE of .env.sample
	Version   string // from the label coop-cloud.<stack>.version, or ""
	Domain    string
	StackName string
	// Env is what interpolation saw.
	Env map[string]string
	// Routed tells that a Traefik router sends Domain to one of the services: a
	// route is expected.
	Routed   bool
	Networks []Network
	// External is the proxy network if a service uses it; no other is allowed.
	External []string
	Secrets  []swarm.SecretSpec
	Configs  []swarm.ConfigSpec
	// Services have references to networks, secrets and configs by name; the ids
	// are empty.
	Services []swarm.ServiceSpec
	// Images are the images of all services, each once, sorted.
	Images []string
	// Generated are the values of secrets made here: to be masked in logs.
	Generated []string
	// Timeout is the recipe's own (label coop-cloud.<stack>.timeout), or 0.
	Timeout time.Duration
	// LongestName is the longest object name: the name budget's sum.
	LongestName string
}

// Network is one overlay network of the app.
type Network struct {
	Name     string
	Driver   string
	Internal bool
	Options  map[string]string
	Labels   map[string]string
	IPAM     []string
}

// Level is how bad a Finding is.
type Level string

// The levels: an error stops the job before anything is created.
const (
	Error   Level = "error"
	Warning Level = "warning"
)

// Finding is one thing a recipe's author should know: what, where, why and
// what to do.
type Finding struct {
	Level   Level
	Rule    string // "policy", "env", "compose", "names", "R009"
	File    string // relative to the recipe
	Line    int    // 1-based; 0: the file as a whole
	Service string // the service's short name, or ""
	Key     string // the compose key: "volumes[/data]", "privileged"
	Text    string // what is wrong and why
	Hint    string // what to do
}

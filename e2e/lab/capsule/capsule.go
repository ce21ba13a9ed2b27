package capsule

import (
	"encoding/json"
	"fmt"
	"os"
)

// Address is the capsule's own address: programs on the capsule's network and
// containers behind a bridge in it reach a server that listens there under the
// same name.
const Address = "10.77.0.1"

// Spec describes a capsule.
type Spec struct {
	// Run is the capsule's folder under /run, seen inside and outside. It is
	// made when the capsule starts and removed when it ends.
	Run string `json:"run"`

	// Cgroup is the name of the control group below the root in which
	// programs inside put what they start. Outside, it is removed at the end.
	Cgroup string `json:"cgroup"`

	// Forwards lead from outside into the capsule.
	Forwards []Forward `json:"forwards,omitempty"`
}

// Forward leads from a port of 127.0.0.1 outside to a unix socket inside.
type Forward struct {
	// Name names the forward; its socket is Run/<Name>.sock.
	Name string `json:"name"`

	// Port is the port outside. When it is taken, a free one stands in and is
	// told to the program inside.
	Port int `json:"port"`
}

// The stages a program passes on its way into the capsule; the value of
// stageEnv.
const (
	stageEnv     = "CC_CI_CAPSULE_STAGE"
	specEnv      = "CC_CI_CAPSULE_SPEC"
	stageFirst   = "first"
	stageInside  = "inside"
	stageJanitor = "janitor"
)

// Inside returns the capsule's description in a program that runs inside one
// because Enter started it, and nil in any other.
func Inside() (*Spec, error) {
	if os.Getenv(stageEnv) != stageInside {
		return nil, nil
	}
	return specFromEnv()
}

func specFromEnv() (*Spec, error) {
	var s Spec
	if err := json.Unmarshal([]byte(os.Getenv(specEnv)), &s); err != nil {
		return nil, fmt.Errorf("read the capsule's description: %w", err)
	}
	return &s, nil
}

// Environ returns the environment without the capsule's own variables, for
// programs that are started inside.
func Environ() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !hasKey(kv, stageEnv) && !hasKey(kv, specEnv) {
			env = append(env, kv)
		}
	}
	return env
}

func hasKey(kv, key string) bool {
	return len(kv) > len(key) && kv[:len(key)] == key && kv[len(key)] == '='
}

package process

import (
	"encoding/json"
	"fmt"
	"time"
)

// Request asks for one command.
type Request struct {
	Argv []string `json:"argv"`
	Env  []string `json:"env"`
	Dir  string   `json:"dir"`
}

// Stop asks that the command and all it started end.
type Stop struct {
	// Grace is how long they may take over it before they are killed: SIGINT at
	// once, SIGTERM after half of it, SIGKILL at its end.
	Grace time.Duration `json:"grace"`
}

// Exit says how a command ended.
type Exit struct {
	Code   int    `json:"code"`
	Signal string `json:"signal,omitempty"`
	OOM    bool   `json:"oom,omitempty"`
	// Error is why the command could not be started; "" when it ran.
	Error string `json:"error,omitempty"`
}

// Err is the exit as Go has it: nil, an *ExitError or a *StartError.
func (e Exit) Err() error {
	switch {
	case e.Error != "":
		return &StartError{Code: e.Code, Reason: e.Error}
	case e.Code != 0 || e.Signal != "":
		return &ExitError{Code: e.Code, Signal: e.Signal, OOM: e.OOM}
	default:
		return nil
	}
}

// Decode reads a frame's payload as the message T. An unreadable one is an error
// that names the message.
func Decode[T Request | Stop | Exit](payload []byte) (T, error) {
	var message T
	if err := json.Unmarshal(payload, &message); err != nil {
		return message, fmt.Errorf("read a %T: %w", message, err)
	}
	return message, nil
}

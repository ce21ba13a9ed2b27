package abra

import (
	"encoding/json"
	"fmt"
)

// recode turns a value of one of Docker's Go types into the type of the same
// name in another of its modules, by way of the JSON that both stand for:
// docker/cli speaks github.com/moby/moby/api, the engine's client of this
// program github.com/docker/docker/api.
func recode[To, From any](from From) (To, error) {
	var to To
	data, err := json.Marshal(from)
	if err != nil {
		return to, fmt.Errorf("encode %T: %w", from, err)
	}
	if err := json.Unmarshal(data, &to); err != nil {
		return to, fmt.Errorf("decode %T: %w", to, err)
	}
	return to, nil
}

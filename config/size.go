package config

import (
	"math"

	"github.com/docker/go-units"
)

// Size is an amount of memory in bytes, written with a binary unit: 512MiB, 4GiB.
type Size int64

// String writes s with the largest unit that keeps it readable.
func (s Size) String() string { return units.BytesSize(float64(s)) }

// MarshalYAML writes s as a file would have it.
func (s Size) MarshalYAML() (any, error) { return s.String(), nil }

func parseSize(text string) (Size, bool) {
	n, err := units.RAMInBytes(text)
	return Size(n), err == nil && n >= 0 && n < math.MaxInt64
}

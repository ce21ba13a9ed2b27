// Package traefik holds the files that make Traefik a stack: compose.yml, the
// static configuration traefik.yml and the dynamic one dynamic.yml. The host and
// the lab deploy the same.
package traefik

import "embed"

// Files has the stack's files at its root.
//
//go:embed compose.yml traefik.yml dynamic.yml
var Files embed.FS

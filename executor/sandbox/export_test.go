package sandbox

// Unstarted is a sandbox of which only the folders are known.
func Unstarted(spec Spec) *Sandbox {
	s := &Sandbox{spec: spec}
	s.shared, _ = spec.binds()
	return s
}

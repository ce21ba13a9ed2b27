package supply

import "context"

// GiteaProgram builds Gitea.
func (s *Supply) GiteaProgram(ctx context.Context) (program, root string, err error) {
	if program, err = s.Tool(ctx, Gitea); err != nil {
		return "", "", err
	}
	root, err = s.moduleDir(ctx, Gitea)
	return program, root, err
}

// GiteaPages makes them.
func (s *Supply) GiteaPages(context.Context) (string, error) { return "", nil }

package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/capsule"
	"git.autonomic.zone/recipe-maintainers/cc-ci/e2e/lab/gitea"
)

// GiteaFacts describes the lab's Gitea.
type GiteaFacts struct {
	// URL is where the lab's programs and its containers reach it.
	URL string

	// AdminToken is an API token with all rights.
	AdminToken string

	// AdminUser is the name of the token's user.
	AdminUser string

	// Runner is the path of the official runner's program, for comparison.
	Runner string
}

const giteaAddress = capsule.Address + ":3000"

// giteaConfig is Gitea's configuration; the blanks are the state folder, the
// module's folder, the secret key and the internal token.
const giteaConfig = `APP_NAME = cc-ci lab
RUN_MODE = prod
; A capsule has nobody else in it.
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = true
WORK_PATH = %[1]s

[server]
HTTP_ADDR = 0.0.0.0
HTTP_PORT = 3000
ROOT_URL = http://` + giteaAddress + `/
; Links follow the address the browser came by.
PUBLIC_URL_DETECTION = auto
DISABLE_SSH = true
OFFLINE_MODE = true
LFS_START_SERVER = false
STATIC_ROOT_PATH = %[2]s

[database]
DB_TYPE = sqlite3
PATH = %[1]s/gitea.db
SQLITE_JOURNAL_MODE = WAL

[security]
INSTALL_LOCK = true
SECRET_KEY = %[3]s
INTERNAL_TOKEN = %[4]s

[service]
DISABLE_REGISTRATION = true

[repository]
ROOT = %[1]s/repositories
DEFAULT_BRANCH = main

[actions]
ENABLED = true

[indexer]
ISSUE_INDEXER_TYPE = db

[mailer]
ENABLED = false

[log]
LEVEL = Warn
`

// giteaUp starts a new Gitea with an administrator.
func (l *Lab) giteaUp(ctx context.Context, g goods) error {
	dir := filepath.Join(l.State, "gitea")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	config := filepath.Join(dir, "app.ini")
	text := fmt.Sprintf(giteaConfig, dir, g.GiteaRoot, randomHex(32), randomHex(32))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	env := []string{"GITEA_WORK_DIR=" + dir, "GITEA_CUSTOM=" + g.GiteaPages, "HOME=" + dir}
	p, err := l.start("gitea", env, g.Gitea, "web", "--config", config)
	if err != nil {
		return err
	}
	l.gitea = p
	api := gitea.New("http://"+giteaAddress, "")
	if err := p.await(ctx, time.Minute, api.Ping); err != nil {
		return err
	}
	const admin = "lab-admin"
	token, err := createAdmin(ctx, env, g.Gitea, config, admin)
	if err != nil {
		return err
	}
	l.Facts.Gitea = &GiteaFacts{URL: "http://" + giteaAddress, AdminToken: token, AdminUser: admin, Runner: g.Runner}
	return nil
}

var tokenLine = regexp.MustCompile(`(?i)access token was successfully created\W+([0-9a-f]{40})`)

// createAdmin creates the administrator and returns an API token of theirs.
func createAdmin(ctx context.Context, env []string, program, config, name string) (string, error) {
	cmd := exec.CommandContext(ctx, program, "admin", "user", "create", "--config", config, "--admin",
		"--username", name, "--email", name+"@lab.invalid", "--random-password", "--must-change-password=false",
		"--access-token", "--access-token-scopes", "all")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("create Gitea's administrator: %w\n%s", err, out)
	}
	found := tokenLine.FindSubmatch(out)
	if found == nil {
		return "", errors.New("create Gitea's administrator: no token in what it printed")
	}
	return string(found[1]), nil
}

// Gitea returns a client of the lab's Gitea with all rights.
func (l *Lab) Gitea() (*gitea.Client, error) {
	if l.Facts.Gitea == nil {
		return nil, errors.New("the lab is up without Gitea")
	}
	return gitea.New(l.Facts.Gitea.URL, l.Facts.Gitea.AdminToken), nil
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

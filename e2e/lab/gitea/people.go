package gitea

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// User is a user who can log in.
type User struct{ Name, Password string }

// CreateUser creates a user with a password of their own.
func (c *Client) CreateUser(ctx context.Context, name string) (User, error) {
	u := User{Name: name, Password: rand.Text()}
	return u, c.do(ctx, http.MethodPost, "/api/v1/admin/users", map[string]any{
		"username": name, "email": name + "@lab.invalid", "password": u.Password, "must_change_password": false,
	}, nil)
}

// As returns a client that is the given user, by an API token of theirs with
// all rights that users have.
func (c *Client) As(ctx context.Context, u User) (*Client, error) {
	in, err := json.Marshal(map[string]any{"name": "lab " + rand.Text(), "scopes": []string{"all"}})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		c.URL+"/api/v1/users/"+url.PathEscape(u.Name)+"/tokens", strings.NewReader(string(in)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth(u.Name, u.Password)
	var out struct{ SHA1 string }
	if err := send(c.http, req, &out); err != nil {
		return nil, err
	}
	return New(c.URL, out.SHA1), nil
}

// CreateOrg creates an organisation that belongs to the named user.
func (c *Client) CreateOrg(ctx context.Context, name, owner string) error {
	return c.do(ctx, http.MethodPost, "/api/v1/admin/users/"+url.PathEscape(owner)+"/orgs",
		map[string]any{"username": name, "visibility": "public"}, nil)
}

// CreateRepo creates an empty public repository for an organisation.
func (c *Client) CreateRepo(ctx context.Context, org, name string) error {
	return c.do(ctx, http.MethodPost, "/api/v1/orgs/"+url.PathEscape(org)+"/repos",
		map[string]any{"name": name, "default_branch": "main", "private": false}, nil)
}

// SetSecret sets a secret that the repository's workflows get.
func (c *Client) SetSecret(ctx context.Context, repo, name, value string) error {
	return c.do(ctx, http.MethodPut, "/api/v1/repos/"+repoPath(repo)+"/actions/secrets/"+url.PathEscape(name),
		map[string]any{"data": value}, nil)
}

// RegistrationToken returns a token to register runners with: for the whole
// server when scope is empty, else for an organisation or for a repository as
// OWNER/NAME.
func (c *Client) RegistrationToken(ctx context.Context, scope string) (string, error) {
	path := "/api/v1/admin/actions/runners/registration-token"
	switch {
	case strings.Contains(scope, "/"):
		path = "/api/v1/repos/" + repoPath(scope) + "/actions/runners/registration-token"
	case scope != "":
		path = "/api/v1/orgs/" + url.PathEscape(scope) + "/actions/runners/registration-token"
	}
	var out struct{ Token string }
	err := c.do(ctx, http.MethodPost, path, nil, &out)
	return out.Token, err
}

// Runner is a registered runner.
type Runner struct {
	ID     int64
	Name   string
	Status string // offline, online, …
	Busy   bool
	Labels []struct{ Name string }
}

// Runners lists the runners of the whole server.
func (c *Client) Runners(ctx context.Context) ([]Runner, error) {
	var out struct{ Runners []Runner }
	err := c.do(ctx, http.MethodGet, "/api/v1/admin/actions/runners", nil, &out)
	return out.Runners, err
}

// DeleteRunner deletes a runner, which is refused from then on.
func (c *Client) DeleteRunner(ctx context.Context, id int64) error {
	return c.do(ctx, http.MethodDelete, "/api/v1/admin/actions/runners/"+itoa(id), nil, nil)
}

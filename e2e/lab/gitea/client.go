package gitea

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client is a user of a Gitea. It is safe for concurrent use.
type Client struct {
	// URL is Gitea's address without a slash at the end.
	URL string

	token string
	http  *http.Client
}

// New returns a client with an API token; with none it is a stranger.
func New(url, token string) *Client {
	return &Client{URL: strings.TrimSuffix(url, "/"), token: token, http: &http.Client{Timeout: 30 * time.Second}}
}

// StatusError is an answer that is not a success.
type StatusError struct {
	Request string
	Status  int
	Body    string // its first 500 bytes
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s: status %d: %s", e.Request, e.Status, e.Body)
}

// Ping is nil when the server answers.
func (c *Client) Ping(ctx context.Context) error {
	return c.do(ctx, http.MethodGet, "/api/v1/version", nil, nil)
}

// do sends in as JSON, if it isn't nil, and decodes the answer into out; a
// *string gets it as it is.
func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "token "+c.token)
	}
	return send(c.http, req, out)
}

func send(client *http.Client, req *http.Request, out any) error {
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return &StatusError{
			Request: req.Method + " " + req.URL.Path, Status: resp.StatusCode, Body: string(b[:min(len(b), 500)]),
		}
	}
	switch out := out.(type) {
	case nil:
		return nil
	case *string:
		*out = string(b)
		return nil
	}
	return json.Unmarshal(b, out)
}

func repoPath(repo string) string {
	owner, name, _ := strings.Cut(repo, "/")
	return url.PathEscape(owner) + "/" + url.PathEscape(name)
}

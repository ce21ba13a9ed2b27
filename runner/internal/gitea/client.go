// Package gitea is the client of one instance's Actions API: connect calls with
// deadlines, the runner's credentials on each, and errors that say what they
// mean. It keeps no state of tasks and never tries a call twice.
package gitea

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	pingv1 "code.gitea.io/actions-proto-go/ping/v1"
	"code.gitea.io/actions-proto-go/ping/v1/pingv1connect"
	runnerv1 "code.gitea.io/actions-proto-go/runner/v1"
	"code.gitea.io/actions-proto-go/runner/v1/runnerv1connect"
	"connectrpc.com/connect"
)

// Deadlines of calls. A fetch whose answer is lost leaves a task that nobody
// has, so it gets the longest: slow is better than lost.
const (
	fetchTimeout  = 60 * time.Second
	updateTimeout = 30 * time.Second
	pingTimeout   = 10 * time.Second
)

// fetch is FetchTask's name in errors.
const fetch = "fetching a task"

// Options say which Gitea, and who is calling.
type Options struct {
	// Address is the instance's root, http or https.
	Address string
	// CAFile holds PEM certificates to trust besides the system's.
	CAFile string
	// UUID and Token are the runner's; empty before it is registered.
	UUID, Token string
	// Version is cc-ci's, for the User-Agent.
	Version string
}

// Client calls one instance. It may be used by several goroutines.
type Client struct {
	address   string
	transport *http.Transport
	ping      pingv1connect.PingServiceClient
	calls     runnerv1connect.RunnerServiceClient
	// logs is as calls, but compresses what it sends.
	logs runnerv1connect.RunnerServiceClient
}

// New makes a client; it doesn't connect yet. Errors name the bad option.
func New(opts Options) (*Client, error) {
	address, err := rootOf(opts.Address)
	if err != nil {
		return nil, err
	}
	transport, err := newTransport(opts.CAFile)
	if err != nil {
		return nil, err
	}
	web := &http.Client{Transport: transport}
	api := address + "/api/actions"
	headers := connect.WithInterceptors(credentials(opts))
	return &Client{
		address:   address,
		transport: transport,
		ping:      pingv1connect.NewPingServiceClient(web, api, headers),
		calls:     runnerv1connect.NewRunnerServiceClient(web, api, headers),
		logs:      runnerv1connect.NewRunnerServiceClient(web, api, headers, compressed()),
	}, nil
}

// rootOf checks an instance's address and takes off the slash at its end.
func rootOf(address string) (string, error) {
	parsed, err := url.Parse(strings.TrimSpace(address))
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return "", fmt.Errorf("%q is no address of a Gitea: write it as in a browser, https://git.example.org", address)
	}
	if parsed.RawQuery != "" || parsed.Fragment != "" || parsed.User != nil {
		return "", fmt.Errorf("%q is no address of a Gitea: leave out user, query and fragment", parsed.Redacted())
	}
	return strings.TrimRight(parsed.String(), "/"), nil
}

func newTransport(caFile string) (*http.Transport, error) {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		MaxIdleConnsPerHost:   4,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
		ForceAttemptHTTP2:     true,
	}
	if caFile == "" {
		return transport, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("reading instance_ca_file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("instance_ca_file %s holds no PEM certificate", caFile)
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return transport, nil
}

// credentials puts the runner's headers on every call. Register and Ping go
// without, as a runner that isn't registered has none.
func credentials(opts Options) connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			header := req.Header()
			header.Set("User-Agent", "cc-ci/"+opts.Version)
			if opts.UUID != "" {
				header.Set("x-runner-uuid", opts.UUID)
				header.Set("x-runner-token", opts.Token)
			}
			return next(ctx, req)
		}
	}
}

// compressed sends bodies with the fastest gzip: a log compresses about tenfold
// even so, and the runner shares its processors with the jobs.
func compressed() connect.ClientOption {
	return connect.WithClientOptions(
		connect.WithAcceptCompression("gzip",
			func() connect.Decompressor { return &gzip.Reader{} },
			func() connect.Compressor {
				// The level is a constant that NewWriterLevel takes.
				writer, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed)
				return writer
			}),
		connect.WithSendCompression("gzip"),
		connect.WithCompressMinBytes(1024),
	)
}

// Address is the instance's root without a slash at the end.
func (c *Client) Address() string { return c.address }

// Close closes idle connections; calls under way go on.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Ping asks whether a Gitea with Actions answers at all.
func (c *Client) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	_, err := c.ping.Ping(ctx, connect.NewRequest(&pingv1.PingRequest{Data: "cc-ci"}))
	return classify("asking for an answer", c.address, err)
}

// Register makes a new runner and returns it with its token.
func (c *Client) Register(ctx context.Context, name, token, version string, labels []string) (*runnerv1.Runner, error) {
	ctx, cancel := context.WithTimeout(ctx, updateTimeout)
	defer cancel()
	resp, err := c.calls.Register(ctx, connect.NewRequest(&runnerv1.RegisterRequest{
		Name: name, Token: token, Version: version, Labels: labels,
	}))
	if err != nil {
		return nil, classify("registering", c.address, err)
	}
	if made := resp.Msg.GetRunner(); made.GetUuid() != "" && made.GetToken() != "" {
		return made, nil
	}
	return nil, fmt.Errorf("%s: registering: Gitea's answer holds no runner", c.address)
}

// Declare tells Gitea the runner's version and the names of its labels.
func (c *Client) Declare(ctx context.Context, version string, labels []string) error {
	ctx, cancel := context.WithTimeout(ctx, updateTimeout)
	defer cancel()
	_, err := c.calls.Declare(ctx, connect.NewRequest(&runnerv1.DeclareRequest{Version: version, Labels: labels}))
	return classify("declaring the runner", c.address, err)
}

// Fetch asks for a task. Gitea looks for one only when tasksVersion isn't its
// own latest, which it returns; 0 makes it look in any case. The task is nil
// when there is none. The caller must not cancel ctx once Fetch was called: a
// task that Gitea hands over in an answer nobody reads is lost.
func (c *Client) Fetch(ctx context.Context, tasksVersion int64) (*runnerv1.Task, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	resp, err := c.calls.FetchTask(ctx, connect.NewRequest(&runnerv1.FetchTaskRequest{TasksVersion: tasksVersion}))
	if err != nil {
		return nil, 0, classify(fetch, c.address, err)
	}
	return resp.Msg.Task, resp.Msg.TasksVersion, nil
}

// UpdateLog sends rows and returns how many rows of the task Gitea has. Gitea
// takes rows it already has without storing them twice.
func (c *Client) UpdateLog(ctx context.Context, req *runnerv1.UpdateLogRequest) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, updateTimeout)
	defer cancel()
	resp, err := c.logs.UpdateLog(ctx, connect.NewRequest(req))
	if err != nil {
		return 0, classify("sending the log", c.address, err)
	}
	return resp.Msg.AckIndex, nil
}

// UpdateTask sends a task's state and outputs. The answer's result is not
// unspecified when Gitea has ended the task; it lists the outputs it has.
func (c *Client) UpdateTask(ctx context.Context, req *runnerv1.UpdateTaskRequest) (*runnerv1.UpdateTaskResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, updateTimeout)
	defer cancel()
	resp, err := c.calls.UpdateTask(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, classify("sending the job's state", c.address, err)
	}
	return resp.Msg, nil
}

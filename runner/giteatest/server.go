package giteatest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	pingv1 "code.gitea.io/actions-proto-go/ping/v1"
	"code.gitea.io/actions-proto-go/ping/v1/pingv1connect"
	runnerv1 "code.gitea.io/actions-proto-go/runner/v1"
	"code.gitea.io/actions-proto-go/runner/v1/runnerv1connect"
	"connectrpc.com/connect"
)

// Version is which Gitea a Server is like.
type Version int

// The versions that differ.
const (
	V124 Version = 24
	V126 Version = 26
	V127 Version = 27
)

// Names of the API's methods, for faults and counts.
const (
	Ping       = "Ping"
	Register   = "Register"
	Declare    = "Declare"
	FetchTask  = "FetchTask"
	UpdateLog  = "UpdateLog"
	UpdateTask = "UpdateTask"
)

// RegistrationToken is the one with which a Server lets runners register;
// OldRegistrationToken is one that it has replaced.
const (
	RegistrationToken    = "registration-token"
	OldRegistrationToken = "old-registration-token"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// Server is one instance. Its methods may be called from several goroutines.
type Server struct {
	URL string

	t       testing.TB
	version Version
	http    *httptest.Server

	mu sync.Mutex
	// changed is signalled after each request, which changes counts.
	changed *sync.Cond
	changes int
	runners map[string]*runnerv1.Runner
	tasks   []*task
	latest  int64
	races   int
	calls   map[string]int
	faults  map[string][]Fault
	always  Fault
}

// New starts a Server that ends with the test.
func New(t testing.TB, version Version) *Server {
	t.Helper()
	s := &Server{
		t:       t,
		version: version,
		runners: make(map[string]*runnerv1.Runner),
		calls:   make(map[string]int),
		faults:  make(map[string][]Fault),
		latest:  1,
	}
	s.changed = sync.NewCond(&s.mu)
	mux := http.NewServeMux()
	path, handler := pingv1connect.NewPingServiceHandler(pings{}, connect.WithCompressMinBytes(1024))
	mux.Handle(path, handler)
	path, handler = runnerv1connect.NewRunnerServiceHandler(s, connect.WithCompressMinBytes(1024),
		connect.WithInterceptors(connect.UnaryInterceptorFunc(s.admit)))
	mux.Handle(path, handler)
	s.http = httptest.NewServer(http.StripPrefix("/api/actions", s.faulty(mux)))
	t.Cleanup(s.http.Close)
	s.URL = s.http.URL
	return s
}

// Enrol makes a runner as a registration does.
func (s *Server) Enrol(name string, labels ...string) *runnerv1.Runner {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := int64(len(s.runners) + 1)
	made := &runnerv1.Runner{
		Id:     id,
		Uuid:   fmt.Sprintf("00000000-0000-4000-8000-%012d", id),
		Token:  fmt.Sprintf("runner-token-%d", id),
		Name:   name,
		Labels: labels,
	}
	s.runners[made.Uuid] = made
	return made
}

// Delete takes a runner off the list, as an administrator does.
func (s *Server) Delete(uuid string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.runners, uuid)
}

// Labels are those that a runner declared last.
func (s *Server) Labels(uuid string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.runners[uuid].GetLabels())
}

// Calls counts the requests for a method so far, those that met a fault too.
func (s *Server) Calls(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

// Await returns when the condition holds, which is asked after each request; it
// fails the test when it doesn't in time.
func (s *Server) Await(what string, condition func() bool) {
	s.t.Helper()
	if !s.await(condition) {
		s.t.Fatalf("waited %v in vain for %s", patience, what)
	}
}

func (s *Server) await(condition func() bool) bool {
	late := false
	timer := time.AfterFunc(patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		late = true
		s.changed.Broadcast()
	})
	defer timer.Stop()
	for {
		s.mu.Lock()
		seen := s.changes
		s.mu.Unlock()
		if condition() {
			return true
		}
		s.mu.Lock()
		for s.changes == seen && !late {
			s.changed.Wait()
		}
		over := late
		s.mu.Unlock()
		if over {
			return condition()
		}
	}
}

// change has those who await something look again.
func (s *Server) change() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	s.changed.Broadcast()
}

// grpcError is an error as Gitea's handlers return them: a gRPC status, which
// connect doesn't know and sends as CodeUnknown with this text.
func grpcError(code, text string) error {
	return fmt.Errorf("rpc error: code = %s desc = %s", code, text)
}

type runnerKey struct{}

// admit is Gitea's interceptor: all but Register needs a runner.
func (s *Server) admit(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if methodOf(req.Spec().Procedure) == Register {
			return next(ctx, req)
		}
		s.mu.Lock()
		found := s.runners[req.Header().Get("x-runner-uuid")]
		s.mu.Unlock()
		if found == nil || found.Token != req.Header().Get("x-runner-token") {
			return nil, grpcError("Unauthenticated", "unregistered runner")
		}
		return next(context.WithValue(ctx, runnerKey{}, found), req)
	}
}

type pings struct{}

func (pings) Ping(_ context.Context, req *connect.Request[pingv1.PingRequest]) (*connect.Response[pingv1.PingResponse], error) {
	return connect.NewResponse(&pingv1.PingResponse{Data: "Hello, " + req.Msg.Data + "!"}), nil
}

// Register makes a runner for the right token.
func (s *Server) Register(_ context.Context, req *connect.Request[runnerv1.RegisterRequest]) (*connect.Response[runnerv1.RegisterResponse], error) {
	switch req.Msg.Token {
	case RegistrationToken:
	case OldRegistrationToken:
		return nil, fmt.Errorf("runner registration token has been invalidated, please use the latest one")
	default:
		return nil, fmt.Errorf("runner registration token not found")
	}
	made := s.Enrol(req.Msg.Name, req.Msg.Labels...)
	return connect.NewResponse(&runnerv1.RegisterResponse{Runner: made}), nil
}

// Declare stores the runner's labels.
func (s *Server) Declare(ctx context.Context, req *connect.Request[runnerv1.DeclareRequest]) (*connect.Response[runnerv1.DeclareResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := ctx.Value(runnerKey{}).(*runnerv1.Runner)
	found.Labels, found.Version = req.Msg.Labels, req.Msg.Version
	return connect.NewResponse(&runnerv1.DeclareResponse{Runner: &runnerv1.Runner{Id: found.Id, Uuid: found.Uuid, Name: found.Name, Labels: found.Labels}}), nil
}

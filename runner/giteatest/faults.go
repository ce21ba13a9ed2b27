package giteatest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
)

// Fault is what happens to one request; next is Gitea's own handler.
type Fault func(w http.ResponseWriter, r *http.Request, next http.Handler)

// Fault has the next requests of a method meet these faults, one each.
func (s *Server) Fault(method string, faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[method] = append(s.faults[method], faults...)
}

// Away has every request meet the fault until Back.
func (s *Server) Away(fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always = fault
}

// Back ends Away.
func (s *Server) Back() { s.Away(nil) }

// Fine lets a request through, to reach one of the next.
func Fine(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(w, r) }

// Drop cuts the connection before Gitea sees the request.
func Drop(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

// Lose has Gitea do what it is asked, and cuts the connection before its answer.
func Lose(_ http.ResponseWriter, r *http.Request, next http.Handler) {
	next.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// Garble has Gitea do what it is asked, and answers with rubbish.
func Garble(w http.ResponseWriter, r *http.Request, next http.Handler) {
	next.ServeHTTP(httptest.NewRecorder(), r)
	w.Header().Set("Content-Type", "application/proto")
	fmt.Fprint(w, "\xff\xff\xff rubbish")
}

// Status answers as a proxy before Gitea does, with a page.
func Status(code int) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(code)
		fmt.Fprint(w, "<html>"+http.StatusText(code))
	}
}

// Fail answers with an error of Gitea's own: a gRPC status in the text of an
// error without a code.
func Fail(code, text string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, `{"code": "unknown", "message": %q}`, grpcError(code, text).Error())
	}
}

// Hold says on arrived that the request is there, and goes on when release is
// closed.
func Hold(arrived chan<- struct{}, release <-chan struct{}) Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		arrived <- struct{}{}
		<-release
		next.ServeHTTP(w, r)
	}
}

func methodOf(procedure string) string { return path.Base(procedure) }

// faulty puts the faults before a handler and counts the requests.
func (s *Server) faulty(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		method := methodOf(r.URL.Path)
		s.mu.Lock()
		s.calls[method]++
		fault := s.always
		if queue := s.faults[method]; fault == nil && len(queue) > 0 {
			fault, s.faults[method] = queue[0], queue[1:]
		}
		s.mu.Unlock()
		defer s.change()
		if fault == nil {
			fault = Fine
		}
		fault(w, r, next)
	})
}

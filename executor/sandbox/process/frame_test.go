package process_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"git.autonomic.zone/recipe-maintainers/cc-ci/executor/sandbox/process"
)

// frame is a whole frame with the payload as it is.
func frame(kind process.Kind, payload string) []byte {
	whole := append(make([]byte, process.HeaderSize), payload...)
	process.Seal(kind, whole)
	return whole
}

func TestMessagesSurviveTheWay(t *testing.T) {
	request := process.Request{Argv: []string{"sh", "-c", "printf 'ä\n'"}, Env: []string{"A=1", "B="}, Dir: "/w"}
	stop := process.Stop{Grace: 4 * time.Second}
	exit := process.Exit{Code: 137, Signal: "SIGKILL", OOM: true}
	var way bytes.Buffer
	for _, send := range []error{
		process.Send(&way, process.Run, request),
		process.Send(&way, process.Halt, stop),
		process.Send(&way, process.Ended, exit),
	} {
		if send != nil {
			t.Fatal(send)
		}
	}
	// A socket may give a frame in pieces.
	frames := process.NewReader(iotest.OneByteReader(&way))
	got := []any{next[process.Request](t, frames), next[process.Stop](t, frames), next[process.Exit](t, frames)}
	if want := []any{request, stop, exit}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, _, err := frames.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last frame: %v, want EOF", err)
	}
}

func next[T process.Request | process.Stop | process.Exit](t *testing.T, frames *process.Reader) T {
	t.Helper()
	_, payload, err := frames.Next()
	if err != nil {
		t.Fatal(err)
	}
	message, err := process.Decode[T](payload)
	if err != nil {
		t.Fatal(err)
	}
	return message
}

func TestReaderRefuses(t *testing.T) {
	whole := frame(process.Output, "hello")
	for what, c := range map[string]struct {
		bytes []byte
		want  error
	}{
		"a stream that ends within a header":           {whole[:3], io.ErrUnexpectedEOF},
		"a stream that ends within a payload":          {whole[:7], io.ErrUnexpectedEOF},
		"a stream that ends after a header":            {whole[:5], io.ErrUnexpectedEOF},
		"a kind that nobody sends":                     {frame('?', ""), process.ErrFrame},
		"an answer of something that isn't a sandbox":  {[]byte("HTTP/1.1 400 Bad Request"), process.ErrFrame},
		"a length that would make it allocate without": {[]byte{byte(process.Output), 0xff, 0xff, 0xff, 0xff}, process.ErrFrame},
	} {
		_, _, err := process.NewReader(bytes.NewReader(c.bytes)).Next()
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
}

func TestSendRefusesWhatNobodyWouldRead(t *testing.T) {
	var way bytes.Buffer
	err := process.Send(&way, process.Run, process.Request{Argv: []string{strings.Repeat("x", process.MaxPayload)}})
	if err == nil || way.Len() > 0 {
		t.Errorf("a request longer than a frame was sent: %v, %d bytes", err, way.Len())
	}
}

func TestExitAsAnError(t *testing.T) {
	for _, c := range []struct {
		exit process.Exit
		want error
	}{
		{process.Exit{}, nil},
		{process.Exit{Code: 3}, &process.ExitError{Code: 3}},
		{process.Exit{Code: 137, Signal: "SIGKILL", OOM: true}, &process.ExitError{Code: 137, Signal: "SIGKILL", OOM: true}},
		{process.Exit{Code: 127, Error: "bash isn't in the image"}, &process.StartError{Code: 127, Reason: "bash isn't in the image"}},
	} {
		if got := c.exit.Err(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v: %v, want %v", c.exit, got, c.want)
		}
	}
}

// FuzzReader: whatever a step sends in the first process' place, reading it ends
// in frames within the bounds or in an error.
func FuzzReader(f *testing.F) {
	f.Add(frame(process.Output, "hello"))
	f.Add(append(frame(process.Output, ""), frame(process.Ended, `{"code":1}`)...))
	f.Add(frame(process.Ended, `{"code":"no"}`))
	f.Add([]byte{byte(process.Run), 0, 0xff, 0xff, 0xff, 'x'})
	f.Add([]byte("HTTP/1.1 200 OK"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		frames, read := process.NewReader(bytes.NewReader(stream)), 0
		for {
			kind, payload, err := frames.Next()
			if err != nil {
				if kind != 0 || payload != nil {
					t.Fatalf("an error came with a frame: %q %q", kind, payload)
				}
				return
			}
			again := frame(kind, string(payload))
			if !bytes.Equal(again, stream[read:read+len(again)]) {
				t.Fatalf("read %q where there was %q", again, stream[read:])
			}
			read += len(again)
			if kind == process.Ended {
				_, _ = process.Decode[process.Exit](payload)
			}
		}
	})
}

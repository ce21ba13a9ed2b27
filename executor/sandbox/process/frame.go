package process

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Kind is what a frame carries.
type Kind byte

// The kinds of frames. Run and Halt go to the first process, Output and Ended
// come from it.
const (
	Run    Kind = 'r' // a Request
	Halt   Kind = 's' // a Stop
	Output Kind = 'o' // bytes that the command wrote
	Ended  Kind = 'x' // an Exit
)

// HeaderSize is the length of a frame's header: its kind and the payload's length.
const HeaderSize = 5

// MaxPayload bounds a frame's payload in bytes. A request with as much
// environment as Linux takes, escaped as JSON, is smaller.
const MaxPayload = 16 << 20

// ErrFrame is a frame that no peer of ours sends: an unknown kind, or too long.
var ErrFrame = errors.New("not a frame of the sandbox's protocol")

// Reader reads frames. It isn't safe for concurrent use.
type Reader struct {
	from   io.Reader
	header [HeaderSize]byte
	buffer []byte
}

// NewReader returns a Reader of from.
func NewReader(from io.Reader) *Reader { return &Reader{from: from} }

// Next returns the next frame; its payload is valid until the next call. The end
// of the stream between two frames is io.EOF, within one io.ErrUnexpectedEOF.
// After an error the stream can't be read further.
func (r *Reader) Next() (Kind, []byte, error) {
	if _, err := io.ReadFull(r.from, r.header[:]); err != nil {
		return 0, nil, err
	}
	kind, size := Kind(r.header[0]), binary.BigEndian.Uint32(r.header[1:])
	switch kind {
	case Run, Halt, Output, Ended:
	default:
		return 0, nil, fmt.Errorf("%w: kind %q", ErrFrame, byte(kind))
	}
	if size > MaxPayload {
		return 0, nil, fmt.Errorf("%w: %d bytes", ErrFrame, size)
	}
	if err := r.fill(int(size)); err != nil {
		return 0, nil, err
	}
	return kind, r.buffer, nil
}

// fill reads size bytes into the buffer. It grows with what has arrived, so that
// a header alone can't make this side allocate MaxPayload.
func (r *Reader) fill(size int) error {
	const piece = 64 << 10
	r.buffer = r.buffer[:0]
	for len(r.buffer) < size {
		have := len(r.buffer)
		want := min(size-have, piece)
		if cap(r.buffer) < have+want {
			grown := make([]byte, have, max(2*cap(r.buffer), have+want))
			copy(grown, r.buffer)
			r.buffer = grown
		}
		r.buffer = r.buffer[:have+want]
		if _, err := io.ReadFull(r.from, r.buffer[have:]); err != nil {
			if errors.Is(err, io.EOF) {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// Seal writes the header of a frame into the first HeaderSize bytes of frame; the
// payload is the rest. It spares a copy to those who read into a buffer with room
// for a header.
func Seal(kind Kind, frame []byte) {
	frame[0] = byte(kind)
	binary.BigEndian.PutUint32(frame[1:HeaderSize], uint32(len(frame)-HeaderSize))
}

// Send writes one message as a frame, in one write.
func Send(to io.Writer, kind Kind, message any) error {
	payload, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if len(payload) > MaxPayload {
		return fmt.Errorf("a message of %d bytes is longer than the %d that the sandbox takes", len(payload), MaxPayload)
	}
	frame := make([]byte, HeaderSize, HeaderSize+len(payload))
	frame = append(frame, payload...)
	Seal(kind, frame)
	_, err = to.Write(frame)
	return err
}

package report

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Bounds of what is held and sent.
const (
	// batchBytes and batchRows bound one UpdateLog: a proxy before Gitea may refuse
	// bodies of a megabyte.
	batchBytes = 480 << 10
	batchRows  = 10_000
	// heldBytes bounds the rows that Gitea doesn't have yet. Rows past it are cut.
	heldBytes = 24 << 20
	// keptBytes bounds the rows that are kept although Gitea has them, for a Gitea
	// that lost them (restored from a backup, for instance).
	keptBytes = 1 << 20
	// lineBytes is the longest line Gitea stores; it cuts what is over.
	lineBytes = 64 << 10
)

// rows are the rows of one job's log from the first that may have to be sent
// again, each encoded once, when it is added: the wire form of a list of
// messages is theirs one after the other, so a batch is a slice of it. It isn't
// safe for several goroutines.
type rows struct {
	chunks []*chunk
	// next is the index the next row gets.
	next int64
	// acked is how many rows Gitea says it has.
	acked int64
	// bytes are those of all chunks.
	bytes int
	// cut counts the rows that found no place since the last one that did.
	cut int64
}

// chunk is a run of rows that is sent in one call or less.
type chunk struct {
	first int64
	wire  []byte
	// ends are where the rows end in wire.
	ends []uint32
}

// batch is a run of rows as one call sends it.
type batch struct {
	first int64
	wire  []byte
	count int64
}

func (b batch) end() int64 { return b.first + b.count }

// add appends a row. When Gitea is too far behind it counts the row as cut
// instead; sayCut, or the next row that finds a place, tells how many were.
func (r *rows) add(at time.Time, content string) {
	if r.bytes-r.keptAcked() > heldBytes {
		r.cut++
		return
	}
	r.sayCut(at)
	r.put(at, content)
}

// sayCut puts a row in the place of those that were cut.
func (r *rows) sayCut(at time.Time) {
	if r.cut > 0 {
		r.put(at, fmt.Sprintf("[cc-ci] %d rows are missing here: Gitea took the log more slowly than it was written", r.cut))
		r.cut = 0
	}
}

// keptAcked is how many bytes are held although Gitea has them.
func (r *rows) keptAcked() int {
	kept := 0
	for _, c := range r.chunks {
		if c.first+int64(len(c.ends)) > r.acked {
			break
		}
		kept += len(c.wire)
	}
	return kept
}

func (r *rows) put(at time.Time, content string) {
	last := r.last()
	// 40 bytes are more than a row's time and lengths take.
	if last == nil || len(last.ends) >= batchRows || len(last.wire)+len(content)+40 > batchBytes {
		last = &chunk{first: r.next}
		r.chunks = append(r.chunks, last)
	}
	before := len(last.wire)
	last.wire = appendRow(last.wire, at, content)
	last.ends = append(last.ends, uint32(len(last.wire)))
	r.bytes += len(last.wire) - before
	r.next++
}

func (r *rows) last() *chunk {
	if len(r.chunks) == 0 {
		return nil
	}
	return r.chunks[len(r.chunks)-1]
}

// from returns the rows from index on, up to limit, as many as one call takes.
// For rows that Gitea has lost and nobody holds any more it returns as many
// that say so, since the steps count on the indexes of all later rows.
func (r *rows) from(index, limit int64) batch {
	limit = min(limit, r.next)
	if index >= limit {
		return batch{first: index}
	}
	at, _ := slices.BinarySearchFunc(r.chunks, index, func(c *chunk, index int64) int {
		if c.first+int64(len(c.ends)) <= index {
			return -1
		}
		return 1
	})
	c := r.chunks[at]
	if index < c.first {
		return lostRows(index, min(c.first, limit))
	}
	start := uint32(0)
	if skip := index - c.first; skip > 0 {
		start = c.ends[skip-1]
	}
	count := min(limit, c.first+int64(len(c.ends))) - index
	end := c.ends[index-c.first+count-1]
	return batch{first: index, wire: c.wire[start:end:end], count: count}
}

// lostRows are the rows that stand for [index, end).
func lostRows(index, end int64) batch {
	end = min(end, index+batchRows/2)
	var wire []byte
	for range end - index {
		wire = appendRow(wire, time.Now(), "[cc-ci] Gitea lost this row")
	}
	return batch{first: index, wire: wire, count: end - index}
}

// ack notes that Gitea has rows up to index, and lets go of those it has, but
// for a few. An index past the rows there are counts as all of them.
func (r *rows) ack(index int64) {
	r.acked = min(max(index, 0), r.next)
	kept := r.keptAcked()
	for kept > keptBytes {
		size := len(r.chunks[0].wire)
		kept -= size
		r.bytes -= size
		r.chunks[0] = nil
		r.chunks = r.chunks[1:]
	}
}

// Fields of the protocol's LogRow, of a Timestamp, and of UpdateLogRequest's
// rows (actions-proto, runner/v1/messages.proto).
var (
	tagRows    = protowire.AppendTag(nil, 3, protowire.BytesType)[0]
	tagTime    = protowire.AppendTag(nil, 1, protowire.BytesType)[0]
	tagContent = protowire.AppendTag(nil, 2, protowire.BytesType)[0]
	tagSeconds = protowire.AppendTag(nil, 1, protowire.VarintType)[0]
	tagNanos   = protowire.AppendTag(nil, 2, protowire.VarintType)[0]
)

// appendRow appends a row as a field of an UpdateLogRequest.
func appendRow(wire []byte, at time.Time, content string) []byte {
	seconds, nanos := uint64(at.Unix()), uint64(at.Nanosecond())
	stamp := 2 + protowire.SizeVarint(seconds) + protowire.SizeVarint(nanos)
	size := 1 + protowire.SizeBytes(stamp) + 1 + protowire.SizeBytes(len(content))
	wire = protowire.AppendVarint(append(wire, tagRows), uint64(size))
	wire = protowire.AppendVarint(append(wire, tagTime), uint64(stamp))
	wire = protowire.AppendVarint(append(wire, tagSeconds), seconds)
	wire = protowire.AppendVarint(append(wire, tagNanos), nanos)
	return protowire.AppendString(append(wire, tagContent), content)
}

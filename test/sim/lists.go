package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/test/history"
)

const lists = 5

var (
	listSpan  = base.Span{Start: []byte("\x04l"), End: []byte("\x04m")}
	stampSpan = base.Span{Start: []byte("\x04s"), End: []byte("\x04t")}
	junkSpan  = base.Span{Start: []byte("\x04x"), End: []byte("\x04y")}

	errRefused = errors.New("refused by the closure")
)

func (s *sim) key() string {
	if len(s.several.hot) > 0 && s.rnd.IntN(4) > 0 {
		return listKey(s.several.hot[s.rnd.IntN(len(s.several.hot))])
	}
	return listKey(s.rnd.IntN(lists))
}

func (s *sim) keys(n int) (keys []string) {
	for range n {
		keys = append(keys, s.key())
	}
	return keys
}

func (s *sim) newOp() *history.Op {
	op := &history.Op{ID: len(s.ops) + 1, Invoke: s.now, Outcome: s.atFirst(),
		Reads: map[string][]uint32{}, Appends: map[string]uint32{}}
	s.ops = append(s.ops, op)
	return op
}

func (s *sim) id() uint32 { s.nextID++; return s.nextID }

// appendTo gives op an id to append to each of the keys.
func (s *sim) appendTo(op *history.Op, keys []string) {
	for _, k := range keys {
		if op.Appends[k] == 0 {
			op.Appends[k] = s.id()
		}
	}
}

// stampedAppend is a row under a versionstamped key.
type stampedAppend struct {
	id      uint32
	op      *history.Op
	version *base.Versionstamp
}

// oneShot runs a short closure, as a connection does.
func (s *sim) oneShot(c *client) {
	op := s.newOp()
	keys := s.keys(1 + s.rnd.IntN(2))
	kind := s.rnd.IntN(10)
	if kind > 1 {
		s.appendTo(op, keys[:min(s.rnd.IntN(3), len(keys))])
	}
	junk, large := s.id(), make([]byte, 100+s.rnd.IntN(200<<10))
	t, err := c.sess.Run(kv.Func(func(t kv.Txn) error {
		clear(op.Reads)
		switch kind {
		case 0: // reads, and fails because of what it saw
			if err := s.readAndAppend(t, op, append(keys, "\x04l0", "\x04l4")); err != nil {
				return err
			}
			return errRefused
		case 1: // only reads
			return s.readAndAppend(t, op, append(keys, "\x04l0", "\x04l4"))
		case 2: // blind
			for _, k := range sorted(op.Appends) {
				t.Atomic(base.OpAppendIfFits, []byte(k), encode(nil, op.Appends[k]))
			}
			return nil
		case 3: // a scan of everything
			if err := s.scanLists(t, op, junk%2 == 0); err != nil {
				return err
			}
		case 4: // something to evict, to clear and to come back
			t.ClearRange(junkSpan)
			t.Set(fmt.Appendf(nil, "\x04x%d", junk%5), []byte("junk"))
		case 5: // a value that spans log segments
			if junk%3 == 0 {
				t.Set(fmt.Appendf(nil, "\x04x%d", junk%5), large)
				s.res.Large++
			}
		}
		return s.readAndAppend(t, op, keys)
	}))
	if errors.Is(err, errRefused) {
		s.res.Refused++
		err = nil
	}
	s.sequenced(op, t, err)
}

func (s *sim) scanLists(t kv.Reader, op *history.Op, reverse bool) error {
	for n := range lists {
		op.Reads[fmt.Sprintf("\x04l%d", n)] = nil
	}
	return t.Scan(listSpan, kv.ScanOptions{Reverse: reverse}, func(key, value []byte) bool {
		op.Reads[string(key)] = decode(value)
		return true
	})
}

func sorted(m map[string]uint32) []string {
	var out []string
	for n := range lists {
		if k := fmt.Sprintf("\x04l%d", n); m[k] != 0 {
			out = append(out, k)
		}
	}
	return out
}

func (s *sim) readAndAppend(t kv.Txn, op *history.Op, keys []string) error {
	for _, k := range keys {
		if _, done := op.Reads[k]; done {
			continue
		}
		v, err := t.Get([]byte(k))
		if err != nil {
			return err
		}
		op.Reads[k] = decode(v)
	}
	for _, k := range sorted(op.Appends) {
		t.Set([]byte(k), encode(op.Reads[k], op.Appends[k]))
	}
	return nil
}

// sequenced files an operation according to what its commit answered.
func (s *sim) sequenced(op *history.Op, t base.Ticket, err error) {
	if err == nil {
		s.note("T%d sequenced at %d", op.ID, t.Pos)
		op.Outcome = history.Unknown // until it is answered
		s.pending = append(s.pending, pending{op: op, ticket: t})
		return
	}
	s.fails(op, err)
}

// failed counts a refusal, and objects to one that has no excuse.
func (s *sim) failed(who string, err error) {
	s.note("%s fails", who)
	switch {
	case errors.Is(err, base.ErrTooOld):
		s.res.TooOld++
	case base.Retryable(err):
		s.res.Conflicts++
	case isDiskFull(err):
		s.res.DiskFull++
	case errors.Is(err, base.ErrTransactionTimedOut):
		s.res.TimedOut++
	case s.disk.after == nil && !errors.Is(err, base.ErrUnavailable):
		s.fatal = errors.CombineErrors(s.fatal, errors.Wrap(err, who))
	}
}

func isDiskFull(err error) bool { return errors.Is(err, base.ErrDiskFull) }

// interactive is a transaction that a client has open for a while.
func (s *sim) interactive(c *client) {
	op, tx := s.newOp(), s.db.Begin()
	defer tx.Rollback()
	for range 1 + s.rnd.IntN(5) {
		if s.rnd.IntN(6) == 0 && len(op.Appends) == 0 {
			if err := s.scanLists(tx, op, false); err != nil {
				s.fails(op, err)
				return
			}
			continue
		}
		k := s.key()
		if _, done := op.Reads[k]; done {
			continue
		}
		v, err := tx.Get([]byte(k))
		if err != nil {
			s.fails(op, err)
			return
		}
		op.Reads[k] = decode(v)
		if s.rnd.IntN(2) == 0 {
			s.appendTo(op, []string{k})
			tx.Set([]byte(k), encode(op.Reads[k], op.Appends[k]))
		}
		s.think()
	}
	if s.rnd.IntN(8) == 0 {
		clear(op.Appends)
		return // rolled back
	}
	var stamped *stampedAppend
	if s.rnd.IntN(2) == 0 {
		stamped = &stampedAppend{id: s.id(), op: op}
		template := append(append([]byte("\x04s"), make([]byte, base.VersionstampLen)...), 2, 0, 0, 0)
		tx.Atomic(base.OpSetVersionstampedKey, template, encode(nil, stamped.id))
	}
	r, err := tx.Sequence()
	s.sequenced(op, r.Ticket, err)
	if err == nil && stamped != nil {
		stamped.version = r.Version
		s.stamped = append(s.stamped, *stamped)
	}
}

// held reads and writes through an attempt of its own, with every kind of hold.
func (s *sim) held(*client) {
	op := s.newOp()
	keys := s.keys(2)
	s.appendTo(op, keys[:s.rnd.IntN(3)])
	att := s.db.NewAttempt()
	defer att.Abort()
	att.Begin(kv.AttemptOptions{Hold: kv.Hold(s.rnd.IntN(3))})
	var req kv.CommitRequest
	for _, k := range keys {
		v, err := att.Get([]byte(k))
		if err != nil {
			s.fails(op, err)
			return
		}
		op.Reads[k] = decode(v)
		req.ReadKeys = append(req.ReadKeys, []byte(k))
	}
	for _, k := range sorted(op.Appends) {
		req.Mutations = append(req.Mutations, base.Mutation{Op: base.OpSet, Key: []byte(k), Value: encode(op.Reads[k], op.Appends[k])})
	}
	r, err := att.Commit(&req)
	s.res.Held++
	s.sequenced(op, r.Ticket, err)
}

// delivery is a write with a request id.
type delivery struct {
	op        *history.Op
	req       *kv.CommitRequest
	delivered bool // at least once
}

// repeated delivers a blind write, and often delivers it again: before or after
// its commit, or after a crash that left its outcome unknown (R8).
func (s *sim) repeated(*client) {
	d := delivery{op: s.newOp(), req: &kv.CommitRequest{ID: kv.RequestID{Session: 77, Number: uint64(s.id())}}}
	keys := s.keys(2)
	if s.o.Ranges {
		keys = keys[:1] // only in one range a request is known again
	}
	s.appendTo(d.op, keys)
	for _, k := range sorted(d.op.Appends) {
		d.req.Mutations = append(d.req.Mutations, base.Mutation{Op: base.OpAppendIfFits, Key: []byte(k), Value: encode(nil, d.op.Appends[k])})
	}
	s.deliver(d)
}

func (s *sim) deliver(d delivery) {
	att := s.db.NewAttempt()
	att.Begin(kv.AttemptOptions{})
	r, err := att.Commit(d.req)
	if err != nil && d.delivered && s.o.Ranges {
		s.note("T%d is not repeated", d.op.ID) // what was delivered before stays
		return
	}
	if err != nil {
		s.fails(d.op, err)
		return
	}
	s.note("T%d delivered at %d", d.op.ID, r.Ticket.Pos)
	d.op.Outcome, d.delivered = history.Unknown, true
	if s.rnd.IntN(2) == 0 {
		s.pending = append(s.pending, pending{op: d.op, ticket: r.Ticket, again: &d})
		return
	}
	s.think()
	s.res.Resent++
	s.deliver(d)
}

// guarded does what WATCH, GET, MULTI, EXEC do: what was read under the watch
// holds when the commit is sequenced.
func (s *sim) guarded(c *client) {
	op := s.newOp()
	k, other := s.key(), s.key()
	w := s.db.Watch([]byte(k))
	defer w.Close()
	s.think()
	first, err := c.sess.Run(kv.Func(func(t kv.Txn) error {
		v, err := t.Get([]byte(k))
		op.Reads[k] = decode(v)
		return err
	}))
	if err != nil {
		s.fails(op, err)
		return
	}
	s.think()
	if s.rnd.IntN(4) > 0 {
		s.appendTo(op, []string{other})
	}
	seen := op.Reads[k]
	c.sess.Guards = []kv.Watch{w}
	defer func() { c.sess.Guards = nil }()
	t, err := c.sess.Run(kv.Func(func(t kv.Txn) error {
		if other == k {
			if len(op.Appends) > 0 {
				t.Set([]byte(k), encode(seen, op.Appends[k]))
			}
			return nil
		}
		clear(op.Reads)
		op.Reads[k] = seen
		return s.readAndAppend(t, op, []string{other})
	}))
	if err != nil {
		s.res.Dirty++
	} else if first.Pos > t.Pos {
		t = first
	}
	s.sequenced(op, t, err)
}

// checkStamped compares the rows under versionstamped keys with the answers, and
// their order with that of real time.
func (s *sim) checkStamped() error {
	rows := map[string][]byte{}
	if _, err := s.clients[0].sess.Run(kv.Func(func(t kv.Txn) error {
		return t.Scan(stampSpan, kv.ScanOptions{}, func(key, value []byte) bool {
			rows[string(key[2:])] = bytes.Clone(value)
			return true
		})
	})); err != nil {
		return err
	}
	known := map[string]bool{}
	for i, a := range s.stamped {
		known[string(a.version[:])] = true
		row, found := rows[string(a.version[:])]
		if a.op.Outcome == history.OK && !found {
			return errors.Newf("T%d was answered with versionstamp %v, which is not there", a.op.ID, a.version)
		}
		if found && !bytes.Equal(row, encode(nil, a.id)) {
			return errors.Newf("row %v holds %x", a.version, row)
		}
		for _, b := range s.stamped[:i] {
			if err := inOrder(a, b); err != nil {
				return err
			}
			if err := inOrder(b, a); err != nil {
				return err
			}
		}
	}
	for version := range rows {
		if !known[version] && !s.o.Ranges { // or to somebody who never heard of it
			return errors.Newf("row %x belongs to nobody", version)
		}
	}
	return nil
}

// inOrder checks that a later transaction has the larger versionstamp.
func inOrder(a, b stampedAppend) error {
	if a.op.Outcome == history.OK && b.op.Outcome == history.OK && a.op.Return < b.op.Invoke &&
		bytes.Compare(a.version[:], b.version[:]) >= 0 {
		return errors.Newf("T%d ended before T%d began, but has versionstamp %v, not below %v", a.op.ID, b.op.ID, a.version, b.version)
	}
	return nil
}

func encode(list []uint32, id uint32) []byte {
	b := make([]byte, 0, 4*len(list)+4)
	for _, x := range list {
		b = binary.BigEndian.AppendUint32(b, x)
	}
	return binary.BigEndian.AppendUint32(b, id)
}

func decode(b []byte) []uint32 {
	var list []uint32
	for ; len(b) >= 4; b = b[4:] {
		list = append(list, binary.BigEndian.Uint32(b))
	}
	return list
}

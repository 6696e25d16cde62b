package kv

import (
	"bytes"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
)

const maxValueBytes = limits.PairBytes

// txn is one attempt at a transaction over an engine's Attempt: it adds the
// transaction's own writes, collects the conflict ranges and checks the limits.
type txn struct {
	att         Attempt
	w           writes
	readKeys    [][]byte
	readSpans   []base.Span
	mem         arena
	readBytes   int64
	interactive bool
	err         error // the first limit or usage error; Commit reports it
}

var _ Txn = (*txn)(nil)

func (t *txn) reset() {
	t.w.reset()
	clear(t.readKeys)
	clear(t.readSpans)
	t.readKeys, t.readSpans = t.readKeys[:0], t.readSpans[:0]
	t.mem.reset()
	t.readBytes, t.err = 0, nil
}

func (t *txn) begin(o AttemptOptions) {
	t.reset()
	t.att.Begin(o)
}

func (t *txn) request() *CommitRequest {
	return &CommitRequest{ReadKeys: t.readKeys, ReadSpans: t.readSpans, Mutations: t.w.muts}
}

func (t *txn) Interactive() bool      { return t.interactive }
func (t *txn) Alloc(n int) []byte     { return t.mem.alloc(n) }
func (t *txn) NowMillis() int64       { return t.att.NowMillis() }
func (t *txn) Expect(keys [][]byte)   { t.att.Expect(keys) }
func (t *txn) ApproximateSize() int64 { return t.w.bytes + t.readBytes }
func (t *txn) Snapshot() Reader       { return snapshotReader{t} }

func (t *txn) Get(key []byte) ([]byte, error) { return t.get(key, true) }

func (t *txn) get(key []byte, track bool) ([]byte, error) {
	if len(t.w.muts) > 0 {
		e, value, pending := t.w.lookup(key)
		switch e {
		case effectKnown:
			return value, nil
		case effectStamped:
			return nil, base.ErrUnreadable
		case effectPending:
			value, err := t.stored(key, track)
			if err != nil {
				return nil, err
			}
			return applyPending(value, pending), nil
		}
	}
	return t.stored(key, track)
}

func (t *txn) stored(key []byte, track bool) ([]byte, error) {
	if track {
		key = t.keep(key)
		t.readKeys = append(t.readKeys, key)
		t.readBytes += int64(len(key))
	}
	return t.att.Get(key)
}

// keep makes a slice that outlives the call: an interactive transaction's
// caller reuses its buffers between calls.
func (t *txn) keep(b []byte) []byte {
	if !t.interactive || b == nil {
		return b
	}
	return t.mem.copy(b)
}

func (t *txn) Scan(span base.Span, o ScanOptions, visit func(key, value []byte) bool) error {
	return t.scan(span, o, true, visit)
}

func (t *txn) scan(span base.Span, o ScanOptions, track bool, visit func(key, value []byte) bool) error {
	if span.Empty() {
		return nil
	}
	seen, stopped := 0, false
	var last []byte
	bounded := func(key, value []byte) bool {
		seen++
		last = key
		stopped = !visit(key, value) || (o.Limit > 0 && seen >= o.Limit)
		return !stopped
	}
	var err error
	if len(t.w.muts) == 0 || !t.w.touches(span) {
		err = t.att.Scan(span, o.Reverse, bounded)
	} else {
		err = t.scanMerged(span, o.Reverse, bounded)
	}
	if track {
		read := base.Span{Start: span.Start, End: span.End}
		if stopped && o.Reverse {
			read.Start = last
		} else if stopped {
			read.End = base.Next(last)
		}
		read = base.Span{Start: t.mem.copy(read.Start), End: t.mem.copy(read.End)}
		t.readSpans = append(t.readSpans, read)
		t.readBytes += int64(len(read.Start) + len(read.End))
	}
	return err
}

func (t *txn) scanMerged(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	for _, s := range t.w.stamped {
		if s.Overlaps(span) {
			return base.ErrUnreadable
		}
	}
	if t.w.index == nil {
		t.w.buildIndex()
	}
	m := merge{own: t.w.within(span), reverse: reverse, visit: visit}
	gaps := t.w.gaps(span)
	if reverse {
		reverseSlice(m.own)
		reverseSlice(gaps)
	}
	for _, gap := range gaps {
		if err := t.att.Scan(gap, reverse, m.stored); err != nil {
			return err
		}
		if m.err != nil || m.stopped {
			return m.err
		}
	}
	m.rest()
	return m.err
}

func reverseSlice[T any](s []T) {
	for i, j := 0, len(s)-1; i < j; i, j = i+1, j-1 {
		s[i], s[j] = s[j], s[i]
	}
}

// merge lays the transaction's own keys over a scan of the stored ones.
type merge struct {
	own     []*ownKey
	reverse bool
	visit   func(key, value []byte) bool
	stopped bool
	err     error
}

// stored takes the next stored pair.
func (m *merge) stored(key, value []byte) bool {
	for len(m.own) > 0 {
		c := bytes.Compare(m.own[0].key, key)
		if m.reverse {
			c = -c
		}
		if c > 0 {
			break
		}
		own := m.own[0]
		m.own = m.own[1:]
		if c == 0 {
			return m.emit(own, value)
		}
		if !m.emit(own, nil) {
			return false
		}
	}
	m.stopped = !m.visit(key, value)
	return !m.stopped
}

func (m *merge) rest() {
	for _, own := range m.own {
		if !m.emit(own, nil) {
			return
		}
	}
}

func (m *merge) emit(own *ownKey, stored []byte) bool {
	if own.stamp {
		m.err = base.ErrUnreadable
		return false
	}
	value := own.value
	if !own.known {
		value = applyPending(stored, own.pending)
	}
	if value == nil {
		return true
	}
	m.stopped = !m.visit(own.key, value)
	return !m.stopped
}

func (t *txn) GetKey(sel KeySelector, bounds base.Span) ([]byte, error) {
	return getKey(t, sel, bounds)
}

// getKey resolves a selector by scanning from its reference.
func getKey(r Reader, sel KeySelector, bounds base.Span) ([]byte, error) {
	from := sel.Reference
	if sel.OrEqual {
		from = base.Next(from)
	}
	from = clamp(from, bounds)
	// The anchor is the last key below from; offset n > 0 is the n-th key at or
	// above from, offset n <= 0 the (1-n)-th below it.
	var found []byte
	visit := func(key, _ []byte) bool { found = key; return true }
	if sel.Offset > 0 {
		n := 0
		err := r.Scan(base.Span{Start: from, End: bounds.End}, ScanOptions{Limit: sel.Offset},
			func(key, _ []byte) bool { n++; return visit(key, nil) })
		if err != nil || n < sel.Offset {
			return bounds.End, err
		}
		return found, nil
	}
	n, want := 0, 1-sel.Offset
	err := r.Scan(base.Span{Start: bounds.Start, End: from}, ScanOptions{Reverse: true, Limit: want},
		func(key, _ []byte) bool { n++; return visit(key, nil) })
	if err != nil || n < want {
		return bounds.Start, err
	}
	return found, nil
}

func clamp(key []byte, s base.Span) []byte {
	if bytes.Compare(key, s.Start) < 0 {
		return s.Start
	}
	if bytes.Compare(key, s.End) > 0 {
		return s.End
	}
	return key
}

func (t *txn) Set(key, value []byte) {
	if value == nil {
		value = []byte{}
	}
	t.write(base.Mutation{Op: base.OpSet, Key: key, Value: value})
}

func (t *txn) Clear(key []byte) { t.write(base.Mutation{Op: base.OpClear, Key: key}) }

func (t *txn) ClearRange(s base.Span) {
	if bytes.Compare(s.Start, s.End) > 0 {
		t.fail(base.ErrInvalidMutation)
		return
	}
	if !s.Empty() {
		t.write(base.Mutation{Op: base.OpClearRange, Key: s.Start, Value: s.End})
	}
}

func (t *txn) Atomic(op base.MutationOp, key, operand []byte) {
	t.write(base.Mutation{Op: op, Key: key, Value: operand})
}

func (t *txn) AddReadConflict(s base.Span) {
	s = base.Span{Start: t.keep(s.Start), End: t.keep(s.End)}
	t.readSpans = append(t.readSpans, s)
	t.readBytes += int64(len(s.Start) + len(s.End))
}

func (t *txn) AddWriteConflict(s base.Span) {
	if !s.Empty() {
		t.write(base.Mutation{Op: base.OpTouch, Key: s.Start, Value: s.End})
	}
}

func (t *txn) fail(err error) {
	if t.err == nil {
		t.err = err
	}
}

func (t *txn) write(m base.Mutation) {
	if err := checkMutation(&m); err != nil {
		t.fail(err)
		return
	}
	m.Key, m.Value = t.keep(m.Key), t.keep(m.Value)
	t.w.add(m)
	if t.ApproximateSize() > limits.TransactionBytes {
		t.fail(base.ErrTransactionTooLarge)
	}
}

func checkMutation(m *base.Mutation) error {
	switch m.Op {
	case base.OpSetVersionstampedKey:
		if _, _, ok := base.VersionstampOffset(m.Key); !ok {
			return base.ErrInvalidMutation
		}
	case base.OpSetVersionstampedValue:
		if _, _, ok := base.VersionstampOffset(m.Value); !ok {
			return base.ErrInvalidMutation
		}
	}
	if len(m.Key) > limits.KeyBytes {
		return base.ErrKeyTooLarge
	}
	if len(m.Key)+len(m.Value) > limits.PairBytes {
		return base.ErrValueTooLarge
	}
	return nil
}

// snapshotReader reads without leaving conflicts.
type snapshotReader struct{ t *txn }

func (s snapshotReader) Get(key []byte) ([]byte, error) { return s.t.get(key, false) }

func (s snapshotReader) Scan(span base.Span, o ScanOptions, visit func(key, value []byte) bool) error {
	return s.t.scan(span, o, false, visit)
}

func (s snapshotReader) GetKey(sel KeySelector, bounds base.Span) ([]byte, error) {
	return getKey(s, sel, bounds)
}

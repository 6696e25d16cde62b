package sim

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/test/history"
)

const lists = 6

var (
	listSpan  = base.Span{Start: []byte("\x04l"), End: []byte("\x04m")}
	stampSpan = base.Span{Start: []byte("\x04s"), End: []byte("\x04t")}
)

func (s *sim) key() string { return fmt.Sprintf("\x04l%d", s.rnd.IntN(lists)) }

func (s *sim) newOp() *history.Op {
	op := &history.Op{ID: len(s.ops) + 1, Invoke: s.now, Outcome: history.Failed,
		Reads: map[string][]uint32{}, Appends: map[string]uint32{}}
	s.ops = append(s.ops, op)
	return op
}

func (s *sim) id() uint32 { s.nextID++; return s.nextID }

// stampedAppend is a row under a versionstamped key, and the order in which its
// transaction was answered.
type stampedAppend struct {
	id      uint32
	op      *history.Op
	version *base.Versionstamp
}

// oneShot runs a short closure, as a connection does.
func (s *sim) oneShot() {
	op := s.newOp()
	reads, appends := 1+s.rnd.IntN(2), s.rnd.IntN(3)
	var keys []string
	for range reads {
		keys = append(keys, s.key())
	}
	kind := s.rnd.IntN(8)
	id := s.id()
	if appends > 0 {
		for _, k := range keys[:min(appends, len(keys))] {
			op.Appends[k] = id
		}
	}
	s.nextID += lists
	i := uint32(0)
	for _, k := range sorted(op.Appends) {
		op.Appends[k] = id + i
		i++
	}
	body := func(t kv.Txn) error {
		clear(op.Reads)
		switch kind {
		case 0: // blind: atomic appends, no reads
			for _, k := range sorted(op.Appends) {
				t.Atomic(base.OpAppendIfFits, []byte(k), s.encode(nil, op.Appends[k]))
			}
			return nil
		case 1: // a scan of everything
			for n := range lists {
				op.Reads[fmt.Sprintf("\x04l%d", n)] = nil
			}
			if err := t.Scan(listSpan, kv.ScanOptions{Reverse: id%2 == 0}, func(key, value []byte) bool {
				op.Reads[string(key)] = decode(value)
				return true
			}); err != nil {
				return err
			}
		case 2: // something to evict, to clear and to come back
			t.ClearRange(base.Span{Start: []byte("\x04x"), End: []byte("\x04y")})
			t.Set(fmt.Appendf(nil, "\x04x%d", id%5), []byte("junk"))
		}
		return s.readAndAppend(t, op, keys)
	}
	t, err := s.sess.Run(kv.Func(body))
	s.sequenced(op, t, err)
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
		t.Set([]byte(k), s.encode(op.Reads[k], op.Appends[k]))
	}
	return nil
}

// sequenced files an operation according to what its commit answered.
func (s *sim) sequenced(op *history.Op, t base.Ticket, err error) {
	switch {
	case err == nil:
		s.note("T%d sequenced at %d", op.ID, t.Pos)
		op.Outcome = history.Unknown // until it is answered
		s.pending = append(s.pending, pending{op, t})
	case base.Retryable(err):
		s.res.Conflicts++
		s.note("T%d refused", op.ID)
	case errors.Is(err, base.ErrDiskFull):
		s.res.DiskFull++
		s.note("T%d finds the disk full", op.ID)
	default:
		s.note("T%d failed", op.ID)
		if s.disk.after == nil && !errors.IsAny(err, base.ErrTransactionTimedOut, base.ErrUnavailable) {
			s.fatal = errors.CombineErrors(s.fatal, errors.Wrapf(err, "T%d", op.ID))
		}
	}
}

// interact moves one of the open interactive transactions on, or opens one.
func (s *sim) interact() {
	if len(s.open) < 3 && s.rnd.IntN(3) == 0 {
		s.open = append(s.open, &interactive{tx: s.db.Begin(), op: s.newOp()})
		return
	}
	if len(s.open) == 0 {
		return
	}
	n := s.rnd.IntN(len(s.open))
	i := s.open[n]
	if s.rnd.IntN(3) > 0 {
		k := s.key()
		if _, done := i.op.Reads[k]; !done && i.op.Appends[k] == 0 {
			v, err := i.tx.Get([]byte(k))
			if err == nil {
				i.op.Reads[k] = decode(v)
				if s.rnd.IntN(2) == 0 {
					i.op.Appends[k] = s.id()
					i.tx.Set([]byte(k), s.encode(i.op.Reads[k], i.op.Appends[k]))
				}
				return
			}
		} else {
			return
		}
	}
	s.open = append(s.open[:n:n], s.open[n+1:]...)
	var stamped *stampedAppend
	if s.rnd.IntN(2) == 0 {
		stamped = &stampedAppend{id: s.id(), op: i.op}
		template := append(append([]byte("\x04s"), make([]byte, base.VersionstampLen)...), 2, 0, 0, 0)
		i.tx.Atomic(base.OpSetVersionstampedKey, template, s.encode(nil, stamped.id))
	}
	r, err := i.tx.Sequence()
	s.sequenced(i.op, r.Ticket, err)
	if err == nil && stamped != nil {
		stamped.version = r.Version
		s.stamped = append(s.stamped, *stamped)
	}
}

// checkStamped compares the rows under versionstamped keys with the answers.
func (s *sim) checkStamped() error {
	rows := map[string][]byte{}
	if _, err := s.sess.Run(kv.Func(func(t kv.Txn) error {
		return t.Scan(stampSpan, kv.ScanOptions{}, func(key, value []byte) bool {
			rows[string(key[2:])] = bytes.Clone(value)
			return true
		})
	})); err != nil {
		return err
	}
	known := map[string]bool{}
	for _, a := range s.stamped {
		known[string(a.version[:])] = true
		row, found := rows[string(a.version[:])]
		if a.op.Outcome == history.OK && !found {
			return errors.Newf("T%d was answered with versionstamp %v, which is not there", a.op.ID, a.version)
		}
		if found && !bytes.Equal(row, s.encode(nil, a.id)) {
			return errors.Newf("row %v holds %x", a.version, row)
		}
	}
	for version := range rows {
		if !known[version] {
			return errors.Newf("row %x belongs to nobody", version)
		}
	}
	return nil
}

// flip turns one bit of a log segment and expects that the store either refuses
// to open, changing nothing, or loses nothing that was acknowledged (the bit lay
// where nothing is read). Then it turns the bit back.
func (s *sim) flip(image *vfs.MemFS) error {
	names, err := segments(image)
	if err != nil || len(names) == 0 {
		return err
	}
	name := names[s.rnd.IntN(len(names))]
	st, err := image.Stat(name)
	if err != nil || st.Size() == 0 {
		return err
	}
	off, bit := s.rnd.Int64N(st.Size()), byte(1)<<s.rnd.IntN(8)
	trial, err := crashImage(image, nil, 0, 0)
	if err != nil {
		return err
	}
	if err := flipBit(trial, name, off, bit); err != nil {
		return err
	}
	s.res.Flips++
	return s.openDamaged(trial, name, off)
}

func flipBit(fs vfs.FS, name string, off int64, bit byte) error {
	f, err := fs.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		return errors.CombineErrors(err, f.Close())
	}
	b[0] ^= bit
	if _, err := f.WriteAt(b[:], off); err != nil {
		return errors.CombineErrors(err, f.Close())
	}
	return errors.CombineErrors(f.Sync(), f.Close())
}

package sim

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/test/history"
)

const (
	dataDir  = "data"
	stateDir = "data/state"
)

// Options of a run.
type Options struct {
	Seed   uint64
	Events int
	Faults replica.Faults
	// Trace receives a line per event; optional.
	Trace func(line string)
}

// Result of a run.
type Result struct {
	Trace              uint64 // hash of every event
	Ops, Acknowledged  int
	Conflicts, Unknown int
	Crashes, Flips     int
	DiskFull           int
}

// simClock is the machine's clock.
type simClock struct{ micros int64 }

func (c *simClock) Now() time.Time    { return time.UnixMicro(c.micros) }
func (c *simClock) UnixMicros() int64 { return c.micros }

// sim is one run.
type sim struct {
	o     Options
	rnd   *rand.Rand
	clock *simClock
	disk  *disk
	store *store.Store
	db    *kv.DB
	sess  *kv.Session
	fatal error

	now     int64 // event counter
	trace   interface{ Write([]byte) (int, error) }
	sum     func() uint64
	ops     []*history.Op
	pending []pending
	open    []*interactive
	stamped []stampedAppend
	nextID  uint32
	res     Result
}

// pending is an operation whose reply waits for its ticket.
type pending struct {
	op     *history.Op
	ticket base.Ticket
}

// interactive is a transaction that a client has open.
type interactive struct {
	tx *kv.Tx
	op *history.Op
}

// Run executes one seed and checks what came of it.
func Run(o Options) (Result, error) {
	h := fnv.New64a()
	s := &sim{o: o, rnd: rand.New(rand.NewPCG(o.Seed, 0x57a7a)), clock: &simClock{micros: 1_700_000_000_000_000},
		trace: h, sum: h.Sum64}
	mem := vfs.NewCrashableMem()
	s.disk = newDisk(mem, s.rnd)
	if err := s.start(); err != nil {
		return s.res, errors.Wrap(err, "first start")
	}
	for range o.Events {
		s.now++
		if err := s.event(); err != nil {
			return s.res, errors.Wrapf(err, "event %d", s.now)
		}
	}
	err := s.finish()
	s.res.Trace = s.sum()
	return s.res, err
}

func (s *sim) note(format string, args ...any) {
	line := fmt.Sprintf("%d %s", s.now, fmt.Sprintf(format, args...))
	_, _ = s.trace.Write([]byte(line))
	if s.o.Trace != nil {
		s.o.Trace(line)
	}
}

func (s *sim) start() error {
	s.fatal = nil
	st, err := store.Open(store.Options{
		FS: s.disk, Dir: dataDir, Clock: s.clock, Manual: true, SegmentBytes: 64 << 10,
		Random: s.rnd.Uint64, Faults: s.o.Faults, WindowAge: time.Second,
		OnFatal: func(err error) { s.fatal = errors.CombineErrors(s.fatal, err) },
	})
	if err != nil {
		return err
	}
	s.store = st
	s.db = kv.NewWithSession(kvrange.New(st), s.clock.Now, s.rnd.Uint64()|1)
	s.sess = s.db.NewSession()
	return st.Step()
}

// event does one thing.
func (s *sim) event() error {
	if s.disk.after == nil {
		s.act()
	}
	s.poll()
	if s.disk.after != nil {
		return s.restart()
	}
	if s.fatal != nil {
		return errors.Wrap(s.fatal, "the store stopped by itself")
	}
	return nil
}

func (s *sim) act() {
	var err error
	switch n := s.rnd.IntN(1000); {
	case n < 420:
		s.oneShot()
	case n < 560:
		s.interact()
	case n < 800:
		err = s.store.Step()
	case n < 880:
		s.clock.micros += s.rnd.Int64N(300_000)
	case n < 950:
		s.note("maintain")
		err = s.store.Maintain()
	case n < 960:
		s.disk.full = !s.disk.full
		s.note("disk full: %v", s.disk.full)
		s.store.CheckDisk()
	case n < 985:
		lose := s.loss()
		at := s.rnd.IntN(30)
		s.note("crash armed: in %d I/Os, losing %d%%", at, lose)
		s.disk.arm(at, lose)
	case n < 990:
		lose := s.loss()
		s.note("crash now, losing %d%%", lose)
		s.disk.crash(lose)
	case n < 993:
		s.clock.micros -= s.rnd.Int64N(2_000_000) // the clock is set back
	default:
		s.clock.micros += 3_000_000
	}
	if err != nil && s.disk.after == nil {
		s.fatal = errors.CombineErrors(s.fatal, err)
	}
}

// loss is how much of the un-synced data a crash loses: nothing when only the
// process dies.
func (s *sim) loss() int {
	switch s.rnd.IntN(3) {
	case 0:
		return 0
	case 1:
		return 100
	}
	return s.rnd.IntN(101)
}

// poll collects the replies that may be sent.
func (s *sim) poll() {
	kept := s.pending[:0]
	for _, p := range s.pending {
		if p.ticket.Done() {
			s.reply(p.op)
		} else {
			kept = append(kept, p)
		}
	}
	s.pending = kept
}

func (s *sim) reply(op *history.Op) {
	op.Outcome, op.Return = history.OK, s.now
	s.res.Acknowledged++
	s.note("T%d answered %v", op.ID, op.Reads)
}

// restart continues on what the crash left.
func (s *sim) restart() error {
	s.res.Crashes++
	for _, p := range s.pending {
		p.op.Outcome = history.Unknown
		s.res.Unknown++
	}
	s.pending = nil
	for _, i := range s.open {
		i.op.Outcome = history.Failed // never sequenced
	}
	s.open = nil
	s.store.Abandon() // on the old disk, which nobody sees any more
	image := s.disk.after
	if s.rnd.IntN(4) == 0 {
		if err := s.flip(image); err != nil {
			return err
		}
	}
	s.disk = newDisk(image, s.rnd)
	if s.rnd.IntN(4) == 0 { // crash again while starting
		s.disk.arm(s.rnd.IntN(40), s.loss())
	}
	for {
		err := s.start()
		if s.disk.after == nil {
			s.note("restarted")
			return errors.Wrap(err, "restart")
		}
		if err == nil {
			s.store.Abandon()
		}
		s.res.Crashes++
		s.disk = newDisk(s.disk.after, s.rnd)
	}
}

func (s *sim) encode(list []uint32, id uint32) []byte {
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

// finish lets the replica end its work, restarts once more and checks.
func (s *sim) finish() error {
	s.disk.countdown, s.disk.full = -1, false
	s.store.CheckDisk()
	for _, i := range s.open {
		i.tx.Rollback()
		i.op.Outcome = history.Failed
	}
	s.open = nil
	if err := s.store.Step(); err != nil {
		return err
	}
	s.poll()
	if len(s.pending) > 0 {
		return errors.Newf("%d operations never ended", len(s.pending))
	}
	if s.rnd.IntN(2) == 0 {
		s.disk.crash(s.loss())
		if err := s.restart(); err != nil {
			return err
		}
	} else {
		if err := s.store.Close(); err != nil {
			return errors.Wrap(err, "clean stop")
		}
		if err := s.disk.removeObsolete(); err != nil {
			return err
		}
		if err := s.start(); err != nil {
			return errors.Wrap(err, "start after a clean stop")
		}
	}
	if s.disk.after != nil {
		return errors.New("crashed in the end")
	}
	return s.check()
}

func (s *sim) check() error {
	final := map[string][]uint32{}
	if _, err := s.sess.Run(kv.Func(func(t kv.Txn) error {
		return t.Scan(listSpan, kv.ScanOptions{}, func(key, value []byte) bool {
			final[string(key)] = decode(value)
			return true
		})
	})); err != nil {
		return err
	}
	if err := history.Check(s.ops, final); err != nil {
		return err
	}
	if err := s.checkStamped(); err != nil {
		return err
	}
	s.res.Ops = len(s.ops)
	return errors.Wrap(s.store.Close(), "close")
}

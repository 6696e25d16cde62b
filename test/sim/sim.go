package sim

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/coordinator"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/test/history"
)

const (
	dataDir  = "data"
	stateDir = "data/state"
	logDir   = "data/log"
	// sessions is how many clients there are.
	sessions = 5
)

// Options of a run.
type Options struct {
	Seed   uint64
	Events int
	Faults replica.Faults
	// Ranges divides the keyspace, so that transactions need several ranges; their
	// coordinators crash.
	Ranges bool
	// Cut divides the ranges further while a run goes on, and unites them.
	Cut bool
	// Calm lets no coordinator crash.
	Calm        bool
	Coordinator coordinator.Faults
	Everywhere  bool // see coordinator.Options
	// Trace receives a line per event; optional.
	Trace func(line string)
}

// Result of a run: the hash of its trace, and how often things happened.
type Result struct {
	Trace              uint64
	Events             int
	Ops, Acknowledged  int
	Registers          int // operations on registers
	Conflicts, Unknown int
	Refused            int // closures that failed because of what they saw
	TooOld, TimedOut   int
	Dirty              int // guarded commits that were refused
	Resent             int // deliveries of a request that was delivered before
	Held, Large        int
	Crashes, Flips     int
	Stops              int // clean ones
	DiskFull           int // refused writes
	Spread             int // commits over several ranges that were prepared
	Orphans            int // coordinators that crashed
	Settled            int // sweeps that found something
	Merges             int // that were done under their caller's eyes
	Points             [replica.Points]int
}

// Add adds the counters of o.
func (r *Result) Add(o Result) {
	for _, p := range []struct {
		to   *int
		from int
	}{
		{&r.Events, o.Events}, {&r.Ops, o.Ops}, {&r.Acknowledged, o.Acknowledged}, {&r.Registers, o.Registers},
		{&r.Conflicts, o.Conflicts}, {&r.Unknown, o.Unknown}, {&r.Refused, o.Refused}, {&r.TooOld, o.TooOld},
		{&r.TimedOut, o.TimedOut}, {&r.Dirty, o.Dirty}, {&r.Resent, o.Resent}, {&r.Held, o.Held}, {&r.Large, o.Large},
		{&r.Spread, o.Spread}, {&r.Orphans, o.Orphans}, {&r.Settled, o.Settled}, {&r.Merges, o.Merges}, {&r.Crashes, o.Crashes}, {&r.Flips, o.Flips}, {&r.Stops, o.Stops}, {&r.DiskFull, o.DiskFull},
	} {
		*p.to += p.from
	}
	for i := range r.Points {
		r.Points[i] += o.Points[i]
	}
}

// Missing names what never happened.
func (r *Result) Missing() (names []string) {
	for name, n := range map[string]int{
		"acknowledged": r.Acknowledged, "registers": r.Registers, "conflicts": r.Conflicts, "unknown": r.Unknown,
		"refused": r.Refused, "too old": r.TooOld, "timed out": r.TimedOut, "dirty": r.Dirty, "resent": r.Resent,
		"held": r.Held, "large": r.Large, "crashes": r.Crashes, "flips": r.Flips, "stops": r.Stops,
		"disk full": r.DiskFull,
	} {
		if n == 0 {
			names = append(names, name)
		}
	}
	for p, n := range r.Points {
		if n == 0 && replica.Point(p) != replica.PointLocked { // nobody locks anything in a single range
			names = append(names, replica.Point(p).String())
		}
	}
	return names
}

// simClock is the machine's clock.
type simClock struct{ micros int64 }

func (c *simClock) Now() time.Time         { return time.UnixMicro(c.micros) }
func (c *simClock) UnixMicros() int64      { return c.micros }
func (c *simClock) Elapsed() time.Duration { return time.Duration(c.micros) * time.Microsecond }

// client runs one operation at a time.
type client struct {
	name string
	sess *kv.Session
	task *task // nil while it has nothing to do
}

// sim is one run.
type sim struct {
	o       Options
	rnd     *rand.Rand
	clock   *simClock
	disk    *disk
	store   *store.Store
	db      *kv.DB
	clients []*client
	actions []action
	total   int // of the actions' weights
	window  int64
	calm    int64 // how many times fewer faults there are, and how much slower time is
	fatal   error

	running *task // nil: the scheduler itself
	loop    *task
	keeper  *task
	several several
	driving bool

	now         int64 // event counter
	ticks       int64 // orders the operations on registers
	trace       interface{ Write([]byte) (int, error) }
	sum         func() uint64
	ops         []*history.Op
	registerOps []*registerOp
	pending     []pending
	resend      []delivery
	stamped     []stampedAppend
	nextID      uint32
	res         Result
}

// pending is an operation whose reply waits for its ticket.
type pending struct {
	op       *history.Op // or
	register *registerOp
	ticket   base.Ticket
	again    *delivery // it can be delivered again after a crash
}

// Run executes one seed and checks what came of it.
func Run(o Options) (Result, error) {
	s := newSim(o)
	err := errors.Wrap(s.start(), "first start")
	for err == nil && s.res.Events < o.Events {
		s.now++
		s.res.Events++
		err = errors.Wrapf(s.event(), "event %d", s.now)
	}
	if err == nil {
		err = s.finish()
	}
	s.unwind()
	s.res.Trace = s.sum()
	return s.res, err
}

func newSim(o Options) *sim {
	h := fnv.New64a()
	s := &sim{o: o, rnd: rand.New(rand.NewPCG(o.Seed, 0x57a7a)), clock: &simClock{micros: 1_700_000_000_000_000},
		trace: h, sum: h.Sum64}
	s.weigh()
	s.disk = newDisk(vfs.NewCrashableMem(), s.rnd)
	return s
}

// action is a kind of event and how often it comes.
type action struct {
	weight int
	do     func()
}

// weigh lists the kinds of events. Every seed has its own weights, so that some
// runs do little else than one of them.
func (s *sim) weigh() {
	s.calm = 1
	if s.o.Ranges { // commits take long
		s.calm = []int64{1, 5, 25}[s.rnd.IntN(3)]
		s.several.hot = s.rnd.Perm(lists)[:2+s.rnd.IntN(4)]
	}
	operations := []action{
		{30, s.startAny(s.oneShot)}, {30, s.startAny(s.interactive)}, {30, s.startAny(s.register)},
		{10, s.startAny(s.held)}, {12, s.startAny(s.repeated)}, {12, s.startAny(s.guarded)},
	}
	if s.o.Ranges {
		operations = append(operations, action{30, s.startAny(s.across)})
	}
	s.actions = append(operations,
		action{120, s.resumeAny}, action{160, s.stepLoop}, action{15, s.stepKeeper},
		action{20, func() { s.clock.micros += s.rnd.Int64N(200_000 / s.calm) }},
		action{1, s.toggleFull}, action{1, s.toggleSpace}, action{1, s.armCrash}, action{1, s.crashNow}, action{1, s.stop},
		action{1, s.jump},
	)
	if !s.o.Ranges {
		s.actions = append(s.actions, action{1, s.pounce})
	}
	s.actions = append(s.actions, s.severalActions()...)
	for i := range s.actions {
		if s.actions[i].weight > 2 { // no fault, and nothing as rare as one
			s.actions[i].weight *= int(s.calm)
		}
		s.actions[i].weight *= []int{1, 2, 4}[s.rnd.IntN(3)]
		s.total += s.actions[i].weight
	}
	if s.rnd.IntN(4) == 0 {
		s.window = 4<<10 + s.rnd.Int64N(60<<10)
	}
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
		Random: s.rnd.Uint64, Faults: s.o.Faults, WindowAge: time.Second, WindowBytes: s.window, Pause: s.pause,
		OnFatal: func(err error) { s.fatal = errors.CombineErrors(s.fatal, err) },
	})
	if err != nil {
		return err
	}
	s.store = st
	s.db = kv.NewWithSession(s.engine(), s.clock.Now, s.rnd.Uint64()|1)
	s.clients = s.clients[:0]
	for n := range sessions {
		s.clients = append(s.clients, &client{name: fmt.Sprintf("client %d", n), sess: s.db.NewSession()})
	}
	err = st.Step()
	if err == nil && s.o.Ranges {
		err = s.divide()
	}
	if err != nil {
		st.Abandon()
		return err
	}
	return s.disk.removeObsolete()
}

// event does one thing.
func (s *sim) event() error {
	if s.disk.after == nil {
		n := s.rnd.IntN(s.total)
		for _, a := range s.actions {
			if n -= a.weight; n < 0 {
				a.do()
				break
			}
		}
	}
	s.poll()
	if s.disk.after != nil {
		return s.restart()
	}
	return errors.Wrap(s.fatal, "the store stopped by itself")
}

// startAny makes an event in which a client that has nothing to do begins something.
func (s *sim) startAny(run func(*client)) func() {
	return func() {
		c := s.clients[s.rnd.IntN(sessions)]
		if c.task == nil {
			c.task = s.spawn(c.name, func() { run(c) })
			s.resumeClient(c)
		}
	}
}

// resumeAny lets a client go on, or deliver again what a crash has hidden.
func (s *sim) resumeAny() {
	c := s.clients[s.rnd.IntN(sessions)]
	if c.task == nil && len(s.resend) > 0 {
		d := s.resend[0]
		s.resend = s.resend[1:]
		s.res.Resent++
		c.task = s.spawn(c.name, func() { s.deliver(d) })
	}
	if c.task != nil {
		s.resumeClient(c)
	}
}

func (s *sim) resumeClient(c *client) {
	if !s.resume(c.task) {
		c.task = nil
	}
}

func (s *sim) jump() {
	if s.rnd.IntN(3) == 0 {
		s.clock.micros -= s.rnd.Int64N(2_000_000) // the clock is set back
	} else {
		s.clock.micros += s.rnd.Int64N(6_000_000)
	}
}

func (s *sim) toggleFull() {
	s.disk.full = !s.disk.full
	s.note("disk full: %v", s.disk.full)
	s.store.CheckDisk()
}

// toggleSpace makes the file system below the log refuse new files, or take them again.
func (s *sim) toggleSpace() {
	s.disk.noSpace = !s.disk.noSpace
	s.note("no space: %v", s.disk.noSpace)
}

func (s *sim) armCrash() {
	at, lose := s.rnd.IntN(30), s.loss()
	s.note("crash armed: in %d I/Os, losing %d%%", at, lose)
	s.disk.arm(at, lose)
}

func (s *sim) crashNow() {
	lose := s.loss()
	s.note("crash now, losing %d%%", lose)
	s.disk.crash(lose)
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
		if !p.ticket.Done() {
			kept = append(kept, p)
			continue
		}
		s.res.Acknowledged++
		if p.register != nil {
			p.register.ret, p.register.out.known = s.tick(), true
			continue
		}
		p.op.Outcome, p.op.Return = history.OK, s.now
		s.note("T%d answered %v", p.op.ID, p.op.Reads)
	}
	s.pending = kept
}

// lose files what nobody will be told any more.
func (s *sim) lose() {
	s.unwind()
	for _, p := range s.pending {
		s.res.Unknown++
		switch {
		case p.register != nil:
			p.register.ret = s.tick()
		case p.again != nil && s.rnd.IntN(4) > 0:
			s.resend = append(s.resend, *p.again)
		}
	}
	s.pending = nil
}

// pounce lets all that is committed leave the memory while a batch is in flight, and then
// takes the power: what that batch was going to replace must be there still.
func (s *sim) pounce() {
	if s.loop == nil {
		return
	}
	s.clock.micros += 2_000_000
	for range 2 { // one that was going on may have begun earlier
		s.stepKeeper()
		for n := 0; n < 1000 && s.keeper != nil && s.disk.after == nil; n++ {
			s.stepKeeper()
		}
	}
	if s.disk.after == nil {
		s.note("power fails behind a flush")
		s.disk.crash(100)
	}
}

// stop ends the process as SIGTERM does, and starts it again.
func (s *sim) stop() {
	s.note("clean stop")
	s.disk.noSpace = false
	for s.loops() {
		s.stepLoops()
	}
	for s.keeper != nil {
		s.stepKeeper()
	}
	s.poll()
	if s.disk.after != nil {
		return
	}
	s.lose()
	if err := s.store.Close(); err != nil {
		s.must(errors.Wrap(err, "clean stop"))
		return
	}
	s.res.Stops++
	if s.disk.after != nil {
		return
	}
	s.must(errors.Wrap(s.start(), "start after a clean stop"))
}

// restart continues on what the crash left.
func (s *sim) restart() error {
	s.res.Crashes++
	s.lose()
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

// finish lets everything end, restarts once more and checks.
func (s *sim) finish() error {
	s.disk.countdown, s.disk.full, s.disk.noSpace = -1, false, false
	s.store.CheckDisk()
	for busy := true; busy && s.fatal == nil; {
		if busy = len(s.resend) > 0; busy {
			s.resumeAny()
		}
		for _, c := range s.clients {
			if c.task != nil {
				s.resumeClient(c)
				busy = true
			}
		}
		if s.o.Ranges { // who waits for a lock has to see time pass
			if len(s.store.Frozen()) > 0 && s.rnd.IntN(20) == 0 {
				s.heal()
			}
			busy = s.stepBehind() || busy
			s.clock.micros += 50_000
		}
		s.stepLoops()
		s.several.evictOnly = s.o.Ranges // it takes long, and every flush makes a file
		s.stepKeeper()
	}
	if err := errors.CombineErrors(s.fatal, s.drive()); err != nil {
		return err
	}
	s.poll()
	if err := s.settleAll(); err != nil {
		return err
	}
	if len(s.pending) > 0 {
		return errors.Newf("%d operations never ended", len(s.pending))
	}
	if s.rnd.IntN(2) == 0 {
		s.disk.crash(s.loss())
		if err := s.restart(); err != nil {
			return err
		}
	} else if s.stop(); s.fatal != nil {
		return s.fatal
	}
	if s.disk.after != nil {
		return errors.New("crashed in the end")
	}
	return s.check()
}

func (s *sim) check() error {
	final := map[string][]uint32{}
	if _, err := s.clients[0].sess.Run(kv.Func(func(t kv.Txn) error {
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
	if err := s.checkRegisters(); err != nil {
		return err
	}
	s.res.Ops = len(s.ops)
	return errors.Wrap(s.store.Close(), "close")
}

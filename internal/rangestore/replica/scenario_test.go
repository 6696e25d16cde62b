package replica

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/batch"
	"github.com/stratadb/strata/internal/rangestore/prepared"
	"github.com/stratadb/strata/internal/rangestore/window"
	"github.com/stratadb/strata/internal/storage/raftlog"
)

// TestScenarios runs the files in testdata: schedules that a random search finds
// rarely, step by step. Stamps are 1, 2, 3, … The commands:
//
//	open [window=bytes]                open the replica, or open it again
//	begin t [at=stamp] [hold=always]   a transaction on the newest state
//	snapshot t                         one that reads at a fresh stamp
//	read t key / scan t from to        the value; or that t waits
//	resume t                           let a transaction that waits go on
//	write t key=value / clear t key / clear-range t from to / append t key=value
//	id t number                        make it happen once
//	watch w key / guard t w / fired w
//	commit t                           validate and sequence
//	answered t                         may its result be revealed?
//	step [to=point]                    run the loop to its end, or to a point
//	evict                              move everything committed to disk
//	seal / evict-slice                 end a slice of the window; move the oldest to disk
//	disk                               what is there
//	split key right=id / ranges        cut the range; what it is, and what was born
//	learner                            a membership change: a replica on another node
//	freeze                             for a merge with the left neighbour
//	stale key at=stamp / stale-scan from to at=stamp     what any replica may answer
//	complete stamp / cover stamp index=n     the leader's word about a stamp: given, taken
//	stop                               end the tenure
//	crash                              all that was not synced is lost
func TestScenarios(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := &scenario{t: t, fs: vfs.NewCrashableMem(), disk: &memDisk{rows: map[string]string{}}, oracle: &counter{}}
		defer func() {
			if s.log != nil {
				_ = s.log.Close()
			}
		}()
		datadriven.RunTest(t, path, s.run)
	})
}

type scenario struct {
	t       *testing.T
	fs      *vfs.MemFS
	log     *raftlog.Log
	disk    *memDisk
	oracle  *counter
	r       *Replica
	txns    map[string]*scenarioTxn
	watches map[string]*Watch
	settler *settler
	clock   *manualClock
	loop    *coroutine
	running *coroutine
	fatal   error
	born    []string
}

// describe renders a range.
func describe(d *base.RangeDescriptor) string {
	frozen := ""
	if d.Frozen != (base.Freeze{}) {
		frozen = ", frozen"
	}
	return fmt.Sprintf("range %d of range %d, epoch %d, [%q, %q)%s", d.ID, d.Parent, d.Epoch, d.Span.Start, d.Span.End, frozen)
}

type scenarioTxn struct {
	a      *Attempt
	req    Request
	ticket base.Ticket
	told   *flagWaiter // registered with the ticket
	busy   *coroutine  // waits inside a call
	result string      // of the call
	txn    prepared.Txn
}

// coroutine is a piece of work that stops at the replica's points.
type coroutine struct {
	next  func() (Point, bool)
	yield func(Point) bool
}

func (s *scenario) spawn(run func()) *coroutine {
	c := &coroutine{}
	c.next, _ = iter.Pull(func(yield func(Point) bool) {
		c.yield = yield
		run()
	})
	return c
}

func (s *scenario) resume(c *coroutine) (Point, bool) {
	before := s.running
	s.running = c
	defer func() { s.running = before }()
	return c.next()
}

func (s *scenario) pause(p Point) {
	if s.running != nil {
		s.running.yield(p)
	} else if p >= PointWaiting {
		panic("waiting outside of a coroutine")
	}
}

func (s *scenario) run(t *testing.T, d *datadriven.TestData) string {
	out, err := s.command(d)
	if err == nil {
		err = s.fatal
	}
	if err != nil {
		out += "error: " + strings.SplitN(err.Error(), "\n", 2)[0]
	}
	if out = strings.TrimSpace(out); out != "" {
		out += "\n"
	}
	return out
}

func (s *scenario) command(d *datadriven.TestData) (string, error) {
	switch d.Cmd {
	case "open":
		return s.open(d)
	case "step":
		return s.step(d)
	case "evict":
		return s.evict()
	case "seal":
		s.r.mu.win.Seal()
		return "", nil
	case "evict-slice":
		_, err := s.r.evictOne()
		return "", err
	case "table":
		return s.table()
	case "issue":
		var n uint64
		_, err := fmt.Sscan(d.CmdArgs[0].Key, &n)
		s.oracle.Observe(base.Stamp(n))
		return "", err
	case "pass":
		by, err := time.ParseDuration(d.CmdArgs[0].Key)
		s.clock.now += by
		return "", err
	case "disk":
		return s.disk.String(), nil
	case "split":
		var right uint64
		d.ScanArgs(s.t, "right", &right)
		t, err := s.r.BeginSplit([]byte(d.CmdArgs[0].Key), base.RangeID(right))
		if err != nil {
			return "refused: " + err.Error(), nil
		}
		return fmt.Sprintf("position %d", t.Pos), nil
	case "freeze":
		_, err := s.r.BeginFreeze(base.Freeze{Left: 9, Epoch: 1})
		return "", err
	case "stale", "stale-scan", "complete", "cover":
		return s.stale(d)
	case "ranges":
		desc := s.r.Descriptor()
		return strings.Join(append([]string{describe(&desc)}, s.born...), "\n"), nil
	case "learner": // a membership change
		return "", s.r.ChangeMembers(Change{Kind: AddLearner, Replica: s.r.Descriptor().NextReplica, Node: 2})
	case "stop":
		s.r.Stop()
		return "", nil
	case "crash":
		s.fs = s.fs.CrashClone(vfs.CrashCloneCfg{})
		s.loop, s.log = nil, nil
		return "", nil
	case "watch":
		s.watches[d.CmdArgs[0].Key] = s.r.Watch([]byte(d.CmdArgs[1].Key))
		return "", nil
	case "fired":
		return s.fired(s.watches[d.CmdArgs[0].Key]), nil
	}
	return s.transaction(d)
}

// evict moves everything committed to disk, unless the loop's work is in the way.
func (s *scenario) evict() (out string, err error) {
	work := s.spawn(func() { err = s.r.EvictAll() })
	for {
		switch p, alive := s.resume(work); {
		case !alive:
			return "", err
		case p >= PointWaiting:
			return "waits", nil
		}
	}
}

func (s *scenario) open(d *datadriven.TestData) (string, error) {
	windowBytes := int64(limits.WindowBytes)
	d.MaybeScanArgs(s.t, "window", &windowBytes)
	if s.log != nil {
		if err := s.log.Close(); err != nil {
			return "", err
		}
	}
	if s.clock == nil {
		s.clock, s.settler = &manualClock{}, &settler{fates: map[prepared.TxnID]prepared.Record{}}
	}
	s.txns, s.watches, s.loop = map[string]*scenarioTxn{}, map[string]*Watch{}, nil
	var seed uint64
	var err error
	s.log, err = raftlog.Open(raftlog.Options{FS: s.fs, Dir: "log", Inline: true, SegmentBytes: 1 << 20,
		Random: func() uint64 { seed++; return seed }, OnFatal: func(err error) { s.fatal = err }})
	if err != nil {
		return "", err
	}
	if s.disk.state.Range.ID == 0 {
		s.disk.state.Range = base.RangeDescriptor{ID: 1, Epoch: 1, Span: base.Span{Start: []byte{1}, End: []byte{0xFF}},
			Replicas: []base.ReplicaDescriptor{{Node: 1, Replica: 1}}}
	}
	s.born = nil
	s.r, err = New(Options{
		Range: 1, Replica: 1, Log: s.log, Disk: s.disk, State: s.disk.state, Oracle: s.oracle, Manual: true, Pause: s.pause,
		OnFatal: func(err error) { s.fatal = err }, Windows: NewBudget(windowBytes), WindowAge: time.Hour,
		Settler: s.settler, Clock: s.clock,
		Send: func(base.NodeID, *Message) {},
		Born: func(right State, leads bool) error {
			s.born = append(s.born, fmt.Sprintf("%s at position %d, stamp %d, leads: %v", describe(&right.Range), right.Position, right.Stamp, leads))
			return nil
		},
	})
	for n := 0; n < 2 && err == nil && (n == 0 || !s.r.Serving()); n++ { // a membership change in the log is applied first
		if err = s.r.Campaign(); err == nil {
			_, err = s.r.Step(context.Background())
		}
	}
	if err != nil {
		return "", err
	}
	st := s.r.Stats()
	return fmt.Sprintf("serving: %v, position %d, %d versions in the window", st.Serving, st.Position, st.WindowEntries), nil
}

func (s *scenario) step(d *datadriven.TestData) (string, error) {
	to := ""
	d.MaybeScanArgs(s.t, "to", &to)
	var err error
	for {
		if s.loop == nil {
			worked := false
			s.loop = s.spawn(func() { worked, err = s.r.Step(context.Background()) })
			_ = worked
		}
		p, alive := s.resume(s.loop)
		if !alive {
			s.loop = nil
			if err != nil || to == "" {
				return "", err
			}
			return "there was nothing to do", nil
		}
		if p.String() != to {
			continue
		}
		if p == PointIssued {
			return fmt.Sprintf("stamp %d", s.oracle.last), nil
		}
		return "", nil
	}
}

func (s *scenario) fired(w *Watch) string {
	dirty, _ := w.Dirty()
	select {
	case <-w.Changed():
		return fmt.Sprintf("dirty: %v, fired", dirty)
	default:
		return fmt.Sprintf("dirty: %v", dirty)
	}
}

func (s *scenario) transaction(d *datadriven.TestData) (string, error) {
	name := d.CmdArgs[0].Key
	x := s.txns[name]
	args := d.CmdArgs[1:]
	switch d.Cmd {
	case "begin", "snapshot":
		return s.begin(d, name)
	case "read":
		key := []byte(args[0].Key)
		x.req.ReadKeys = append(x.req.ReadKeys, key)
		return s.call(x, func() string {
			v, err := x.a.Get(key)
			return show(v, err)
		}), nil
	case "scan":
		span := base.Span{Start: []byte(args[0].Key), End: []byte(args[1].Key)}
		x.req.ReadSpans = append(x.req.ReadSpans, span)
		return s.call(x, func() string { return scan(x.a, span) }), nil
	case "resume":
		return s.wait(x), nil
	case "write":
		x.req.Mutations = append(x.req.Mutations, base.Mutation{Op: base.OpSet, Key: []byte(args[0].Key), Value: []byte(args[0].Vals[0])})
	case "append":
		x.req.Mutations = append(x.req.Mutations, base.Mutation{Op: base.OpAppendIfFits, Key: []byte(args[0].Key), Value: []byte(args[0].Vals[0])})
	case "clear":
		x.req.Mutations = append(x.req.Mutations, base.Mutation{Op: base.OpClear, Key: []byte(args[0].Key)})
	case "clear-range":
		x.req.Mutations = append(x.req.Mutations, base.Mutation{Op: base.OpClearRange, Key: []byte(args[0].Key), Value: []byte(args[1].Key)})
	case "id":
		x.req.Session = 9
		_, _ = fmt.Sscan(args[0].Key, &x.req.Number)
	case "guard":
		x.req.Guards = append(x.req.Guards, s.watches[args[0].Key])
	case "commit":
		return s.call(x, func() string { return x.commit() }), nil
	case "answered":
		return x.answered(), nil
	default:
		return s.several(d, name, x)
	}
	return "", nil
}

func (s *scenario) begin(d *datadriven.TestData, name string) (string, error) {
	var at uint64
	var hold string
	d.MaybeScanArgs(s.t, "at", &at)
	d.MaybeScanArgs(s.t, "hold", &hold)
	x := &scenarioTxn{a: s.r.NewAttempt()}
	s.txns[name] = x
	out := ""
	if d.Cmd == "snapshot" {
		stamp, err := s.oracle.Next()
		if err != nil {
			return "", err
		}
		at, out = uint64(stamp), fmt.Sprintf("S = %d", stamp)
	}
	h := HoldNever
	if hold == "always" {
		h = HoldAlways
	}
	x.a.Begin(base.Stamp(at), h)
	return out, nil
}

// call runs a call of a transaction until it ends or waits.
func (s *scenario) call(x *scenarioTxn, run func() string) string {
	x.busy = s.spawn(func() { x.result = run() })
	return s.wait(x)
}

func (s *scenario) wait(x *scenarioTxn) string {
	for {
		p, alive := s.resume(x.busy)
		if !alive {
			return s.told(x.result)
		}
		if p == PointWaiting || p == PointNoRoom || p == PointLocked {
			return s.told("waits")
		}
	}
}

func (x *scenarioTxn) commit() string {
	r, err := x.a.Commit(&x.req)
	x.ticket = r.Ticket
	if err != nil {
		return "refused: " + err.Error()
	}
	return fmt.Sprintf("position %d", r.Ticket.Pos)
}

func (x *scenarioTxn) answered() string {
	if x.told == nil {
		x.told = &flagWaiter{}
		if x.ticket.Done() || !x.ticket.Log.Notify(x.ticket.Pos, x.told) {
			x.told.called = true
		}
	}
	switch {
	case !x.told.called:
		return "not yet"
	case x.told.err != nil:
		return x.told.err.Error()
	}
	return "yes"
}

func show(v []byte, err error) string {
	switch {
	case err != nil:
		return "refused: " + err.Error()
	case v == nil:
		return "nil"
	}
	return string(v)
}

func scan(a *Attempt, span base.Span) string {
	var out []string
	err := a.Scan(span, false, func(key, value []byte) bool {
		out = append(out, fmt.Sprintf("%s=%s", key, value))
		return true
	})
	if err != nil || len(out) == 0 {
		return show(nil, err)
	}
	return strings.Join(out, " ")
}

// counter is an oracle that anybody can follow.
type counter struct{ last base.Stamp }

func (c *counter) Next() (base.Stamp, error) { c.last++; return c.last, nil }
func (c *counter) Observe(s base.Stamp)      { c.last = max(c.last, s) }
func (c *counter) Latest() base.Stamp        { return c.last }

// memDisk is a disk that survives everything.
type memDisk struct {
	read  int // rows that scans have visited
	rows  map[string]string
	state State
}

func (d *memDisk) Cached([]byte, []byte) ([]byte, bool) { return nil, false }

func (d *memDisk) Expect([][]byte) bool { return false }

func (d *memDisk) Get(key []byte) ([]byte, error) {
	if v, ok := d.rows[string(key)]; ok {
		return []byte(v), nil
	}
	return nil, nil
}

func (d *memDisk) Scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	keys := slices.Sorted(maps.Keys(d.rows))
	if reverse {
		slices.Reverse(keys)
	}
	for _, k := range keys {
		if !span.Contains([]byte(k)) {
			continue
		}
		if d.read++; !visit([]byte(k), []byte(d.rows[k])) {
			return nil
		}
	}
	return nil
}

func (d *memDisk) Write(ev *window.Eviction, s State) error {
	for _, span := range ev.Clears {
		maps.DeleteFunc(d.rows, func(k, _ string) bool { return span.Contains([]byte(k)) })
	}
	for _, p := range ev.Pairs {
		if p.Value == nil {
			delete(d.rows, string(p.Key))
		} else {
			d.rows[string(p.Key)] = string(bytes.Clone(p.Value))
		}
	}
	d.state = s
	return nil
}

func (d *memDisk) Split(c *Cut) error { return d.Write(c.Slice, c.Left) }
func (d *memDisk) Seat(*Cut) error    { return nil }

func (d *memDisk) Take(context.Context, *batch.Merge) (State, error) {
	return State{}, errors.New("a range without a neighbour")
}
func (d *memDisk) Merge(u *Union) error      { return d.Write(u.Slice, u.State) }
func (d *memDisk) Retire(base.RangeID) error { return nil }

func (d *memDisk) Snapshot() (*Snapshot, error) { return nil, errors.New("a range with one replica") }
func (d *memDisk) Install(*Snapshot) error      { return errors.New("a range with one replica") }

func (d *memDisk) String() string {
	out := fmt.Sprintf("applied %d, readable from %d, position %d, stamp %d:", d.state.Applied, d.state.Readable, d.state.Position, d.state.Stamp)
	for _, k := range slices.Sorted(maps.Keys(d.rows)) {
		if k[0] >= ' ' {
			out += fmt.Sprintf(" %s=%s", k, d.rows[k])
		}
	}
	return out
}

package sim

import (
	crand "crypto/rand"
	"fmt"
	"hash"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"
	pb "go.etcd.io/raft/v3/raftpb"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/coordinator"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/rangestore/sleep"
	"github.com/stratadb/strata/test/history"
)

// GroupResult is what a run over several nodes did.
type GroupResult struct {
	Trace                                 uint64
	Ops, Acknowledged, Unknown            int
	Leased, Proven                        int // acknowledged reads: at once, later
	Crashes, Pauses, Cuts, Drops, Repeats int
	Outages                               int // of all nodes at once
	Tenures, Transfers, Changes           int
	Snapshots, Splits                     int
	Freezes, Merges                       int // merges that were begun, and done
	// Ranges that fell asleep, reads that their leaders answered meanwhile, heartbeats of
	// stores that came in, times when a follower of a range that slept was kept away.
	Sleeps, Dreams, Beats, Lulls int
	// Of transactions over several ranges only: commits that were prepared, coordinators
	// that ended, sweeps that found something, answers that were lost, requests that came
	// late or twice.
	Spread, Concluded, Orphans, Settled, Lost, Late int
	Moved, Audits                                   int // of the bank
}

// Add adds the counters of o.
func (r *GroupResult) Add(o GroupResult) {
	to, from := r.counters(), o.counters()
	for name, n := range from {
		*to[name] += *n
	}
}

func (r *GroupResult) counters() map[string]*int {
	return map[string]*int{"operations": &r.Ops, "acknowledged": &r.Acknowledged, "unknown": &r.Unknown,
		"leased reads": &r.Leased, "proven reads": &r.Proven, "crashes": &r.Crashes, "outages": &r.Outages, "pauses": &r.Pauses, "cuts": &r.Cuts,
		"drops": &r.Drops, "repeats": &r.Repeats, "tenures": &r.Tenures, "transfers": &r.Transfers,
		"membership changes": &r.Changes, "snapshots": &r.Snapshots, "splits": &r.Splits,
		"freezes": &r.Freezes, "merges": &r.Merges, "sleeps": &r.Sleeps, "reads asleep": &r.Dreams, "beats": &r.Beats, "lulls": &r.Lulls, "spread": &r.Spread, "concluded": &r.Concluded, "orphans": &r.Orphans, "settled": &r.Settled,
		"lost": &r.Lost, "late": &r.Late, "moved": &r.Moved, "audits": &r.Audits}
}

// Missing names what never happened.
func (r *GroupResult) Missing(spread bool) (names []string) {
	only := []string{"spread", "concluded", "orphans", "settled", "lost", "late", "moved", "audits"}
	if spread {
		only = []string{"leased reads", "proven reads", "reads asleep"}
	}
	for name, n := range r.counters() {
		if *n == 0 && !slices.Contains(only, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// GroupOptions of a run.
type GroupOptions struct {
	Seed        uint64
	Events      int
	QuorumReads bool
	Whole       bool // the range is never split
	Merging     bool // ranges are split and merged most of the time
	Dozing      bool // nobody writes most of the time
	Spread      bool // transactions go over several ranges, wherever those are led
	Coordinator coordinator.Faults
	Faults      replica.Faults
	Sleep       sleep.Faults
	Trace       func(line string) // optional
}

// member is a node of the group.
type member struct {
	id     base.NodeID
	clock  *nodeClock
	disk   *disk
	store  *store.Store
	sess   *kv.Session
	fatal  error
	ticked time.Duration // of its clock, at its last tick
	paused int64         // until that moment of the run's time
	served map[base.RangeID]bool
	slept  map[base.RangeID]bool
	// Of transactions over several ranges only.
	reach       *reach
	engine      *kvrange.Engine
	coordinator *coordinator.Coordinator
}

// nodeClock runs a little faster or slower than time, and shows another date.
type nodeClock struct {
	g    *group
	skew int64   // of the date, in microseconds
	rate float64 // of time
}

func (c *nodeClock) Elapsed() time.Duration {
	return time.Duration(float64(c.g.micros)*c.rate) * time.Microsecond
}
func (c *nodeClock) UnixMicros() int64 { return 1_700_000_000_000_000 + c.g.micros + c.skew }
func (c *nodeClock) Now() time.Time    { return time.UnixMicro(c.UnixMicros()) }

// packet is a message on its way.
type packet struct {
	from, to base.NodeID
	bytes    []byte
	snapshot *replica.Snapshot
}

// group is a run: a range, which is split now and then, over several nodes and the network between them.
// Messages are lost, repeated, late and out of order; links are cut in one direction
// or both; nodes crash, pause, and disagree about the time.
type group struct {
	o       GroupOptions
	rnd     *rand.Rand
	micros  int64
	now     int64
	members []*member
	net     []packet
	beats   []packet
	eyed    *member // whom half of the clients turn to, up to that event
	eyeing  int64
	idle    int   // ticks after which ranges sleep; zero: as without a simulator
	hush    int64 // nobody writes up to that moment
	lull    *lull
	cut     map[[2]base.NodeID]bool
	loss    int // percent of the messages
	wild    int // how often there is trouble
	trap    *trap
	ops     []*history.Op
	pending []groupPending
	stamps  []stampQuestion
	nextID  uint32
	ranges  base.RangeID // the last one that was made
	slow    int64        // time passes slowly up to that event
	// Of transactions over several ranges only. ending: no coordinator ends early any more;
	// aged: what was left is overdue.
	tasks        []*groupTask
	running      *groupTask
	ending, aged bool
	driving      bool
	waits        int   // outside of tasks
	astray       error // the bank's money
	hot          []int // lists that are used more than others
	// Directed tests only: who does nothing, and which messages arrive.
	deaf  base.NodeID
	hears func(*packet) bool
	hash  hash.Hash64
	res   GroupResult
}

type groupPending struct {
	op     *history.Op
	ticket base.Ticket
}

const (
	groupNodes = 5
	netMax     = 400
)

// RunGroup executes one seed and checks what came of it.
func RunGroup(o GroupOptions) (_ GroupResult, err error) {
	g := newGroup(o)
	defer g.seed()()
	g.loss = []int{0, 1, 10}[g.rnd.IntN(3)]
	g.wild = []int{10, 40, 160}[g.rnd.IntN(3)]
	g.idle = []int{2, 4, 12}[g.rnd.IntN(3)]
	switch {
	case o.Spread: // a commit takes many messages
		g.wild /= 4
		g.hot = g.rnd.Perm(lists)[:2+g.rnd.IntN(4)]
	case o.Merging || o.Dozing: // it takes a while without trouble
		g.loss, g.wild = g.loss/5, g.wild/8
	}
	defer g.abandon()
	defer func() { // Raft panics when a log has lost what it had promised
		if v := recover(); v != nil {
			err = errors.Newf("panic: %v", v)
		}
	}()
	err = g.begin()
	if err == nil && o.Spread {
		err = g.divide()
	}
	events := int64(o.Events)
	if err == nil && o.Seed%5 == 2 && !o.Spread {
		events = min(events, orphanEvents)
		err = g.orphan()
	}
	for err == nil && g.now < events {
		err = errors.Wrapf(g.event(), "event %d", g.now)
	}
	if err == nil {
		err = g.finish()
	}
	g.res.Trace = g.hash.Sum64()
	return g.res, err
}

func newGroup(o GroupOptions) *group {
	return &group{o: o, ranges: 1, rnd: rand.New(rand.NewPCG(o.Seed, 0x6e7)), cut: map[[2]base.NodeID]bool{}, hash: fnv.New64a()}
}

// seed makes Raft draw its election timeouts from the run's seed, until the result is
// called.
func (g *group) seed() func() {
	before := crand.Reader
	crand.Reader = rand.NewChaCha8([32]byte{0: byte(g.o.Seed), 1: byte(g.o.Seed >> 8), 2: byte(g.o.Seed >> 16)})
	return func() { crand.Reader = before }
}

// begin opens the nodes and makes a range of three of them.
func (g *group) begin() error {
	for id := base.NodeID(1); id <= groupNodes; id++ {
		m := &member{id: id, disk: newDisk(vfs.NewCrashableMem(), g.rnd)}
		m.clock = &nodeClock{g: g, skew: g.rnd.Int64N(2_000_000) - 1_000_000, rate: 0.97 + 0.06*g.rnd.Float64()}
		g.members = append(g.members, m)
		if err := g.open(m); err != nil {
			return errors.Wrapf(err, "node %d", id)
		}
	}
	return g.assemble()
}

func (g *group) note(format string, args ...any) {
	line := fmt.Sprintf("%d %dus %s", g.now, g.micros, fmt.Sprintf(format, args...))
	_, _ = g.hash.Write([]byte(line))
	if g.o.Trace != nil {
		g.o.Trace(line)
	}
}

func (g *group) open(m *member) error {
	o := store.Options{
		FS: m.disk, Dir: dataDir, Clock: m.clock, Manual: true, SegmentBytes: 64 << 10, Random: g.rnd.Uint64,
		Faults: g.o.Faults, WindowAge: time.Second, QuorumReads: g.o.QuorumReads,
		OnFatal: func(err error) { m.fatal = errors.CombineErrors(m.fatal, err) },
		Send:    func(to base.NodeID, msg *replica.Message) { g.send(m.id, to, msg) },
		Beat:    func(to base.NodeID, b *sleep.Beat) { g.sendBeat(m.id, to, b) }, IdleTicks: g.idle, SleepFaults: g.o.Sleep,
		Stamp: func(done func(base.Stamp, error)) { g.stamps = append(g.stamps, stampQuestion{by: m.id, done: done}) },
	}
	var st *store.Store
	var err error
	if g.o.Spread {
		o.Pause = func(p replica.Point) { g.pause(m, st, p) }
	}
	if m.id != 1 {
		o.Join = &store.Join{Cluster: [16]byte{1}, Node: m.id}
	}
	st, err = store.Open(o)
	if err != nil {
		return err
	}
	m.store, m.served, m.slept = st, map[base.RangeID]bool{}, map[base.RangeID]bool{}
	g.coordinate(m, st)
	return nil
}

func (g *group) abandon() {
	g.unwind(nil)
	for _, m := range g.members {
		if m.store != nil {
			m.store.Abandon()
		}
	}
}

func (g *group) send(from, to base.NodeID, m *replica.Message) {
	if g.rnd.IntN(100) < g.loss || len(g.net) >= netMax {
		g.res.Drops++
		return
	}
	if m.Snapshot != nil {
		g.res.Snapshots++
	}
	g.net = append(g.net, packet{from: from, to: to, bytes: m.Append(nil), snapshot: m.Snapshot})
}

// take takes a packet from those on their way, most often the oldest.
func (g *group) take(from *[]packet) packet {
	i := 0
	if g.rnd.IntN(4) == 0 {
		i = g.rnd.IntN(len(*from))
	}
	p := (*from)[i]
	if g.rnd.IntN(50) == 0 {
		g.res.Repeats++
	} else {
		*from = slices.Delete(*from, i, i+1)
	}
	return p
}

// lost reports whether a packet does not arrive.
func (g *group) lost(p *packet) bool {
	if g.cut[[2]base.NodeID{p.from, p.to}] || g.micros < g.members[p.to-1].paused && g.rnd.IntN(2) == 0 {
		g.res.Drops++
		return true
	}
	return false
}

// deliver takes a packet off the network, most often the oldest of a link.
func (g *group) deliver() error {
	if len(g.net) == 0 {
		return nil
	}
	p := g.take(&g.net)
	to := g.members[p.to-1]
	if g.lost(&p) || g.lull != nil && g.lull.deaf && to == g.lull.leader {
		return nil
	}
	m, err := replica.DecodeMessage(p.bytes)
	if err != nil {
		return err
	}
	if p.snapshot != nil {
		m.SetSnapshot(p.snapshot)
	}
	g.note("%d to %d, range %d: %v at %d of term %d, rest %d", p.from, p.to, m.Range, m.Raft.GetType(), m.Raft.GetIndex(), m.Raft.GetTerm(), m.Rest)
	if err := to.excuse(to.store.Deliver(&m)); err != nil {
		return err
	}
	if m.Raft.GetType() == pb.MsgTimeoutNow && g.rnd.IntN(2) == 0 {
		g.isolate(p.from) // it will not hear of its successor
		g.eye(g.members[p.from-1])
		return g.step(to)
	}
	if g.rnd.IntN(3) > 0 {
		return g.step(to)
	}
	return nil
}

func (g *group) step(m *member) error {
	if g.micros < m.paused {
		return nil
	}
	if err := m.excuse(m.store.Step()); err != nil {
		return err
	}
	for _, r := range m.store.Replicas() {
		id, _ := r.ID()
		serving := r.Serving()
		if serving != m.served[id] {
			m.served[id] = serving
			g.note("node %d serves range %d: %v", m.id, id, serving)
			if serving {
				g.res.Tenures++
			}
		}
		if asleep := r.Asleep(); asleep != m.slept[id] {
			m.slept[id] = asleep
			g.note("node %d, range %d sleeps: %v", m.id, id, asleep)
			if asleep {
				g.res.Sleeps++
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(m.served)) {
		if m.served[id] && m.store.Replica(id) == nil {
			g.res.Merges++
			g.note("node %d has no range %d any more", m.id, id)
			delete(m.served, id)
		}
	}
	return nil
}

// tick lets a node's ticker fire when its clock says so; ticks are lost as a real
// ticker loses them.
func (g *group) tick(m *member) error {
	if now := m.clock.Elapsed(); now-m.ticked >= replica.TickEvery && g.micros >= m.paused {
		m.ticked = now
		m.store.Tick()
		return g.step(m)
	}
	return nil
}

// excuse forgets an error of a machine that is down.
func (m *member) excuse(err error) error {
	if m.disk.after != nil {
		m.fatal = nil
		return nil
	}
	return errors.Wrapf(err, "node %d", m.id)
}

// asked is the node that a client turns to. One that has just lost its leadership, and may not
// know it, is asked more often than others, and only to read: nobody else can read what is old.
func (g *group) asked() *member {
	if g.now < g.eyeing && g.rnd.IntN(2) == 0 {
		return g.eyed
	}
	return g.any()
}

// eye has a node asked more often for a while.
func (g *group) eye(m *member) { g.eyed, g.eyeing = m, g.now+800 }

func (g *group) any() *member { return g.members[g.rnd.IntN(len(g.members))] }

// leader is a node that thinks that it leads a range, any one or the one that holds
// key, and its replica.
func (g *group) leader(key []byte) (*member, *replica.Replica) {
	for _, i := range g.rnd.Perm(len(g.members)) {
		m := g.members[i]
		replicas := m.store.Replicas()
		for _, n := range g.rnd.Perm(len(replicas)) {
			if r := replicas[n]; r.Serving() && (key == nil || r.Descriptor().Span.Contains(key)) {
				return m, r
			}
		}
	}
	return nil, nil
}

func (g *group) event() error {
	g.now++
	pass := int64(3000)
	if g.now < g.slow {
		pass /= 10
	}
	g.micros += g.rnd.Int64N(pass)
	err := g.act()
	if err == nil && g.rnd.IntN(2) == 0 {
		err = g.deliverBeat()
	}
	lulls := 1
	if g.o.Dozing {
		lulls = 4
	}
	switch n := g.rnd.IntN(1200); {
	case g.trap != nil, g.lull != nil:
	case n < lulls:
		g.hush = g.micros + g.rnd.Int64N(int64(lulls)*750_000)
	case n < 6*lulls:
		g.beginLull()
	}
	if g.lull != nil {
		g.endLull()
	}
	g.resumeSome(6)
	g.spring()
	for _, m := range g.members {
		if err == nil {
			err = g.tick(m)
		}
		if err == nil && m.disk.after != nil {
			err = g.restart(m)
		}
		if err == nil && m.fatal != nil {
			err = errors.Wrapf(m.fatal, "node %d stopped by itself", m.id)
		}
	}
	if err == nil {
		err = g.astray
	}
	g.poll()
	return err
}

func (g *group) act() error {
	n := g.rnd.IntN(10_000)
	healing, operating := 9640, 9740
	if g.o.Whole { // nothing to heal
		healing = 9700
	}
	if g.o.Merging {
		healing, operating = 9550, 9850
	}
	switch {
	case n < 5000 && g.o.Spread:
		return errors.CombineErrors(g.deliver(), errors.CombineErrors(g.deliver(), g.deliver()))
	case n < 5000:
		return g.deliver()
	case n < 6500 && g.o.Spread:
		var err error
		for _, m := range g.members {
			err = errors.CombineErrors(err, g.step(m))
		}
		return err
	case n < 6500:
		return g.step(g.any())
	case n < 9500 && g.micros < g.hush && g.lull == nil && g.rnd.IntN(8) > 0: // even questions are rare
	case n < 9500 && g.o.Spread:
		g.spreadEvent(g.any())
	case n < 9500:
		g.client(g.asked())
	case n < healing:
		m := g.any()
		return m.excuse(m.store.Maintain())
	case n < 9700:
		if m := g.any(); g.micros >= m.paused && m.disk.after == nil {
			m.store.Heal()
			return g.ambush(m)
		}
	case g.trap != nil, g.lull != nil, g.now < g.slow: // nothing else may spoil it
	case n < operating && g.o.Dozing && g.rnd.IntN(8) > 0:
	case n < operating:
		g.operate()
	case n < operating+g.wild:
		return g.trouble()
	}
	return nil
}

// trouble is a fault, or the end of some.
func (g *group) trouble() error {
	switch g.rnd.IntN(15) {
	case 14:
		g.outage()
	case 10, 11:
		if m, _ := g.leader(nil); m != nil {
			g.isolate(m.id)
		}
	case 12, 13:
		g.lure()
	case 0:
		g.crash(g.any(), 0)
	case 1, 2:
		g.crash(g.any(), g.rnd.IntN(30))
	case 3, 4:
		m := g.any()
		m.paused = g.micros + g.rnd.Int64N(2_000_000)
		g.res.Pauses++
		g.note("node %d pauses until %dus", m.id, m.paused)
	case 5, 6:
		g.cutSome()
	case 7, 8:
		g.cut = map[[2]base.NodeID]bool{}
		g.note("all links are whole")
	case 9:
		g.micros += g.rnd.Int64N(900_000)
	}
	return nil
}

// outage takes the power from all nodes at once, most often with all that was not synced.
func (g *group) outage() {
	g.res.Outages++
	all := g.rnd.IntN(3) > 0
	for _, m := range g.members {
		lose := 100
		if !all {
			lose = g.rnd.IntN(101)
		}
		if m.disk.after == nil {
			m.disk.crash(lose)
		}
	}
	g.note("power fails everywhere, all is lost: %v", all)
}

// cutSome cuts one direction of a link, or a part of the nodes off.
func (g *group) cutSome() {
	g.res.Cuts++
	if g.rnd.IntN(2) == 0 {
		a, b := g.any().id, g.any().id
		g.cut[[2]base.NodeID{a, b}] = true
		g.note("%d does not reach %d", a, b)
		return
	}
	side := g.rnd.IntN(1 << groupNodes)
	for _, a := range g.members {
		for _, b := range g.members {
			if side>>(a.id-1)&1 != side>>(b.id-1)&1 {
				g.cut[[2]base.NodeID{a.id, b.id}] = true
			}
		}
	}
	g.note("partition %b", side)
}

// isolate cuts a node off, in one direction or both.
func (g *group) isolate(id base.NodeID) {
	g.res.Cuts++
	out, in := true, true
	switch g.rnd.IntN(4) {
	case 0:
		out = false
	case 1:
		in = false
	}
	for _, o := range g.members {
		if o.id != id && out {
			g.cut[[2]base.NodeID{id, o.id}] = true
		}
		if o.id != id && in {
			g.cut[[2]base.NodeID{o.id, id}] = true
		}
	}
	g.note("node %d is isolated: out %v, in %v", id, out, in)
}

func (g *group) crash(m *member, in int) {
	lose := []int{0, 100, g.rnd.IntN(101)}[g.rnd.IntN(3)]
	g.note("node %d crashes in %d I/Os, losing %d%%", m.id, in, lose)
	if in == 0 {
		m.disk.crash(lose)
	} else {
		m.disk.arm(in, lose)
	}
}

func (g *group) restart(m *member) error {
	for {
		g.res.Crashes++
		g.unwind(m)
		if m.store != nil {
			m.store.Abandon()
		}
		m.fatal = nil
		m.disk = newDisk(m.disk.after, g.rnd)
		if g.rnd.IntN(4) == 0 {
			m.disk.arm(g.rnd.IntN(30), g.rnd.IntN(101))
		}
		err := g.open(m)
		if m.disk.after == nil {
			g.note("node %d is back", m.id)
			return errors.Wrapf(err, "node %d", m.id)
		}
		if err != nil {
			m.store = nil
		}
	}
}

// client runs one transaction on a node: whoever does not lead refuses it.
func (g *group) client(m *member) {
	keys := []string{listKey(g.rnd.IntN(lists)), listKey(g.rnd.IntN(lists))}
	r := m.store.Range([]byte(keys[0]))
	if g.micros < m.paused || m.disk.after != nil || r == nil || !r.Serving() {
		return
	}
	if m.store.Range([]byte(keys[1])) != r {
		keys[1] = keys[0]
	}
	db := kv.NewWithSession(kvrange.New(m.store), m.clock.Now, g.rnd.Uint64()|1)
	op := &history.Op{ID: len(g.ops) + 1, Invoke: g.now, Outcome: history.Failed,
		Reads: map[string][]uint32{}, Appends: map[string]uint32{}}
	if g.mayWrite(m) && g.rnd.IntN(2) == 0 {
		g.nextID++
		op.Appends[keys[0]] = g.nextID
	}
	t, err := db.NewSession().Run(kv.Func(func(t kv.Txn) error {
		clear(op.Reads)
		for _, k := range keys {
			v, err := t.Get([]byte(k))
			if err != nil {
				return err
			}
			op.Reads[k] = decode(v)
		}
		for k, id := range op.Appends {
			t.Set([]byte(k), encode(op.Reads[k], id))
		}
		return nil
	}))
	if err != nil {
		return // it did nothing
	}
	g.ops = append(g.ops, op)
	op.Outcome = history.Unknown
	g.note("T%d at node %d: reads %v, appends %v", op.ID, m.id, op.Reads, op.Appends)
	if len(op.Appends) == 0 {
		if t.Done() {
			g.res.Leased++
			if r.Asleep() {
				g.res.Dreams++
			}
		} else if t.Log.Committed() == 0 && t.Pos == 1 {
			g.res.Proven++
		}
	}
	g.pending = append(g.pending, groupPending{op, t})
}

func listKey(n int) string { return fmt.Sprintf("\x04l%d", n) }

func (g *group) poll() {
	g.answerStamps()
	kept := g.pending[:0]
	for _, p := range g.pending {
		if !p.ticket.Done() {
			kept = append(kept, p)
			continue
		}
		g.res.Acknowledged++
		p.op.Outcome, p.op.Return = history.OK, g.now
		g.note("T%d answered", p.op.ID)
	}
	g.pending = kept
}

// assemble makes a group of three before anything goes wrong.
func (g *group) assemble() error {
	for range 3000 {
		g.now++
		g.micros += g.rnd.Int64N(3000)
		if _, r := g.leader(nil); r != nil {
			d := r.Descriptor()
			voters := 0
			for _, x := range d.Replicas {
				if x.Role == base.Voter {
					voters++
				}
			}
			if voters >= 3 {
				g.now = 0
				return nil
			}
			if steps := g.change(d); steps != nil {
				_ = r.ChangeMembers(steps...) // refused while another one is under way
			}
		}
		if err := g.quiet(); err != nil {
			return err
		}
	}
	return errors.New("three nodes never made a group")
}

// quiet lets a moment pass in which nothing goes wrong.
func (g *group) quiet() error {
	for range 4 {
		if err := errors.CombineErrors(g.deliver(), g.deliverBeat()); err != nil {
			return err
		}
	}
	for _, m := range g.members {
		if err := errors.CombineErrors(g.tick(m), g.step(m)); err != nil {
			return err
		}
	}
	return nil
}

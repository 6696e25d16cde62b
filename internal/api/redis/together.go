package redis

import (
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
)

// Commands of a pipeline on keys that other nodes lead would cost their calls one after the
// other. So neighbours that are about keys run together, as one transaction: what they
// begin with is read at once, and they are committed at once. That is as if nobody had
// come in between. All of it happens or nothing does, so that none is done on the
// strength of one that was not. Where it fails for a reason that may be one command's,
// they run one by one.
//
// In one range that holds nobody up for longer than one command would. Writes to several
// ranges take locks for their two rounds: a client whose pipelines meet others' in that way
// keeps to one range at a time for a while.
//
// On the node that leads the one range that there is, brief commands do the same, few at a
// time: they share what a transaction costs, which is more than most of them do, and of
// what they write to the same key only the last is left.

const (
	// togetherMax is how many commands run together, togetherBytes how long they may be;
	// togetherHere is how many do so where they are not sent to anybody.
	togetherMax   = 64
	togetherHere  = 16
	togetherBytes = 256 << 10
	// togetherTries is how often they are tried before they run one by one: in one range, and
	// where it takes one try to find out that there are several.
	togetherTries     = 5
	togetherTriesWide = 3
	// togetherRest is for how many times a client keeps to one range.
	togetherRest = 64
	// togetherApart is for how many commands nobody looks after there was nothing to run
	// together.
	togetherApart = 8
)

// errApart ends a transaction whose commands are to run one by one.
var errApart = errors.New("the commands run one by one")

// together is a closure of several commands.
type together struct {
	x     *executor
	s     *session
	calls []queued
	words [][]byte
	tries int
	first base.RangeID // of the first key
	here  bool         // this node leads all that there is
	wide  bool         // others lie elsewhere
	write bool
	bytes int // of the input that they are
	apart int // how many of the next commands run one by one
}

// together executes the next commands at once, if that saves something, and answers how many
// bytes they were. A loop may find out that they have to be executed elsewhere (x.waits).
func (s *session) together(x *executor, onLoop bool) (n int) {
	g := &x.together
	if g.apart > 0 {
		g.apart--
		return 0
	}
	special := s.srv.special.Load()
	if s.tx != nil || s.multi.open || s.reply != replyOn || s.handle == nil || special&^specialCache != 0 || s.tracks && s.tracker.Caching {
		return 0
	}
	switch g.here = s.srv.db.Local(); {
	case g.here:
		if !s.piped || len(s.in.Pending()) == 0 || special != 0 || s.srv.pause.until.Load() != 0 {
			return 0
		}
	case onLoop || !s.srv.db.Distant():
		return 0
	}
	g.x, g.s, g.bytes, g.wide, g.write = x, s, 0, false, false
	s.gather(x)
	defer func() {
		clear(g.words)
		clear(g.calls)
		g.words, g.calls, g.s = kept(g.words), g.calls[:0], nil
	}()
	s.keepsApart = max(0, s.keepsApart-1)
	if len(g.calls) < 2 {
		if g.here {
			g.apart = togetherApart
		}
		return 0
	}
	began := s.srv.clock()
	err := g.run()
	took := s.srv.clock() - began
	if err != nil {
		x.w.Buf = x.w.Buf[:x.mark]
		if x.kvs.Prompt && errors.Is(err, base.ErrWouldWait) {
			x.waits = true
			return 0
		}
		if !errors.IsAny(err, base.ErrUnknownOutcome, base.ErrUnavailable, base.ErrShuttingDown, base.ErrClosed) {
			g.apart = len(g.calls)
			return 0
		}
		for _, q := range g.calls {
			x.call.be(q.cmd)
			x.mark = len(x.w.Buf)
			q.cmd.Stats.Failed.Add(1)
			x.fail(s, err)
		}
	}
	g.account(took)
	x.ran += len(g.calls)
	return g.bytes
}

// gather parses the next commands that may run together, and tells the database of their keys
// if they run here.
func (s *session) gather(x *executor) {
	g, a := &x.together, &x.ahead
	most := togetherMax
	if g.here {
		most = togetherHere
	}
	s.parser.Ahead(s.in.Pending(), func(args [][]byte, n int) bool {
		cmd := s.srv.table.Resolve(args)
		if n > togetherBytes || !s.joins(x, cmd, args) {
			return false
		}
		from := len(g.words)
		g.words = append(g.words, args...)
		g.calls = append(g.calls, queued{cmd, g.words[from:len(g.words):len(g.words)]})
		g.bytes = n
		if g.here && a.rest == 0 && !cmd.Keys.Several() { // which says so itself
			a.add(s, cmd, args)
		}
		return len(g.calls) < most
	})
	if a.rest > 0 {
		a.rest--
	} else if g.here {
		a.tell(s.srv.db)
	}
}

// account notes how long the commands took, each the same.
func (g *together) account(took time.Duration) {
	s, each := g.s, took/time.Duration(len(g.calls))
	for i := 0; i < len(g.calls); {
		cmd, from := g.calls[i].cmd, i
		for i++; i < len(g.calls) && g.calls[i].cmd == cmd; i++ {
			continue
		}
		cmd.Stats.Calls.Add(int64(i - from))
		s.srv.count(cmd, each, int64(i-from))
		for _, q := range g.calls[from:i] {
			s.noteSlow(cmd, q.args, each)
		}
		s.lastCmd.Store(cmd)
	}
}

// joins reports whether a command may run together with those before it. The first one
// is about a key that another node leads: nobody waits for the others.
func (s *session) joins(x *executor, cmd *Command, args [][]byte) bool {
	if cmd == nil || cmd.Kind != command.KindData || cmd.Group == command.GroupZMap || cmd.Flags&command.FlagBlocking != 0 || s.admit(cmd, args, s.srv.special.Load()) != nil ||
		(s.attrs.staleMillis != 0 || s.readonly) && s.staleness(cmd) != 0 {
		return false
	}
	g := &x.together
	if g.here {
		g.write = g.write || cmd.Flags&command.FlagWrite != 0
		return cmd.Flags&command.FlagBrief != 0 && s.staysOnLoop(cmd)
	}
	var few [16]int
	at := cmd.Keys.Positions(args, few[:0])
	wide, write := g.wide, g.write || cmd.Flags&command.FlagWrite != 0
	for i, k := range at {
		x.rows = s.handle.AppendHeaderKey(x.rows[:0], args[k])
		id, distant := s.srv.db.Whereabouts(x.rows)
		switch {
		case i > 0 || len(g.calls) > 0:
			wide = wide || id != g.first || id == 0
		case !distant:
			return false
		default:
			g.first = id
		}
	}
	if wide && write && s.keepsApart > 0 {
		return false
	}
	g.wide, g.write = wide, write
	return len(at) > 0
}

func (g *together) run() error {
	x, s := g.x, g.s
	x.mark, g.tries = len(x.w.Buf), 0
	x.call.be(g.calls[0].cmd)
	x.call.s = s
	defer func(mark int) { x.mark = mark }(x.mark)
	x.shards = nil
	s.takeShards(x)
	if err := g.renewed(s); err != nil {
		return err
	}
	return s.run(x, g.write, g)
}

// renewed implements renewer. A command that a shard does not allow has its own answer.
func (g *together) renewed(s *session) error {
	if err := s.resolveNamespace(g.x); err != nil {
		return err
	}
	for _, q := range g.calls {
		if s.checkShards(g.x, q.cmd, q.args) != nil {
			return errApart
		}
	}
	return nil
}

// Do implements kv.Closure.
func (g *together) Do(t kv.Txn) error {
	g.tries++
	switch {
	case g.wide && g.tries > togetherTriesWide:
		g.s.keepsApart = togetherRest
		return errApart
	case g.tries > togetherTries:
		return errApart
	}
	g.x.w.Buf = g.x.w.Buf[:g.x.mark]
	return g.x.doAll(g.s, g.calls, t, false)
}

// doAll runs commands one after the other in a transaction. A command's own mistake is its
// reply; anything else ends the attempt. With later, it has been a while since they were allowed.
func (x *executor) doAll(s *session, queue []queued, t kv.Txn, later bool) error {
	here := s.srv.db.Local()
	if !here {
		x.foresee(s, queue, t)
	}
	defer func(mark int) { x.mark = mark }(x.mark)
	for i := range queue {
		q := &queue[i]
		x.mark, x.queueAt = len(x.w.Buf), i
		c := &x.call
		c.be(q.cmd)
		c.Args, c.DB, c.Txn, c.SnapshotReads = q.args, x.database(s), t, s.snapshotReads
		if s.tracks && s.ns.ID != s.tracker.Namespace { // it is another one since the transaction began
			s.trackPast(q.cmd, q.args)
		}
		if here && q.cmd.Keys.Several() {
			x.foresee(s, queue[i:i+1], t)
		}
		err := error(nil)
		if later {
			err = s.stillAllowed(x, q.cmd, q.args)
		}
		if err == nil {
			err = q.cmd.Handler(c)
		}
		if err == nil {
			continue
		}
		if !callers(err) {
			return err
		}
		q.cmd.Stats.Failed.Add(1)
		x.fail(s, err)
	}
	return nil
}

// foreseeHere is how many keys of a command are told where they are in this node's memory: so
// many stay in the processor's caches until they are read.
const foreseeHere = 128

// foresee tells the transaction which keys commands begin with, if there are several.
func (x *executor) foresee(s *session, queue []queued, t kv.Txn) {
	x.rows, x.heads = x.rows[:0], x.heads[:0]
	for i := range queue {
		q := &queue[i]
		var few [16]int
		for _, at := range q.cmd.Keys.Positions(q.args, few[:0]) {
			if len(x.heads) == foreseeHere && s.srv.db.Local() {
				break
			}
			x.addHead(s, q.args[at])
		}
	}
	if len(x.heads) > 1 {
		t.Expect(x.heads)
	}
}

// addHead adds the row of a key's header to those that are told of.
func (x *executor) addHead(s *session, key []byte) {
	from := len(x.rows)
	x.rows = s.handle.AppendHeaderKey(x.rows, key)
	x.heads = append(x.heads, x.rows[from:len(x.rows):len(x.rows)])
}

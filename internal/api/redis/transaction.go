package redis

import (
	"context"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/scripting"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/zmap"
	"github.com/stratadb/strata/internal/pubsub"
)

// The errors of interactive transactions.
const (
	errTransactionOpen    command.Error = "TRANSACTION there is already a transaction in progress."
	errNoTransaction      command.Error = "TRANSACTION there is no transaction in progress."
	errMultiInTransaction command.Error = "ERR MULTI is not allowed within a transaction"
	errTooOld             command.Error = "TRANSACTION_TOO_OLD Transaction is too old to perform reads or be committed"
	errNoCommitVersion    command.Error = "NO_COMMIT_VERSION Transaction is read-only and therefore does not have a commit version"
	errNamespaceChanged   command.Error = "CONFLICT the namespace was replaced while the command was running; try again"
)

// transactionErrors are the words for what ends or spoils an interactive
// transaction. They differ from those of a short command, which nobody can retry
// better than the server.
var transactionErrors = []struct {
	err  error
	text command.Error
}{
	{base.ErrUnknownOutcome, "COMMIT_UNKNOWN_RESULT Transaction may or may not have committed"},
	{base.ErrConflict, "NOT_COMMITTED Transaction not committed due to conflict with another transaction"},
	{base.ErrTooOld, errTooOld},
	{base.ErrTransactionTimedOut, errTooOld},
	{base.ErrTransactionTooLarge, "TRANSACTION_TOO_LARGE Transaction exceeds byte limit"},
	{base.ErrKeyTooLarge, "KEY_TOO_LARGE Key length exceeds limit"},
	{base.ErrValueTooLarge, "VALUE_TOO_LARGE Value length exceeds limit"},
	{base.ErrUnreadable, "ACCESSED_UNREADABLE Read or wrote an unreadable key"},
}

// transactionError words an error of a command in an interactive transaction.
func transactionError(err error) error {
	for _, t := range transactionErrors {
		if errors.Is(err, t.err) {
			return t.text
		}
	}
	return err
}

// txState is what a session knows about its interactive transaction.
type txState struct {
	path   string // the namespace that was resolved in it last
	shards bool   // it has read the version of the shards' table
	// published is what it sends to channels when it has committed.
	published []pubsub.Message
}

func interactiveCommands() []Command {
	const flags = command.FlagNoScript | command.FlagNoMulti | command.FlagFast
	rows := []Command{
		{Name: "begin", Summary: "Opens an interactive transaction.", Arity: 1, Handler: beginCommand},
		{Name: "commit", Summary: "Commits the interactive transaction.", Arity: -1, Handler: commitCommand},
		{Name: "rollback", Summary: "Discards the interactive transaction.", Arity: 1, Handler: rollbackCommand},
		{Name: "snapshotread", Summary: "Chooses whether reads leave read conflicts.", Arity: 2, Handler: snapshotreadCommand},
		{Name: "getreadversion", Summary: "Returns the version at which the interactive transaction reads.", Arity: 1, Handler: getreadversionCommand},
		{Name: "getapproximatesize", Summary: "Returns the size in bytes of the interactive transaction.", Arity: 1, Handler: getapproximatesizeCommand},
		{Name: "tick", Summary: "Returns a number that never decreases.", Arity: 2, Handler: tickCommand},
	}
	for i := range rows {
		rows[i].Since, rows[i].Group, rows[i].Kind, rows[i].Flags = "0.1.0", command.GroupTransactions, command.KindConnection, flags
	}
	return rows
}

func beginCommand(c *Call) error {
	if c.s.tx != nil {
		return errTransactionOpen
	}
	c.s.tx, c.s.txState = c.s.srv.db.Begin(), txState{}
	c.W.OK()
	return nil
}

// endTransaction takes the transaction from the session.
func (s *session) endTransaction() *kv.Tx {
	tx := s.tx
	s.tx = nil
	return tx
}

func rollbackCommand(c *Call) error {
	if c.s.tx == nil {
		return errNoTransaction
	}
	c.s.endTransaction().Rollback()
	c.W.OK()
	return nil
}

// returning is what COMMIT replies.
type returning uint8

const (
	returnOK returning = iota
	returnVersion
	returnVersionstamp
)

func parseReturning(args [][]byte) (returning, error) {
	switch {
	case len(args) == 1:
		return returnOK, nil
	case len(args) != 3 || !command.Is(args[1], "returning"):
		return 0, command.ErrSyntax
	case command.Is(args[2], "committed-version"):
		return returnVersion, nil
	case command.Is(args[2], "versionstamp"):
		return returnVersionstamp, nil
	}
	return 0, command.ErrSyntax
}

func commitCommand(c *Call) error {
	if c.s.tx == nil {
		return errNoTransaction
	}
	want, err := parseReturning(c.Args)
	if err != nil {
		return err
	}
	info, err := c.s.endTransaction().Commit()
	if err == nil {
		c.s.srv.broker.After(base.Ticket{}, c.s.txState.published)
	}
	switch {
	case err != nil:
		return err // invoke words it
	case want == returnVersion && info.Stamp == 0:
		c.W.Int(-1)
	case want == returnVersion:
		c.W.Int(int64(info.Stamp))
	case want == returnVersionstamp && info.Stamp == 0:
		return errNoCommitVersion
	case want == returnVersionstamp:
		c.W.Bulk(info.Versionstamp[:])
	default:
		c.W.OK()
	}
	return nil
}

func snapshotreadCommand(c *Call) error {
	switch {
	case command.Is(c.Args[1], "on"):
		c.s.snapshotReads = true
	case command.Is(c.Args[1], "off"):
		c.s.snapshotReads = false
	default:
		return command.Error("ERR illegal argument for SNAPSHOTREAD: '" + string(command.Truncated(c.Args[1], command.EchoedBytes)) + "'")
	}
	c.W.OK()
	return nil
}

func getreadversionCommand(c *Call) error {
	if c.s.tx == nil {
		return errNoTransaction
	}
	at, err := c.s.tx.ReadVersion()
	if err == nil {
		c.W.SimpleString(strconv.FormatUint(uint64(at), 10))
	}
	return err
}

func getapproximatesizeCommand(c *Call) error {
	if c.s.tx == nil {
		return errNoTransaction
	}
	c.W.Int(c.s.tx.ApproximateSize())
	return nil
}

// tickCache is the stamp that TICK CACHED shares between the connections.
type tickCache struct {
	stamp atomic.Uint64
	until atomic.Int64 // unix nanoseconds
}

// tickAge is how far TICK CACHED may be behind.
const tickAge = time.Second

func tickCommand(c *Call) error {
	s := c.s.srv
	now := s.now()
	switch {
	case command.Is(c.Args[1], "cached"):
		if stamp := s.tick.stamp.Load(); stamp != 0 && now.UnixNano() < s.tick.until.Load() {
			c.W.Int(int64(stamp))
			return nil
		}
	case !command.Is(c.Args[1], "fresh"):
		return command.Error("ERR illegal argument for TICK: '" + string(command.Truncated(c.Args[1], command.EchoedBytes)) + "'")
	}
	stamp, err := s.db.ReadVersion(context.Background())
	if err != nil {
		return err
	}
	for old := s.tick.stamp.Load(); uint64(stamp) > old; old = s.tick.stamp.Load() {
		if s.tick.stamp.CompareAndSwap(old, uint64(stamp)) {
			s.tick.until.Store(now.Add(tickAge).UnixNano())
		}
	}
	c.W.Int(int64(stamp))
	return nil
}

// enter prepares a command that touches data: its namespace is resolved, and its
// keys lie in shards that allow it. In the default namespace, which is always there,
// an interactive transaction asks only where the databases are, and run does it for
// the others.
func (s *session) enter(x *executor, cmd *Command, args [][]byte) error {
	x.shards = nil
	if cmd.Kind == command.KindConnection && cmd.Flags&(command.FlagWrite|command.FlagReadonly) == 0 {
		return nil
	}
	if s.ns.ID != catalog.DefaultID || s.tx != nil && cmd.Group != command.GroupZMap {
		if err := s.resolveNamespace(x); err != nil {
			return err
		}
	}
	if s.srv.shards == nil || cmd.Group == command.GroupZMap {
		return nil
	}
	if s.tx != nil && !s.txState.shards && cmd.Flags&command.FlagWrite != 0 {
		// Read by the transaction: a change of a status makes its commit fail.
		if _, err := s.tx.Get(catalog.ShardVersionKey()); err != nil {
			return err
		}
		s.txState.shards = true
	}
	s.takeShards(x)
	return s.checkShards(x, cmd, args)
}

// takeShards chooses the table that the command is checked against, and that it
// commits under if it writes.
func (s *session) takeShards(x *executor) {
	if s.srv.shards != nil {
		x.shards = s.srv.shards.Table()
	}
}

// checkShards refuses a command whose keys lie in a shard that does not allow
// it; one without keys touches them all.
func (s *session) checkShards(x *executor, cmd *Command, args [][]byte) error {
	t := x.shards
	if t == nil || !t.Restricted || cmd.Kind == command.KindConnection || cmd.Group == command.GroupZMap || cmd.Flags&(command.FlagWrite|command.FlagReadonly) == 0 {
		return nil
	}
	err := refusal(t, cmd, args)
	if err != nil {
		x.note(t.Ticket()) // R1
	}
	return err
}

// watchShards keeps the table of the shards up to date.
func (s *Server) watchShards() {
	s.shards.Watch(s.stopped, func(err error) { s.log.Error("shard table not refreshed", slog.Any("error", err)) })
}

// renewer is a closure that can be adapted when what it was prepared for has
// changed: the session's namespace and its databases, or the shards.
type renewer interface {
	renewed(s *session) error
}

// renewed implements renewer for a single command.
func (x *executor) renewed(s *session) error {
	if err := s.resolveNamespace(x); err != nil {
		return err
	}
	return s.checkShards(x, x.call.cmd, x.call.Args)
}

// area is where a command works, if it works in the session's database only.
func (s *session) area(cmd *Command) base.Span {
	if cmd.Group != command.GroupZMap {
		return s.handle.Span()
	}
	if s.zmap.ns != s.ns.ID || s.zmap.area.Empty() {
		s.zmap.ns, s.zmap.area = s.ns.ID, zmap.Open(s.ns.ID).All()
	}
	return s.zmap.area
}

// attempt is a closure that forgets what the tries before have published.
type attempt struct {
	x *executor
	c kv.Closure
}

// Do implements kv.Closure.
func (a *attempt) Do(t kv.Txn) error {
	a.x.published, a.x.overheard, a.x.refusals = a.x.published[:0], a.x.overheard[:0], a.x.refusals[:0]
	return a.c.Do(t)
}

// run runs a closure as one transaction of its own and makes the replies wait for
// it. It commits behind a fence: no namespace was taken away and no database
// swapped, and no shard was restricted, if it writes.
func (s *session) run(x *executor, write bool, c kv.Closure) error {
	long := false
	for {
		if s.ns.term == nil {
			if err := s.resolveNamespace(x); err != nil {
				return err
			}
		}
		if s.tracks {
			s.track(x, c)
		}
		x.note(s.ns.ticket)
		b := catalog.Basis{Term: s.ns.term, Epoch: s.ns.epoch, Ticket: s.ns.ticket}
		if write {
			b.Shards = x.shards
		}
		x.fence.Raise(s.srv.catalog, s.area(x.call.cmd), b)
		x.kvs.Fence = &x.fence
		place := base.RangeID(0)
		if write && !s.srv.db.Local() {
			var err error
			if place, err = s.takeTurn(x, c); err != nil {
				x.kvs.Fence, x.kvs.Origin = nil, 0
				return err
			}
		}
		x.attempt = attempt{x, c}
		x.kvs.Free = long
		t, err := x.kvs.Run(&x.attempt)
		x.kvs.Fence, x.kvs.Free, x.kvs.Origin = nil, false, 0
		if err == scripting.ErrLong {
			long = true
			continue
		}
		if write && t.Pos != 0 {
			s.last = lastWrite{t, place}
		}
		s.ended(x, t, err)
		// What was not refused may have happened, whatever has become of the fence.
		if !base.Retryable(err) || !x.fence.Broken() {
			return err
		}
		if err := s.renew(x, c); err != nil {
			return err
		}
	}
}

// ended makes the replies wait for a transaction, and what it publishes.
func (s *session) ended(x *executor, t base.Ticket, err error) {
	x.note(t)
	if err == nil && len(x.published) > 0 {
		s.srv.broker.After(t, x.published)
		x.published = nil // it is the broker's
	}
}

// renew brings the session and the closure up to date after the fence has broken.
// Nothing but its watch may have moved: then the closure just runs again.
func (s *session) renew(x *executor, c kv.Closure) error {
	if x.kvs.Prompt && !s.srv.db.Local() {
		return base.ErrWouldWait
	}
	since, err := x.fence.Mend()
	if err != nil {
		return err
	}
	if x.shards != nil {
		if _, err := s.srv.shards.RefreshTo(since.Shards); err != nil {
			return err
		}
		s.takeShards(x)
	}
	if since.Epoch > s.ns.epoch {
		s.ns.term = nil
	}
	if r, ok := c.(renewer); ok {
		return r.renewed(s)
	}
	before := s.ns.ID
	if err := s.resolveNamespace(x); err != nil {
		return err
	}
	if s.ns.ID != before {
		return errNamespaceChanged
	}
	return s.checkShards(x, x.call.cmd, x.call.Args)
}

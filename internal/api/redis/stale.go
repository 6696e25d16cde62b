package redis

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/kv"
	model "github.com/stratadb/strata/internal/model/redis"
)

// A command that only reads may be answered from a state of a moment ago, at which this
// node's replicas need nobody else: for a client that has said READONLY, or that has set
// the attribute stale_reads_ms. All of it comes from one state, the place of its database
// included, so it needs no fence. What a client watches it reads as it is: EXEC relies
// on that.

// staleMillisMax is the most that may be asked for; longer than a day nobody means.
const staleMillisMax = 24 * 60 * 60 * 1000

// staleness is how old a state a command may be answered from; zero: only the newest.
func (s *session) staleness(cmd *Command) time.Duration {
	ms := s.attrs.staleMillis
	if ms == 0 && s.readonly {
		ms = s.srv.settings.readonlyStaleness.Load()
	}
	if ms == 0 || cmd.Flags&command.FlagReadonly == 0 || cmd.Kind != command.KindData || cmd.Group == command.GroupZMap || s.tx != nil ||
		len(s.multi.watches) > 0 || !s.srv.db.Distant() {
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

// past is where the database of a session is in states of a moment ago.
type past struct {
	ns     Namespace
	handle *model.DB
}

// epochs remembers the catalog's epoch at the stamp that was read last, which many reads
// share.
type epochs struct{ atomic.Pointer[epochAt] }

type epochAt struct {
	at    base.Stamp
	epoch uint64
}

func (e *epochs) read(at base.Stamp, t kv.Reader) (uint64, error) {
	if last := e.Load(); last != nil && last.at == at {
		return last.epoch, nil
	}
	epoch, err := catalog.ReadEpoch(t)
	if err == nil {
		e.Store(&epochAt{at, epoch})
	}
	return epoch, err
}

// database is the session's database in the state of a stamp.
func (s *session) database(at base.Stamp, t kv.Reader) (*model.DB, error) {
	epoch, err := s.srv.epochs.read(at, t)
	if err != nil {
		return nil, err
	}
	p := &s.past
	if p.handle == nil || p.ns.epoch != epoch || p.ns.Path != s.ns.Path {
		path, err := catalog.ParsePath(s.ns.Path)
		if err != nil {
			return nil, err
		}
		*p = past{ns: Namespace{Path: s.ns.Path, epoch: epoch}}
		var gone *catalog.Error
		switch err := p.ns.read(t, path); {
		case errors.As(err, &gone):
			return nil, errNotYet
		case err != nil:
			return nil, err
		}
	}
	if p.handle == nil || p.handle.Number() != s.handle.Number() {
		p.handle = s.srv.handle(p.ns, s.handle.Number())
	}
	return p.handle, nil
}

// errNotYet: the session's namespace came later than the state.
var errNotYet = errors.New("the namespace was not there yet")

// runStale runs a command on a state of a moment ago, if it may; done is false if it has
// to run on the newest.
func (s *session) runStale(x *executor, cmd *Command, args [][]byte) (done bool, err error) {
	staleness := s.staleness(cmd)
	if staleness == 0 {
		return false, nil
	}
	s.takeShards(x)
	if err := s.checkShards(x, cmd, args); err != nil {
		return true, err
	}
	c := &x.call
	o := kv.StaleOptions{Staleness: staleness, Prompt: x.kvs.Prompt}
	err = x.kvs.ReadStale(context.Background(), o, func(at base.Stamp, t kv.Txn) (err error) {
		x.w.Buf = x.w.Buf[:x.mark]
		if c.DB, err = s.database(at, t); err != nil {
			return err
		}
		c.Txn = t
		return cmd.Handler(c)
	})
	if errors.Is(err, errNotYet) {
		x.w.Buf = x.w.Buf[:x.mark]
		return false, nil
	}
	return true, err
}

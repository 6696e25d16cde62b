package store

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"slices"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/storage/identity"
	"github.com/stratadb/strata/internal/storage/lsm"
	"github.com/stratadb/strata/internal/storage/raftlog"
)

// Recovery from a lost quorum makes a store's replicas the only ones of their ranges,
// by decree: no quorum has agreed to it. On disk, in this order:
//
//	1  the file RECOVERY: it is decided; no replica of the store runs before it is done
//	2  everything in the logs counts as committed, is applied, and moved to the state
//	3  one batch of the state: each range has one voter, and a higher epoch
//	4  the identity: the store is one of a new cluster
//	5  a line in the file RECOVERED; RECOVERY says that it is done
//
// Before 1 nothing has changed; from then on every step may be repeated. The nodes of
// the old cluster, should they come back, are of another one and are refused by the
// handshake of every connection: what they hold may contradict what was recovered.

const (
	// RecoveryName is the file of a recovery from its decision until a node has started
	// on the recovered store.
	RecoveryName = "RECOVERY"
	// RecoveredName is the file to which each recovery adds a line.
	RecoveredName = "RECOVERED"

	recoveryBytesMax = 16 << 20
)

// ErrRecovering: a recovery of the store from a lost quorum was begun and not finished.
var ErrRecovering = errors.New("a recovery of this store was interrupted: `strata recover` or `strata start` finishes it")

// ErrAlone: there is nothing to recover the store from.
var ErrAlone = errors.New("the store's replicas are the only ones of their ranges already: start it")

// ErrIncomplete: the store has not got every key.
var ErrIncomplete = errors.New("the store has no copy of the whole keyspace: recover another survivor")

// Recovery is what the files say of a recovery.
type Recovery struct {
	At         time.Time   `json:"at"`
	Store      string      `json:"store"`
	Node       base.NodeID `json:"node"`
	OldCluster string      `json:"old_cluster"`
	Cluster    string      `json:"cluster"`
	// Copies are the replicas as they were.
	Copies []Copy `json:"copies"`
	// OnlyVoter is the node whose replicas, under the ids they had, are the only ones now.
	OnlyVoter base.NodeID `json:"only_voter"`
	MayBeLost string      `json:"may_be_lost"`
	Done      bool        `json:"done,omitempty"`
}

// MayBeLost says what a recovery cannot know.
const MayBeLost = "every write that was acknowledged behind the end of this copy's log is lost; " +
	"writes between the known commit and the end of the log, which may never have been acknowledged, have happened"

// ReadRecovery reads the file RECOVERY; nil if there is none.
func ReadRecovery(fs vfs.FS, dir string) (*Recovery, error) {
	b, err := readSmall(fs, fs.PathJoin(dir, RecoveryName))
	if b == nil || err != nil {
		return nil, err
	}
	r := &Recovery{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, errors.Wrapf(base.ErrCorruption, "the file %s: %v", RecoveryName, err)
	}
	return r, nil
}

// readSmall reads a file; nil if there is none.
func readSmall(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if oserror.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, recoveryBytesMax))
	if b == nil {
		b = []byte{}
	}
	return b, errors.Wrap(err, path)
}

func (r *Recovery) write(fs vfs.FS, dir string) error {
	b, err := json.Marshal(r)
	if err == nil {
		err = identity.Replace(fs, dir, RecoveryName, append(b, '\n'))
	}
	return errors.Wrapf(err, "the file %s", RecoveryName)
}

// record adds the recovery's line to the file RECOVERED, once.
func (r *Recovery) record(fs vfs.FS, dir string) error {
	lines, err := readSmall(fs, fs.PathJoin(dir, RecoveredName))
	if err != nil || bytes.Contains(lines, []byte(`"cluster":"`+r.Cluster+`"`)) {
		return err
	}
	line, err := json.Marshal(r)
	if err == nil {
		err = identity.Replace(fs, dir, RecoveredName, append(append(lines, line...), '\n'))
	}
	return errors.Wrapf(err, "the file %s", RecoveredName)
}

// ForgetRecovery removes the file RECOVERY of a recovery that is done and known.
func ForgetRecovery(fs vfs.FS, dir string) error {
	if err := fs.Remove(fs.PathJoin(dir, RecoveryName)); err != nil {
		return err
	}
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.CombineErrors(d.Sync(), d.Close())
}

// Recover makes the replicas of the store in o.Dir the only ones of their ranges, or
// finishes what an earlier call has begun. Of the options only FS, Dir, Clock, Log,
// SegmentBytes and Random count. An error before the decision has changed nothing.
func Recover(o Options) (_ *Recovery, err error) {
	var fatal error
	s := newStore(Options{FS: o.FS, Dir: o.Dir, Clock: o.Clock, Log: o.Log, SegmentBytes: o.SegmentBytes, Random: o.Random, Manual: true,
		OnFatal: func(err error) { fatal = errors.CombineErrors(fatal, err) }, Send: func(base.NodeID, *replica.Message) {}})
	lock, err := identity.Lock(o.FS, o.Dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.CombineErrors(err, lock.Close()) }()
	r, err := ReadRecovery(o.FS, o.Dir)
	if err != nil {
		return nil, err
	}
	if _, err := identity.Load(o.FS, o.Dir); err != nil { // nothing is made here
		return nil, err
	}
	r, err = s.recoverFiles(r)
	if err = errors.CombineErrors(err, fatal); err != nil {
		return r, errors.CombineErrors(err, s.release())
	}
	s.settler.close()
	if err := s.Close(); err != nil {
		return r, err
	}
	s.id.Cluster = clusterID(r.Cluster)
	if err := identity.Save(o.FS, o.Dir, s.id); err != nil {
		return r, err
	}
	if err := r.record(o.FS, o.Dir); err != nil {
		return r, err
	}
	r.Done = true
	return r, r.write(o.FS, o.Dir)
}

func clusterID(s string) (id [16]byte) {
	_, _ = hex.Decode(id[:], []byte(s)) // of the length that decide has written
	return id
}

// recoverFiles opens log and state and does what has to be done there. Unless r is a
// recovery that was begun, it decides on one first.
func (s *Store) recoverFiles(r *Recovery) (*Recovery, error) {
	if err := s.openFiles(); err != nil {
		return nil, err
	}
	if err := s.lifecycle(); err != nil {
		return nil, err
	}
	if r == nil || r.Done {
		var err error
		if r, err = s.decideRecovery(); err != nil {
			return nil, err
		}
	}
	if err := s.believeLogs(); err != nil {
		return r, err
	}
	if err := s.replayAll(r); err != nil {
		return r, err
	}
	return r, s.takeOver(r)
}

// decideRecovery is step 1.
func (s *Store) decideRecovery() (*Recovery, error) {
	copies, err := s.Copies()
	if err != nil {
		return nil, err
	}
	if err := Recoverable(copies); err != nil {
		return nil, err
	}
	makeID := identity.New
	if s.o.Random != nil {
		makeID = func() identity.Identity { return identity.NewFrom(s.o.Random) }
	}
	cluster := makeID().Store
	r := &Recovery{At: time.UnixMicro(s.o.Clock.UnixMicros()).UTC(), Store: s.id.Store.String(), Node: s.id.Node,
		OldCluster: hex.EncodeToString(s.id.Cluster[:]), Cluster: hex.EncodeToString(cluster[:]), Copies: copies,
		OnlyVoter: s.id.Node, MayBeLost: MayBeLost}
	return r, r.write(s.o.FS, s.o.Dir)
}

// Recoverable says why a store with these replicas cannot be recovered: ErrAlone,
// ErrIncomplete, or nil.
func Recoverable(copies []Copy) error {
	sorted := slices.SortedFunc(slices.Values(copies), func(a, b Copy) int { return bytes.Compare(a.Span.Start, b.Span.Start) })
	all := keyspace.All()
	at, alone := all.Start, true
	for i := range sorted {
		if !bytes.Equal(sorted[i].Span.Start, at) {
			return errors.Wrapf(ErrIncomplete, "no range here holds %s", keyspace.Pretty(at))
		}
		at, alone = sorted[i].Span.End, alone && sorted[i].alone
	}
	switch {
	case !bytes.Equal(at, all.End):
		return errors.Wrapf(ErrIncomplete, "no range here holds %s", keyspace.Pretty(at))
	case alone:
		return ErrAlone
	}
	return nil
}

// believeLogs makes everything in the logs count as committed.
func (s *Store) believeLogs() error {
	for _, id := range s.log.Ranges() {
		group := s.log.Group(id)
		hard, _ := group.HardState()
		if _, found, err := s.state.RangeState(id); err != nil {
			return err
		} else if !found {
			continue // promises of a replica that a split will bring
		}
		hard.Commit = group.LastIndex()
		term, err := group.Term(hard.Commit)
		if err != nil {
			return err
		}
		hard.Term = max(hard.Term, term)
		if err := s.log.Append(raftlog.Write{Range: id, HardState: &hard}); err != nil {
			return err
		}
	}
	return s.log.Flush()
}

// replayAll is step 2. A membership change at the end of a log may have removed this
// replica, and may be on disk since an interrupted attempt.
func (s *Store) replayAll(r *Recovery) error {
	if err := s.state.EachRangeState(false, func(id base.RangeID, st lsm.RangeState) error {
		state, err := decodeState(st)
		if err == nil {
			state.Table, err = s.state.RangeTable(id)
		}
		if err != nil || isTombstone(&state) {
			return err
		}
		self, found := state.Range.On(s.id.Node)
		if !found {
			i := slices.IndexFunc(r.Copies, func(c Copy) bool { return c.Range == id })
			if i < 0 {
				return nil
			}
			self.Replica = r.Copies[i].Replica
		}
		_, err = s.openReplica(id, self.Replica, state, false)
		return err
	}); err != nil {
		return err
	}
	s.arrange()
	if err := s.Step(); err != nil {
		return err
	}
	for _, x := range s.Replicas() {
		id, _ := x.ID()
		if applied, last := x.Stats().Applied, s.log.Group(id).LastIndex(); applied != last {
			return errors.AssertionFailedf("range %d: applied up to %d of %d", id, applied, last)
		}
		if err := x.Settle(); err != nil {
			return err
		}
	}
	return nil
}

// takeOver is step 3.
func (s *Store) takeOver(r *Recovery) (err error) {
	b := s.state.NewBatch()
	defer func() { err = errors.CombineErrors(err, b.Close()) }()
	for _, x := range s.Replicas() {
		x.Stop()
		id, self := x.ID()
		st, _, err := s.state.RangeState(id)
		if err != nil {
			return err
		}
		d, err := base.DecodeRangeDescriptor(st.Payload)
		if err != nil {
			return err
		}
		// Whoever led may have issued stamps that are in no log.
		s.oracle.Observe(st.Stamp + replica.IssueReach)
		only := []base.ReplicaDescriptor{{Node: s.id.Node, Replica: self}}
		if !slices.Equal(d.Replicas, only) {
			d.Replicas, d.Epoch = only, d.Epoch+1
			st.Payload = d.Append(nil)
			b.SetRangeState(id, st)
		}
		s.forget(id) // nothing of it is written any more
	}
	if err := s.state.Apply(b); err != nil {
		return err
	}
	return s.state.Flush()
}

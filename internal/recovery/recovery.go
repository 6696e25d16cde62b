// Package recovery brings a store back whose cluster has lost its quorum for good: it
// says what the store has and what would be lost, and, if that is accepted, makes its
// replicas the only ones.
//
// What is done on disk is the matter of package cluster/store; here is who may have it
// done: nobody on a store that runs, is damaged, lacks a part of the keyspace, or is the
// only one already.
package recovery

import (
	"encoding/hex"
	"log/slog"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/check"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/storage/identity"
)

// ErrDamaged: the store cannot be believed.
var ErrDamaged = errors.New("the store is damaged: recover another survivor")

// Options of a recovery. Dir is required.
type Options struct {
	FS  vfs.FS
	Dir string
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Plan is what a recovery would begin with.
type Plan struct {
	Dir     string       `json:"dir"`
	Store   string       `json:"store"`
	Cluster string       `json:"cluster"`
	Node    base.NodeID  `json:"node"`
	Copies  []store.Copy `json:"copies"`
	// Unfinished is a recovery that was interrupted: the next one finishes it.
	Unfinished *store.Recovery `json:"unfinished,omitempty"`
	MayBeLost  string          `json:"may_be_lost"`
}

// Look reads the whole store, changes nothing, and says what a recovery would do. The
// error says why there can be none: check.ErrInUse, check.ErrNotAStore, ErrDamaged,
// store.ErrAlone, store.ErrIncomplete, or another one.
func Look(o Options) (p Plan, err error) {
	o = o.withDefaults()
	p.Dir, p.MayBeLost = o.Dir, store.MayBeLost
	id, err := identity.Load(o.FS, o.Dir)
	switch {
	case errors.Is(err, identity.ErrNotExist):
		return p, errors.Mark(err, check.ErrNotAStore)
	case errors.Is(err, base.ErrCorruption):
		return p, errors.Mark(err, ErrDamaged)
	case err != nil:
		return p, err
	}
	p.Store, p.Cluster, p.Node = id.Store.String(), hex.EncodeToString(id.Cluster[:]), id.Node
	if r, err := store.ReadRecovery(o.FS, o.Dir); err != nil {
		return p, err
	} else if r != nil && !r.Done {
		p.Copies, p.Unfinished = r.Copies, r
		return p, nil
	}
	if _, err := o.FS.Stat(o.FS.PathJoin(o.Dir, identity.DamagedName)); err == nil {
		return p, errors.Wrapf(ErrDamaged, "its node has found it (%s)", identity.DamagedName)
	} else if !oserror.IsNotExist(err) {
		return p, err
	}
	r, err := check.Run(check.Options{FS: o.FS, Dir: o.Dir, Log: o.Log})
	if err != nil {
		return p, err
	}
	if len(r.Problems) > 0 {
		return p, errors.Wrapf(ErrDamaged, "%s: %s", r.Problems[0].Where, r.Problems[0].Detail)
	}
	p.Copies = r.Copies
	return p, store.Recoverable(p.Copies)
}

// Recover looks, and makes the store's replicas the only ones of their ranges. It may be
// repeated after an interruption.
func Recover(o Options) (*store.Recovery, error) {
	o = o.withDefaults()
	if _, err := Look(o); err != nil {
		return nil, err
	}
	return store.Recover(store.Options{FS: o.FS, Dir: o.Dir, Log: o.Log})
}

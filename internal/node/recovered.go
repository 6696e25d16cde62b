package node

import (
	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/kv"
)

// recovered says whether the store was recovered from a lost quorum since the last start;
// nil if not. A recovery that was interrupted is finished.
func recovered(o store.Options) (*store.Recovery, error) {
	r, err := store.ReadRecovery(o.FS, o.Dir)
	if r == nil || err != nil || r.Done {
		return r, err
	}
	r, err = store.Recover(o)
	return r, errors.Wrap(err, "finishing the recovery from a lost quorum")
}

// endRecovery takes the other nodes of the old cluster off the list, before anybody can
// join the new one, and says once what was done.
func (n *Node) endRecovery(db *kv.DB, r *store.Recovery) error {
	if r == nil {
		return nil
	}
	var others []base.NodeID
	if err := db.NewSession().RunAndWait(kv.Func(func(t kv.Txn) (err error) {
		others, err = catalog.RemoveOthers(t, n.store.Identity().Node)
		return err
	})); err != nil {
		return errors.Wrap(err, "removing the nodes of the cluster before the recovery")
	}
	if err := store.ForgetRecovery(vfs.Default, n.dir); err != nil {
		return errors.Wrap(err, "ending the recovery from a lost quorum")
	}
	n.log.Warn("the store was recovered from a lost quorum", "at", r.At, "node", r.Node, "old_cluster", r.OldCluster, "cluster", r.Cluster,
		"removed_nodes", others, "may_be_lost", r.MayBeLost, "see", store.RecoveredName)
	return nil
}

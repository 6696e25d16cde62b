package node

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/config"
	"github.com/stratadb/strata/internal/storage/identity"
)

// A damaged store may have forgotten what it has promised to the others: what it
// acknowledged, and for whom it voted. Its replicas must never take part again. In
// a cluster the node puts the store aside and takes a new place, with an empty store
// under other ids, which gets its replicas from the others; the place of the damaged
// one is given up in the same transaction. A node that is alone does not start.

const (
	// damagedName is the file that says what is damaged and, once that is decided,
	// which store takes its place. It is there until that store exists.
	damagedName = identity.DamagedName
	// asideName is the folder to which damaged stores are moved.
	asideName = "damaged"
	// savesName is the folder of the files that clients have saved, which are nobody's store.
	savesName = "rdb"
)

// damage is the content of the file.
type damage struct {
	Found string     `json:"found"`
	Old   string     `json:"old,omitempty"` // the damaged store
	Place store.Join `json:"place"`         // of the one that replaces it; zero: not decided
}

func (d *damage) decided() bool { return d.Place.Node != 0 }

func readDamage(dir string) (d damage, found bool, err error) {
	b, err := os.ReadFile(filepath.Join(dir, damagedName))
	if errors.Is(err, os.ErrNotExist) {
		return d, false, nil
	}
	if err == nil {
		err = errors.Wrapf(json.Unmarshal(b, &d), "the file %s", damagedName)
	}
	return d, true, err
}

// write makes the file durable.
func (d *damage) write(dir string) error {
	b, err := json.Marshal(d)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, damagedName)
	f, err := os.Create(path + ".new")
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.CombineErrors(err, f.Sync()); err == nil {
		err = os.Rename(path+".new", path)
	}
	return errors.CombineErrors(errors.CombineErrors(err, f.Close()), syncDir(dir))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.CombineErrors(f.Sync(), f.Close())
}

// noteDamage keeps what was found while the node was running for its next start.
func (c *cluster) noteDamage(dir string, found error) {
	if err := (&damage{Found: found.Error()}).write(dir); err != nil {
		c.log.Error("the damage is not noted: remove the data directory before the next start", "error", err)
	}
}

// openStore opens the store, or the one that takes the place of a damaged one.
func (n *Node) openStore(c config.Config, o store.Options) error {
	if n.cluster == nil {
		s, err := store.Open(o)
		n.store = s
		return err
	}
	d, found, err := readDamage(o.Dir)
	if err != nil {
		return err
	}
	if !found {
		if o.Join, err = n.join(c, o.Dir); err != nil {
			return err
		}
		n.store, err = store.Open(o)
		if err == nil {
			return identity.Release(vfs.Default, o.Dir)
		}
		if !errors.Is(err, base.ErrCorruption) {
			return err
		}
		d.Found = err.Error()
	}
	return n.replaceStore(c, o, d)
}

// replaceStore puts a damaged store aside, once the cluster has given a place to
// another one, and opens that. It may be interrupted anywhere: the next start goes on.
// Without an answer, or without others, nothing is changed.
func (n *Node) replaceStore(c config.Config, o store.Options, d damage) error {
	if !d.decided() {
		if err := n.decide(c, o.Dir, &d); err != nil {
			return errors.CombineErrors(errors.Wrapf(base.ErrCorruption, "the store is damaged: %s", d.Found), err)
		}
	}
	aside := filepath.Join(o.Dir, asideName, d.Old)
	if err := putAside(o.Dir, aside, d.Place.Store); err != nil {
		return errors.Wrap(err, "putting a damaged store aside")
	}
	n.log.Error("the store was damaged; it is put aside, and the other nodes make its replicas again in an empty one",
		"damage", d.Found, "aside", aside, "node", d.Place.Node)
	o.Join = &d.Place
	var err error
	if n.store, err = store.Open(o); err != nil {
		return err
	}
	return errors.CombineErrors(os.Remove(filepath.Join(o.Dir, damagedName)), syncDir(o.Dir))
}

// decide asks the cluster for a place for another store.
func (n *Node) decide(c config.Config, dir string, d *damage) error {
	old, err := identity.Load(vfs.Default, dir)
	if err != nil {
		return err
	}
	doors := slices.Concat(addresses(c.Join), n.cluster.doors(old.Node))
	if len(doors) == 0 {
		return errors.New("no other node is known to make it again from")
	}
	// The same one again if this start is interrupted.
	sum := sha256.Sum256(append([]byte("in place of "), old.Store[:]...))
	p := place{store: base.StoreID(sum[:len(base.StoreID{})]), address: n.cluster.address, replaces: old.Store}
	j, err := join(context.Background(), doors, c.RequirePass, p)
	if err != nil {
		return errors.Wrap(err, "no other node gives its replacement a place: start again when one does")
	}
	if j.cluster != old.Cluster {
		return errors.Newf("the node that answers is one of cluster %x", j.cluster)
	}
	n.cluster.learn(j.nodes...)
	d.Old, d.Place = old.Store.String(), store.Join{Cluster: j.cluster, Node: j.node, Store: p.store}
	return d.write(dir)
}

// putAside moves the damaged store out of dir, unless its replacement, next, is
// there already or is being made.
func putAside(dir, aside string, next base.StoreID) error {
	id, err := identity.Load(vfs.Default, dir)
	if err == nil && id.Store == next || errors.Is(err, identity.ErrNotExist) && store.Unfinished(vfs.Default, dir) {
		return nil
	}
	if err := os.MkdirAll(aside, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch name := e.Name(); name {
		case identity.LockName, peersName, damagedName, asideName, savesName:
		default:
			// By another name nobody takes it for a store.
			if err := os.Rename(filepath.Join(dir, name), filepath.Join(aside, name+".damaged")); err != nil {
				return err
			}
		}
	}
	return errors.CombineErrors(syncDir(aside), syncDir(dir))
}

// doors are the other nodes' doors for operators, as far as they are known.
func (c *cluster) doors(self base.NodeID) (doors []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, n := range c.mu.nodes {
		if id != self && n.Admin != "" {
			doors = append(doors, n.Admin)
		}
	}
	slices.Sort(doors)
	return doors
}

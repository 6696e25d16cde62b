package catalog

import (
	"slices"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// Transactor runs a closure as one transaction.
type Transactor func(fn kv.Func) error

// purgeSteps bounds the work of one transaction of Purge: a step looks at one
// row, or deletes one namespace.
const purgeSteps = 128

// frame is a namespace on the way down from the one that is purged.
type frame struct {
	parent keyspace.NamespaceID
	name   string
	id     keyspace.NamespaceID
	after  string // the children up to this name are gone
}

// Purge deletes a namespace that was removed, with everything below it: data,
// rows, name. Each call of run is one bounded transaction; when one fails, Purge
// can be called again. It goes through the tree with a cursor, so that it does
// not step over what it has deleted.
func Purge(run Transactor, p Path) error {
	if p.IsDefault() {
		return errDefault("purge")
	}
	var way []frame
	for begun := false; !begun || len(way) > 0; begun = true {
		var next []frame
		err := run(func(t kv.Txn) error {
			parent, e, err := lookupRemoved(t, p)
			if err != nil {
				return err
			}
			root := frame{parent: parent, name: p[len(p)-1], id: e.id}
			if !begun {
				next = []frame{root}
			} else {
				next = slices.Clone(way)
			}
			if next[0].id != root.id || next[0].parent != root.parent {
				return NoSuchNamespace(p) // somebody else has finished
			}
			for i := 0; i < purgeSteps && len(next) > 0 && err == nil; i++ {
				next, err = purgeStep(t, next)
			}
			return err
		})
		if err != nil {
			return err
		}
		way = next
	}
	return nil
}

// purgeStep goes down to the next child of the last frame, or deletes it when it
// has none.
func purgeStep(t kv.Txn, way []frame) ([]frame, error) {
	last := &way[len(way)-1]
	var down frame
	err := scanChildren(t, last.id, last.after, 1, func(name string, e entry) bool {
		down = frame{parent: last.id, name: name, id: e.id}
		return false
	})
	if err != nil {
		return way, err
	}
	if down.id != 0 {
		last.after = down.name
		return append(way, down), nil
	}
	t.ClearRange(base.PrefixSpan(keyspace.AppendNamespace(nil, last.id)))
	t.Clear(databasesKey(last.id))
	t.ClearRange(base.PrefixSpan(scriptsKey(last.id)))
	t.Clear(rowKey(last.parent, last.name))
	if len(way) == 1 {
		bumpEpoch(t)
	}
	return way[:len(way)-1], nil
}

// lookupRemoved finds the row of a namespace that is being removed; those above
// it may be, too.
func lookupRemoved(t kv.Reader, p Path) (parent keyspace.NamespaceID, e entry, err error) {
	e.id = rootID
	for _, name := range p {
		parent = e.id
		var found bool
		e, found, err = child(t, parent, name)
		if err != nil {
			return 0, entry{}, err
		}
		if !found {
			return 0, entry{}, NoSuchNamespace(p)
		}
	}
	if e.state != stateRemoved {
		return 0, entry{}, errNotRemoved(p)
	}
	return parent, e, nil
}

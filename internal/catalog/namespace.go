package catalog

import (
	"slices"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
)

// Ids with a meaning. They are on disk.
const (
	rootID keyspace.NamespaceID = 0
	// DefaultID is the default namespace's.
	DefaultID keyspace.NamespaceID = 1
	firstID   keyspace.NamespaceID = 2
)

// state of a namespace's row. The numbers are on disk.
type state byte

const (
	stateLive    state = 1
	stateRemoved state = 2
)

// entry is what a row says.
type entry struct {
	state state
	id    keyspace.NamespaceID
}

// Rows below keyspace.SysNextNamespace.
var (
	counterKey = []byte{keyspace.Sys, keyspace.SysNextNamespace, 0x00}
	epochKey   = []byte{keyspace.Sys, keyspace.SysNextNamespace, 0x01}
)

func childrenPrefix(parent keyspace.NamespaceID) []byte {
	return keyspace.AppendOrdered([]byte{keyspace.Sys, keyspace.SysNamespaceByPath}, uint64(parent))
}

func rowKey(parent keyspace.NamespaceID, name string) []byte {
	return append(childrenPrefix(parent), name...)
}

func (e entry) encode() []byte {
	return keyspace.AppendOrdered([]byte{byte(e.state)}, uint64(e.id))
}

func decodeEntry(b []byte) (entry, error) {
	if len(b) == 0 {
		return entry{}, corrupt("empty namespace row")
	}
	id, rest, ok := keyspace.DecodeOrdered(b[1:])
	e := entry{state: state(b[0]), id: keyspace.NamespaceID(id)}
	if !ok || len(rest) > 0 || e.state != stateLive && e.state != stateRemoved {
		return entry{}, corrupt("namespace row %x", b)
	}
	return e, nil
}

// child reads one edge. found is false when there is none.
func child(t kv.Reader, parent keyspace.NamespaceID, name string) (e entry, found bool, err error) {
	if parent == rootID && name == DefaultName {
		return entry{stateLive, DefaultID}, true, nil
	}
	value, err := t.Get(rowKey(parent, name))
	if err != nil || value == nil {
		return entry{}, false, err
	}
	e, err = decodeEntry(value)
	return e, err == nil, err
}

// walk follows the path as far as it exists: n segments, the last of which has
// id last. It fails at a namespace that is being removed.
func walk(t kv.Reader, p Path) (last keyspace.NamespaceID, n int, err error) {
	last = rootID
	for i, name := range p {
		e, found, err := child(t, last, name)
		if err != nil || !found {
			return last, i, err
		}
		if e.state == stateRemoved {
			return 0, i, BeingRemoved(p[:i+1])
		}
		last = e.id
	}
	return last, len(p), nil
}

// Resolve finds the namespace of a path. The rows that it read become read
// conflicts, so the transaction conflicts with whatever takes the path away.
func Resolve(t kv.Reader, p Path) (keyspace.NamespaceID, error) {
	id, n, err := walk(t, p)
	if err != nil {
		return 0, err
	}
	if n < len(p) {
		return 0, NoSuchNamespace(p)
	}
	return id, nil
}

// Exists reports whether the path leads to a namespace; one that is being removed
// is an error.
func Exists(t kv.Reader, p Path) (bool, error) {
	_, n, err := walk(t, p)
	return err == nil && n == len(p), err
}

// Create makes the namespace and the missing ones above it. ids must hold as many
// unused ids as the path has segments (Catalog.Reserve).
func Create(t kv.Txn, p Path, ids []keyspace.NamespaceID) (keyspace.NamespaceID, error) {
	if len(p) > limits.NamespaceDepth {
		return 0, ErrDepth
	}
	parent, n, err := walk(t, p)
	if err != nil {
		return 0, err
	}
	if n == len(p) {
		return 0, AlreadyExists(p)
	}
	return createBelow(t, parent, p[n:], ids), nil
}

func createBelow(t kv.Txn, parent keyspace.NamespaceID, names Path, ids []keyspace.NamespaceID) keyspace.NamespaceID {
	for i, name := range names {
		t.Set(rowKey(parent, name), entry{stateLive, ids[i]}.encode())
		parent = ids[i]
	}
	return parent
}

// lookup finds the row of the path itself: the id of its parent, which must not
// be removed, and the entry, which may be.
func lookup(t kv.Reader, p Path) (parent keyspace.NamespaceID, e entry, err error) {
	parent, n, err := walk(t, p[:len(p)-1])
	if err != nil {
		return 0, entry{}, err
	}
	if n < len(p)-1 {
		return 0, entry{}, NoSuchNamespace(p)
	}
	e, found, err := child(t, parent, p[len(p)-1])
	if err == nil && !found {
		err = NoSuchNamespace(p)
	}
	return parent, e, err
}

// bumpEpoch makes every session that works in one of the areas resolve its path and
// its database again.
func bumpEpoch(t kv.Txn, areas ...base.Span) {
	t.Atomic(base.OpAdd, epochKey, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	for _, area := range areas {
		t.AddWriteConflict(area) // every fence in it (F1)
	}
}

// allData is the span of all namespaces' data.
func allData() base.Span {
	return base.Span{Start: []byte{keyspace.Data}, End: []byte{keyspace.Data + 1}}
}

// belowMax is how many namespaces are told apart: a change of more concerns all data.
const belowMax = 64

// below is where the data of a namespace and of all below it lies.
func below(t kv.Reader, id keyspace.NamespaceID) ([]base.Span, error) {
	ids, err := subtree(t, id, belowMax)
	if err != nil || ids == nil {
		return []base.Span{allData()}, err
	}
	slices.Sort(ids)
	var areas []base.Span
	for i, id := range ids {
		area := base.PrefixSpan(keyspace.AppendNamespace(nil, id))
		if i > 0 && id == ids[i-1]+1 { // one reservation's ids follow one another
			areas[len(areas)-1].End = area.End
			continue
		}
		areas = append(areas, area)
	}
	return areas, nil
}

// subtree lists a namespace and all below it, nil when there are more than limit. A
// CREATE below it conflicts with the transaction.
func subtree(t kv.Reader, id keyspace.NamespaceID, limit int) ([]keyspace.NamespaceID, error) {
	ids := []keyspace.NamespaceID{id}
	for i := 0; i < len(ids); i++ {
		err := scanChildren(t, ids[i], "", limit-len(ids)+1, func(_ string, e entry) bool {
			ids = append(ids, e.id)
			return true
		})
		if err != nil || len(ids) > limit {
			return nil, err
		}
	}
	return ids, nil
}

// Remove marks the namespace as being removed, and with it everything below it.
// The data and the name stay until Purge.
func Remove(t kv.Txn, p Path) error {
	if p.IsDefault() {
		return errDefault("remove")
	}
	parent, e, err := lookup(t, p)
	if err != nil {
		return err
	}
	if e.state == stateRemoved {
		return BeingRemoved(p)
	}
	areas, err := below(t, e.id)
	if err != nil {
		return err
	}
	e.state = stateRemoved
	t.Set(rowKey(parent, p[len(p)-1]), e.encode())
	bumpEpoch(t, areas...)
	return nil
}

// Move gives the namespace, with everything below it, another path. Missing
// namespaces above the destination are created. ids must hold as many unused ids
// as the destination has segments.
func Move(t kv.Txn, from, to Path, ids []keyspace.NamespaceID) error {
	if from.IsDefault() {
		return errDefault("move")
	}
	if len(to) > limits.NamespaceDepth {
		return ErrDepth
	}
	parent, e, err := lookup(t, from)
	if err != nil {
		return err
	}
	if e.state == stateRemoved {
		return BeingRemoved(from)
	}
	above, n, err := walk(t, to)
	if err != nil {
		return err
	}
	if n == len(to) {
		return AlreadyExists(to)
	}
	if to.within(from) {
		return ErrMoveIntoItself
	}
	if len(to) > len(from) {
		if err := checkHeight(t, e.id, limits.NamespaceDepth-len(to)); err != nil {
			return err
		}
	}
	areas, err := below(t, e.id)
	if err != nil {
		return err
	}
	above = createBelow(t, above, to[n:len(to)-1], ids)
	t.Clear(rowKey(parent, from[len(from)-1]))
	t.Set(rowKey(above, to[len(to)-1]), e.encode())
	bumpEpoch(t, areas...)
	return nil
}

// moveScanRows bounds how many descendants MOVE looks at to learn how deep they go.
const moveScanRows = 10_000

// checkHeight fails when the tree below id has more than height levels.
func checkHeight(t kv.Reader, id keyspace.NamespaceID, height int) error {
	level, seen := []keyspace.NamespaceID{id}, 0
	for ; len(level) > 0; height-- {
		var next []keyspace.NamespaceID
		for _, parent := range level {
			err := scanChildren(t, parent, "", moveScanRows-seen+1, func(_ string, e entry) bool {
				next = append(next, e.id)
				return true
			})
			if err != nil {
				return err
			}
			if seen += 1; seen+len(next) > moveScanRows {
				return ErrMoveTooLarge
			}
		}
		if len(next) > 0 && height == 0 {
			return ErrDepth
		}
		level = next
	}
	return nil
}

// scanChildren visits the rows of a parent whose names are above after.
func scanChildren(t kv.Reader, parent keyspace.NamespaceID, after string, limit int, visit func(name string, e entry) bool) error {
	prefix := childrenPrefix(parent)
	span := base.PrefixSpan(prefix)
	if after != "" {
		span.Start = base.Next(rowKey(parent, after))
	}
	var bad error
	err := t.Scan(span, kv.ScanOptions{Limit: limit}, func(key, value []byte) bool {
		var e entry
		if e, bad = decodeEntry(value); bad != nil {
			return false
		}
		return visit(string(key[len(prefix):]), e)
	})
	if err == nil {
		err = bad
	}
	return err
}

// List returns up to limit names below a path, an empty path meaning the root, in
// order, beginning above after. The names of those being removed are among them:
// they are taken, and can be purged.
func List(t kv.Reader, p Path, after string, limit int) (names []string, err error) {
	parent := rootID
	if len(p) > 0 {
		if parent, err = Resolve(t, p); err != nil {
			return nil, err
		}
	}
	pending := parent == rootID && after < DefaultName // the default namespace has no row
	err = scanChildren(t, parent, after, limit, func(name string, _ entry) bool {
		if pending && name > DefaultName {
			names, pending = append(names, DefaultName), false
		}
		names = append(names, name)
		return true
	})
	if pending && len(names) < limit {
		names = append(names, DefaultName)
	}
	return names[:min(len(names), limit)], err
}

package sim

import (
	"encoding/binary"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/coordinator"
	"github.com/stratadb/strata/test/history"
)

// The bank has an account beside every list, so most often in different ranges. Money is
// moved, and none appears or goes: whatever stamp somebody reads at.

// opening is what an account holds until something is moved.
const opening = 100

func accountKey(n int) []byte { return []byte(listKey(n) + "$") }

func isAccount(key string) bool { return key[len(key)-1] == '$' }

func balance(value []byte) int64 {
	if value == nil {
		return opening
	}
	return int64(binary.BigEndian.Uint64(value))
}

// transfer moves money from one account to another one.
func (g *group) transfer(m *member) {
	var q coordinator.Request
	var err error
	if q.At, err = m.reach.Stamp(); err != nil {
		return
	}
	amount := 1 + g.rnd.Int64N(opening)
	for i, n := range g.rnd.Perm(lists)[:2] {
		key := accountKey(n)
		v, err := m.reach.read(key, q.At)
		if err != nil {
			return
		}
		b := balance(v)
		if i == 0 {
			amount = min(amount, b)
			b -= amount
		} else {
			b += amount
		}
		q.ReadKeys = append(q.ReadKeys, key)
		q.Mutations = append(q.Mutations, base.Mutation{Op: base.OpSet, Key: key, Value: binary.BigEndian.AppendUint64(nil, uint64(b))})
	}
	if _, err = m.coordinator.Commit(&q); err == nil {
		g.res.Moved++
	}
	g.note("moves %d at node %d: %v", amount, m.id, err)
}

// audit looks at everything at a stamp: it counts the money, and reads the lists.
func (g *group) audit(m *member) {
	op := g.newOp()
	op.Outcome = history.Failed // until all is read
	at, err := m.reach.Stamp()
	if err != nil {
		return
	}
	for n := range lists {
		v, err := m.reach.read([]byte(listKey(n)), at)
		if err != nil {
			return
		}
		op.Reads[listKey(n)] = decode(v)
	}
	g.ended(m, op, nil)
	var total int64
	for n := range lists {
		v, err := m.reach.read(accountKey(n), at)
		if err != nil {
			return
		}
		total += balance(v)
	}
	g.res.Audits++
	g.count(total)
}

// countAll counts the money in the end.
func (g *group) countAll(final map[string][]uint32) {
	var total int64
	for n := range lists {
		var value []byte
		for _, half := range final[string(accountKey(n))] {
			value = binary.BigEndian.AppendUint32(value, half)
		}
		total += balance(value)
	}
	g.count(total)
}

func (g *group) count(total int64) {
	if total != lists*opening {
		g.astray = errors.CombineErrors(g.astray, errors.Newf("the bank holds %d, not %d", total, lists*opening))
	}
}

package redis

import (
	"bytes"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/redisnum"
)

// SAdd is SADD: the number of new members.
func SAdd(t kv.Txn, db *DB, key []byte, members [][]byte) (added int64, err error) {
	var x hashEdit
	x.hint = min(pairsHint(members, db.Options.HashInlineBytes)+len(members), db.Options.HashInlineBytes)
	if err := x.openAs(t, db, key, TypeSet); err != nil {
		return 0, err
	}
	for _, m := range members { // before the first one is written
		if x.FieldTooLong(m) {
			return 0, ErrKeyTooLong
		}
	}
	x.expectMembers(members)
	for _, m := range members {
		fresh, err := x.add(m)
		if err != nil {
			return 0, err
		}
		if fresh {
			added++
		}
	}
	if err := x.finish(); err != nil {
		return 0, err
	}
	if added > 0 {
		x.Event(EventSet, "sadd")
	}
	return added, nil
}

// expectMembers notes what Redis would choose for a new set of so many members.
func (x *hashEdit) expectMembers(members [][]byte) {
	if x.Found {
		return
	}
	most := listpackMembers
	if _, ok := redisnum.ParseInt(members[0]); ok {
		most = intsetMembers
	}
	x.w.Wide = len(members) > most
}

// add adds a member and reports whether it is new.
func (x *hashEdit) add(member []byte) (bool, error) {
	if _, found, err := x.get(member); err != nil || found {
		return false, err
	}
	return true, x.addNew(member)
}

// addNew adds a member that is not there.
func (x *hashEdit) addNew(member []byte) error {
	if x.w.Enc != encRows {
		_, err := x.set(member, nil, 0)
		return err
	}
	x.dirty = true
	x.putRow(member, nil, 0)
	x.widen(member, nil)
	return nil
}

// SRem is SREM: the number of members that it removed.
func SRem(t kv.Txn, db *DB, key []byte, members [][]byte) (int64, error) {
	return deleteFields(t, db, key, TypeSet, members, EventSet, "srem")
}

// SMove is SMOVE: whether the member was in the first set, and is in the second now.
func SMove(t kv.Txn, db *DB, from, to, member []byte) (bool, error) {
	var x, y hashEdit
	if err := x.openAs(t, db, from, TypeSet); err != nil || !x.Found {
		return false, err
	}
	_, found, err := x.Field(t, member)
	if bytes.Equal(from, to) {
		return found, err
	}
	if err == nil {
		err = y.openAs(t, db, to, TypeSet)
	}
	switch {
	case err != nil || !found:
		return false, err
	case y.FieldTooLong(member):
		return false, ErrKeyTooLong
	}
	if _, err := x.del(member); err != nil {
		return false, err
	}
	x.Event(EventSet, "srem")
	if err := x.finish(); err != nil {
		return false, err
	}
	added, err := y.add(member)
	if err == nil {
		err = y.finish()
	}
	if err == nil && added {
		y.Event(EventSet, "sadd")
	}
	return true, err
}

// SIsMember is SISMEMBER.
func SIsMember(t kv.Txn, db *DB, key, member []byte) (bool, error) {
	var e Entry
	if err := e.ReadAs(t, db, key, TypeSet); err != nil {
		return false, err
	}
	_, found, err := e.Field(t, member)
	return found, err
}

// SMIsMember is SMISMEMBER: 1 or 0 for each member is appended to dst.
func SMIsMember(t kv.Txn, db *DB, key []byte, members [][]byte, dst []int64) ([]int64, error) {
	var e Entry
	if err := e.ReadAs(t, db, key, TypeSet); err != nil {
		return nil, err
	}
	for _, m := range members {
		_, found, err := e.Field(t, m)
		if err != nil {
			return nil, err
		}
		n := int64(0)
		if found {
			n = 1
		}
		dst = append(dst, n)
	}
	return dst, nil
}

// SCard is SCARD.
func SCard(t kv.Txn, db *DB, key []byte) (int64, error) { return countFields(t, db, key, TypeSet) }

// SMembers is SMEMBERS: all members are appended to dst.
func SMembers(t kv.Txn, db *DB, key []byte, dst [][]byte) ([][]byte, error) {
	var e Entry
	if err := e.ReadAs(t, db, key, TypeSet); err != nil {
		return nil, err
	}
	return e.members(t, dst)
}

func (e *Entry) members(t kv.Txn, dst [][]byte) ([][]byte, error) {
	err := e.Fields(t, func(f *HashField) { dst = append(dst, f.Field) })
	return dst, err
}

// SRandMember is SRANDMEMBER with a count: that many different members, or for a
// negative count -count members that may repeat, appended to dst as fields.
func SRandMember(t kv.Txn, db *DB, key []byte, count int64, r Rand, dst []FieldValue) ([]FieldValue, error) {
	return readRandomFields(t, db, key, TypeSet, count, r, dst)
}

// SPop is SPOP: up to count members, which it removes, appended to dst as fields.
func SPop(t kv.Txn, db *DB, key []byte, count int64, r Rand, dst []FieldValue) ([]FieldValue, error) {
	var x hashEdit
	if err := x.openAs(t, db, key, TypeSet); err != nil || !x.Found || count == 0 {
		return dst, err
	}
	if x.w.Enc == encRows && count == 1 && x.fields > 1 && db.Options.Samples != nil {
		member, found, err := x.sample(t, x.fields, r)
		if err != nil {
			return nil, err
		}
		if found {
			x.Event(EventSet, "spop")
			x.delRow(&HashField{Field: member})
			return append(dst, FieldValue{Field: member}), x.finish()
		}
	}
	before := len(dst)
	dst, err := x.randomFields(t, count, r, dst)
	if err != nil {
		return nil, err
	}
	popped := dst[before:]
	x.Event(EventSet, "spop")
	if int64(len(popped)) == x.fields {
		x.Remove(t)
		x.Event(EventGeneric, "del")
		return dst, nil
	}
	for i := range popped {
		popped[i].Field = bytes.Clone(popped[i].Field) // del moves the body
	}
	for i := range popped {
		if _, err := x.del(popped[i].Field); err != nil {
			return nil, err
		}
	}
	return dst, x.finish()
}

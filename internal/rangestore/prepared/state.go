package prepared

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// stateVersion is the format of a table; it is on disk and in snapshots.
const stateVersion = 1

// Append appends the binary form of the committed table: what a snapshot carries
// (V3). Two replicas at the same index write the same bytes. Positions are left
// out: everything is committed.
//
//	version, horizons, held prepares with their stamps, fates; both by id
func (t *Table) Append(dst []byte) []byte {
	if len(t.tail) > 0 {
		t = t.Clone()
		t.DropTail()
	}
	dst = append(dst, stateVersion)
	dst = appendStamp(appendStamp(dst, t.retain.Refuse), t.retain.Forget)
	dst = binary.AppendUvarint(dst, uint64(len(t.held)))
	for _, id := range sortedIDs(t.held) {
		h := t.held[id]
		dst = appendBytes(appendStamp(dst, h.Stamp), h.Prepare.Append(nil))
	}
	dst = binary.AppendUvarint(dst, uint64(len(t.fates)))
	for _, id := range sortedIDs(t.fates) {
		f := t.fates[id]
		dst = appendStamp(appendStamp(append(dst, f.ID[:]...), f.Begin), f.Commit)
		if f.Open == nil {
			dst = append(dst, 0)
		} else {
			dst = f.Open.append(append(dst, 1))
		}
	}
	return dst
}

func sortedIDs[V any](m map[TxnID]V) []TxnID {
	ids := make([]TxnID, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b TxnID) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

// DecodeTable reads what Append of a table wrote. The table shares memory with b.
func DecodeTable(b []byte) (*Table, error) {
	d := decoder{b: b}
	t := New()
	if d.byte() != stateVersion {
		d.fail()
	}
	t.retain = Retain{Refuse: d.stamp(), Forget: d.stamp()}
	if t.retain.Forget > t.retain.Refuse {
		d.fail()
	}
	var last TxnID
	d.list(func() { last = d.held(t, last) })
	last = TxnID{}
	d.list(func() { last = d.fate(t, last) })
	if err := d.end("table"); err != nil {
		return nil, err
	}
	return t, nil
}

// ascending fails unless id follows last.
func (d *decoder) ascending(last, id TxnID) {
	if bytes.Compare(last[:], id[:]) >= 0 {
		d.fail()
	}
}

func (d *decoder) held(t *Table, last TxnID) TxnID {
	stamp := d.stamp()
	inner := decoder{b: d.bytes(entryBytesMax)}
	p, ok := inner.entry().(*Prepare)
	if !ok || inner.end("prepare") != nil || stamp == 0 {
		d.fail()
		return last
	}
	d.ascending(last, p.ID)
	if t.hold(&Held{Prepare: *p, Stamp: stamp}) != nil {
		d.fail()
	}
	return p.ID
}

func (d *decoder) fate(t *Table, last TxnID) TxnID {
	f := &Fate{ID: d.id(), Begin: d.stamp(), Commit: d.stamp()}
	switch d.byte() {
	case 0:
	case 1:
		open := d.txn()
		f.Open = &open
		if open.ID != f.ID || open.Begin != f.Begin {
			d.fail()
		}
	default:
		d.fail()
	}
	d.ascending(last, f.ID)
	t.fates[f.ID] = f
	return f.ID
}

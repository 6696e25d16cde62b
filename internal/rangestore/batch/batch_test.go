package batch

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/stratadb/strata/internal/base"
)

// sample is a batch of two transactions, with an entry of a table or without.
func sample(entry bool) []byte {
	var b Builder
	b.Reset(0)
	b.Begin()
	b.Add(base.OpSet, []byte("key"), []byte("value"))
	b.Add(base.OpClearRange, []byte("a"), []byte("b"))
	b.Begin()
	if entry {
		b.Add(OpEntry, nil, []byte("entry"))
	} else {
		b.Add(base.OpClear, []byte("k"), nil)
	}
	b.Finish(Header{Kind: KindTransactions, Term: 3, Previous: 7, Stamp: 9, PrevStamp: 8})
	return b.Buf
}

// TestFormats: what was written before there were entries is still read, and says
// the format that its readers know.
func TestFormats(t *testing.T) {
	for _, entry := range []bool{false, true} {
		buf := sample(entry)
		if want := map[bool]byte{false: 1, true: 2}[entry]; buf[0] != want {
			t.Errorf("format %d, want %d", buf[0], want)
		}
		h, err := DecodeHeader(buf)
		if err != nil || h.Entries != entry || h.Transactions != 2 || h.Mutations != 3 || h.Last() != 9 {
			t.Fatalf("%+v, %v", h, err)
		}
		var ops []base.MutationOp
		if err := Records(buf, func(r Record) { ops = append(ops, r.Op) }); err != nil || len(ops) != 3 {
			t.Fatalf("%v, %v", ops, err)
		}
	}
	old := sample(true)
	old[0] = formatVersion
	if err := Records(old, func(Record) {}); err == nil {
		t.Error("an entry in a batch of the first format is accepted")
	}
	if _, err := DecodeHeader(append([]byte{3}, sample(false)[1:]...)); err == nil {
		t.Error("a later format is accepted")
	}
}

// splitting is a batch that ends with a split.
func splitting() []byte {
	var b Builder
	b.Reset(0)
	b.Begin()
	b.Add(base.OpSet, []byte("key"), []byte("value"))
	b.Begin()
	b.AddChange(Split{Key: []byte("m"), Right: 300, Epoch: 4})
	b.Finish(Header{Kind: KindTransactions, Term: 3, Previous: 7, Stamp: 9, PrevStamp: 8})
	return b.Buf
}

// TestSplit: a split comes back as it was, its batch counts it as a transaction, and
// shows its other transactions only.
func TestSplit(t *testing.T) {
	buf := splitting()
	h, err := DecodeHeader(buf)
	if err != nil || h.Kind != KindSplit || h.Last() != 9 {
		t.Fatalf("%+v, %v", h, err)
	}
	c, err := DecodeChange(buf)
	if x, ok := c.(Split); err != nil || !ok || string(x.Key) != "m" || x.Right != 300 || x.Epoch != 4 {
		t.Fatalf("%+v, %v", c, err)
	}
	n := 0
	if err := Records(buf, func(Record) { n++ }); err != nil || n != 1 {
		t.Fatalf("%d records, %v", n, err)
	}
	if _, err := DecodeChange(sample(false)); err == nil {
		t.Error("a batch without a change has one")
	}
	more := append(bytes.Clone(buf), byte(base.OpClear), 1, 'k', 0)
	if err := Records(more, func(Record) {}); err == nil {
		t.Error("something behind a split is accepted")
	}
}

// TestChanges: every change comes back as it was.
func TestChanges(t *testing.T) {
	frozen := base.RangeDescriptor{ID: 9, Epoch: 12, Span: base.Span{Start: []byte("m"), End: []byte("z")}, NextReplica: 4,
		Replicas: []base.ReplicaDescriptor{{Node: 1, Replica: 3}}, EndEpoch: 7, Frozen: base.Freeze{Left: 2, Epoch: 11}}
	for _, want := range []Change{
		Split{Key: []byte("m"), Right: 300, Epoch: 4},
		Freeze{For: base.Freeze{Left: 2, Epoch: 11}, Epoch: 300},
		Thaw{Epoch: 300},
		Refuse{Epoch: 11},
		Merge{Right: frozen, Index: 1000, Term: 6, Position: 5000, Stamp: 70000, Epoch: 11},
	} {
		var b Builder
		b.Reset(0)
		b.Begin()
		b.AddChange(want)
		b.Finish(Header{Term: 3, Previous: 7, Stamp: 9, PrevStamp: 8})
		got, err := DecodeChange(b.Buf)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
		if err := Records(b.Buf, func(Record) { t.Error("a change is shown as a record") }); err != nil {
			t.Error(err)
		}
		if _, err := DecodeChange(append(b.Buf, 0)); err == nil {
			t.Errorf("%T: something behind it is accepted", want)
		}
	}
}

// FuzzRecords: no input panics, and every slice lies inside the batch.
func FuzzRecords(f *testing.F) {
	f.Add(sample(false))
	f.Add(sample(true))
	f.Add(splitting())
	f.Fuzz(func(t *testing.T, buf []byte) {
		given := bytes.Clone(buf)
		_ = Records(buf, func(r Record) { _, _ = r.Key.In(buf), r.Value.In(buf) })
		_, _ = DecodeChange(buf)
		if !bytes.Equal(given, buf) {
			t.Fatal("decoding changes the batch")
		}
	})
}

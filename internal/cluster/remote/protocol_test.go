package remote

import (
	"reflect"
	"testing"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/prepared"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

func sampleEntries() []prepared.Entry {
	txn := prepared.Txn{ID: prepared.TxnID{9}, Begin: 4, Priority: 3, Anchor: []byte("a"),
		Participants: []base.Span{{Start: []byte("a"), End: []byte("c")}}}
	return []prepared.Entry{
		&prepared.Prepare{Txn: txn, ReadStamp: 4, ReadKeys: [][]byte{[]byte("b")},
			Mutations: []base.Mutation{{Op: base.OpAdd, Key: []byte("a"), Value: []byte{1}}}},
		&prepared.Record{Txn: txn, Commit: 8},
		&prepared.Resolve{ID: txn.ID, Begin: 4, Commit: 8},
		&prepared.Settled{ID: txn.ID},
	}
}

// TestProtocolRoundTrip: what is appended is decoded, end of the keyspace and absent
// parts included.
func TestProtocolRoundTrip(t *testing.T) {
	read := Read{Range: 4, At: 7, Span: base.Span{Start: []byte("a")}, Reverse: true, Limit: 9}
	if got, err := decodeRead(read.append(nil)); err != nil || got.Span.End != nil || !got.Reverse || got.Limit != 9 || got.At != 7 || got.Range != 4 {
		t.Errorf("%+v %v", got, err)
	}
	keys := Read{Range: 4, At: 7, Keys: [][]byte{[]byte("a"), {}}}
	if got, err := decodeRead(keys.append(nil)); err != nil || !reflect.DeepEqual(got, keys) {
		t.Errorf("%+v %v", got, err)
	}
	pairs := Pairs{Basis: replica.Basis{Range: 6, Term: 3, Pos: 4}, NowMillis: 5, More: true, Pairs: []base.KeyValue{{Key: []byte("k"), Value: []byte("v")}}}
	if got, err := decodePairs(pairs.append(nil)); err != nil || !reflect.DeepEqual(got, pairs) {
		t.Errorf("%+v %v", got, err)
	}
	commit := Commit{Range: 4, Place: []byte("p"), At: 1, Basis: replica.Basis{Range: 6, Term: 2, Pos: 3}, ReadKeys: [][]byte{[]byte("r")}, ReadSpans: []base.Span{{Start: []byte("s"), End: []byte("t")}},
		Mutations: []base.Mutation{{Op: base.OpSet, Key: []byte("k"), Value: []byte("v")}}, Session: 8, Number: 9, Guards: []uint64{1 << 63}}
	if got, err := decodeCommit(commit.append(nil)); err != nil || !reflect.DeepEqual(got, commit) {
		t.Errorf("%+v %v", got, err)
	}
	done := Committed{Stamped: true, Version: base.Versionstamp{1, 9: 2}, Dirty: []uint64{4}}
	if got, err := decodeCommitted(done.append(nil)); err != nil || !reflect.DeepEqual(got, done) {
		t.Errorf("%+v %v", got, err)
	}
	for _, e := range sampleEntries() {
		q := entryRequest{Key: []byte("k"), Guards: []uint64{3}, Entry: e}
		if got, err := decodeEntryRequest(q.append(nil)); err != nil || !reflect.DeepEqual(got, q) {
			t.Errorf("%+v %v", got, err)
		}
	}
	answer := entryAnswer{Commit: 7, Held: base.Span{Start: []byte("a"), End: []byte("b")}}
	if got, err := decodeEntryAnswer(answer.append(nil)); err != nil || !reflect.DeepEqual(got, answer) {
		t.Errorf("%+v %v", got, err)
	}
	for code, want := range verdicts {
		refused, err := judged(nil, errors.Wrap(want, "why"))
		if err != nil || refused[0] != answerOK {
			t.Fatalf("verdict %d: %v %v", code, refused, err)
		}
		if _, err := decodeEntryAnswer(refused[1:]); !errors.Is(err, want) {
			t.Errorf("verdict %d is %v", code, err)
		}
	}
	snap := &replica.Snapshot{Term: 6, Pairs: pairs.Pairs, State: replica.State{Applied: 5, Position: 4, Stamp: 3, Readable: 2, Table: []byte("t"), Received: true,
		Range: base.RangeDescriptor{ID: 1, Epoch: 2, Span: base.Span{Start: []byte{1}, End: []byte{5}}, NextReplica: 3,
			Replicas: []base.ReplicaDescriptor{{Node: 1, Replica: 2, Role: base.Learner}}}}}
	if got, err := decodeSnapshot(appendSnapshot(nil, snap)); err != nil || !reflect.DeepEqual(got, snap) {
		t.Errorf("%+v %v", got, err)
	}
}

// FuzzProtocol: no bytes of another node make a decoder panic, and what is understood
// is understood again in the same way.
func FuzzProtocol(f *testing.F) {
	f.Add((&Read{Keys: [][]byte{[]byte("k")}}).append(nil))
	f.Add((&Commit{Mutations: []base.Mutation{{Op: base.OpSet, Key: []byte("k")}}}).append(nil))
	for _, e := range sampleEntries() {
		f.Add((&entryRequest{Key: []byte("k"), Guards: []uint64{3}, Entry: e}).append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := decodeCommit(b); err == nil {
			if again, err := decodeCommit(c.append(nil)); err != nil || len(again.Mutations) != len(c.Mutations) {
				t.Fatalf("%+v, then %+v %v", c, again, err)
			}
		}
		if r, err := decodeRead(b); err == nil {
			if again, err := decodeRead(r.append(nil)); err != nil || !reflect.DeepEqual(again, r) {
				t.Fatalf("%+v, then %+v %v", r, again, err)
			}
		}
		if q, err := decodeEntryRequest(b); err == nil {
			if again, err := decodeEntryRequest(q.append(nil)); err != nil || !reflect.DeepEqual(again, q) {
				t.Fatalf("%+v, then %+v %v", q, again, err)
			}
		}
		_, _ = decodeEntryAnswer(b)
		_, _ = decodePairs(b)
		_, _ = decodeCommitted(b)
		_, _ = decodeSnapshot(b)
		_, _ = payload(b)
	})
}

package kvgrpc

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/model/zmap"
	"github.com/stratadb/strata/proto"
)

func (f *fixture) begin() string {
	f.t.Helper()
	return no[*proto.BeginResponse](f.t)(f.kv.Begin(context.Background(), &proto.BeginRequest{})).GetTransactionId()
}

func (f *fixture) get(id, key string, snapshot bool) (string, error) {
	resp, err := f.kv.Read(context.Background(), &proto.ReadRequest{TransactionId: id, Snapshot: snapshot,
		Operation: &proto.ReadRequest_Get{Get: &proto.GetOperation{Key: []byte(key)}}})
	if err == nil && !resp.GetGet().GetExists() {
		return "absent", nil
	}
	return string(resp.GetGet().GetValue()), err
}

func (f *fixture) mustGet(id, key, want string) {
	f.t.Helper()
	if got, err := f.get(id, key, false); err != nil || got != want {
		f.t.Errorf("%s is %q, %v; want %q", key, got, err, want)
	}
}

func (f *fixture) write(id string, mutations ...*proto.Mutation) error {
	_, err := f.kv.Write(context.Background(), &proto.WriteRequest{TransactionId: id, Mutations: mutations})
	return err
}

func put(key, value string) *proto.Mutation {
	return &proto.Mutation{Operation: &proto.Mutation_Put{Put: &proto.KeyValue{Key: []byte(key), Value: []byte(value)}}}
}

func atomically(kind proto.AtomicOperation_Kind, key string, operand []byte) *proto.Mutation {
	return &proto.Mutation{Operation: &proto.Mutation_Atomic{Atomic: &proto.AtomicOperation{Kind: kind, Key: []byte(key), Operand: operand}}}
}

func (f *fixture) commit(id string) (*proto.CommitResponse, error) {
	return f.kv.Commit(context.Background(), &proto.CommitRequest{TransactionId: id})
}

func TestInteractive(t *testing.T) {
	onEngines(t, func(t *testing.T, f *fixture) {
		ctx := t.Context()
		no[*proto.RawPutResponse](t)(f.raw.RawPut(ctx, &proto.RawPutRequest{Key: []byte("old1"), Value: []byte("x")}))
		no[*proto.RawPutResponse](t)(f.raw.RawPut(ctx, &proto.RawPutRequest{Key: []byte("old2"), Value: []byte("y")}))
		id := f.begin()
		f.mustGet(id, "new", "absent")
		one := binary.LittleEndian.AppendUint64(nil, 1)
		template := append(make([]byte, base.VersionstampLen), 0, 0, 0, 0)
		if err := f.write(id,
			put("new", "1"), atomically(proto.AtomicOperation_KIND_ADD, "n", one), atomically(proto.AtomicOperation_KIND_ADD, "n", one),
			&proto.Mutation{Operation: &proto.Mutation_Delete{Delete: []byte("old1")}},
			&proto.Mutation{Operation: &proto.Mutation_DeleteRange{DeleteRange: &proto.KeyRange{Start: []byte("old2"), End: []byte("p")}}},
		); err != nil {
			t.Fatal(err)
		}
		f.mustGet(id, "new", "1")
		f.mustGet(id, "old1", "absent")
		f.mustGet(id, "n", "\x02\x00\x00\x00\x00\x00\x00\x00")
		scanned := no[*proto.ReadResponse](t)(f.kv.Read(ctx, &proto.ReadRequest{TransactionId: id,
			Operation: &proto.ReadRequest_Scan{Scan: &proto.ScanOperation{Reverse: true}}}))
		if keysOf(scanned.GetScan().GetPairs()) != "new n" {
			t.Errorf("scanned %v", scanned)
		}
		if err := f.write(id, atomically(proto.AtomicOperation_KIND_SET_VERSIONSTAMPED_VALUE, "stamp", template)); err != nil {
			t.Fatal(err)
		}
		_, err := f.get(id, "stamp", false)
		refused(t, err, codes.FailedPrecondition, "UNREADABLE")
		if got := no[*proto.RawGetResponse](t)(f.raw.RawGet(ctx, &proto.RawGetRequest{Key: []byte("new")})); got.GetExists() {
			t.Error("others see it before the commit")
		}
		c := no[*proto.CommitResponse](t)(f.commit(id))
		got := no[*proto.GetResponse](t)(f.kv.Get(ctx, &proto.GetRequest{Key: []byte("stamp")}))
		if c.GetVersion() == 0 || string(got.GetValue()) != string(c.GetVersionstamp()) || got.GetVersion() < c.GetVersion() {
			t.Errorf("committed %v, got %v", c, got)
		}
		_, err = f.commit(id)
		refused(t, err, codes.NotFound, "NO_TRANSACTION")

		id = f.begin()
		if err := f.write(id, put("new", "2")); err != nil {
			t.Fatal(err)
		}
		no[*proto.RollbackResponse](t)(f.kv.Rollback(ctx, &proto.RollbackRequest{TransactionId: id}))
		_, err = f.get(id, "new", false)
		refused(t, err, codes.NotFound, "NO_TRANSACTION")
		id = f.begin()
		f.mustGet(id, "new", "1")
		if c := no[*proto.CommitResponse](t)(f.commit(id)); c.GetVersion() != 0 || len(c.GetVersionstamp()) != 0 {
			t.Errorf("a transaction that only read was committed as %v", c)
		}
	})
}

// TestConflict: of two transactions that read what the other one writes exactly one
// commits; snapshot reads do not count.
func TestConflict(t *testing.T) {
	onEngines(t, func(t *testing.T, f *fixture) {
		for _, snapshot := range []bool{false, true} {
			a, b := f.begin(), f.begin()
			for _, id := range []string{a, b} {
				for _, key := range []string{"x", "y"} {
					if _, err := f.get(id, key, snapshot); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := f.write(a, put("x", "a")); err != nil {
				t.Fatal(err)
			}
			if err := f.write(b, put("y", "b")); err != nil {
				t.Fatal(err)
			}
			var wait sync.WaitGroup
			var errs [2]error
			for i, id := range []string{a, b} {
				wait.Go(func() { _, errs[i] = f.commit(id) })
			}
			wait.Wait()
			committed := 0
			for _, err := range errs {
				if err == nil {
					committed++
				} else {
					refused(t, err, codes.Aborted, "CONFLICT")
				}
			}
			if want := map[bool]int{false: 1, true: 2}[snapshot]; committed != want {
				t.Errorf("snapshot reads %v: %d committed", snapshot, committed)
			}
		}
	})
}

// TestExpiry: what is too old is rolled back and says so for a while.
func TestExpiry(t *testing.T) {
	f := serve(t, memory(), Options{})
	ts := f.s.transactions
	ts.most = 3
	used, idle, committed := f.begin(), f.begin(), f.begin()
	for _, id := range []string{used, idle, committed} {
		if err := f.write(id, put("k", id)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := f.kv.Begin(t.Context(), &proto.BeginRequest{})
	refused(t, err, codes.ResourceExhausted, "TOO_MANY_TRANSACTIONS")
	f.ahead.Add(int64(limits.TransactionMaxAge + time.Millisecond))
	refused(t, f.write(used, put("k", "v")), codes.Aborted, "EXPIRED")
	_, err = f.commit(committed)
	refused(t, err, codes.Aborted, "EXPIRED")
	ts.sweep()
	if ts.mu.open != 0 || ts.held.Load() != 0 {
		t.Errorf("%d open, %d bytes", ts.mu.open, ts.held.Load())
	}
	_, err = f.get(idle, "k", false)
	refused(t, err, codes.Aborted, "EXPIRED")
	f.begin()
	f.ahead.Add(int64(limits.GRPCTransactionMemory))
	ts.sweep()
	_, err = f.get(idle, "k", false)
	refused(t, err, codes.NotFound, "NO_TRANSACTION")
	if got := no[*proto.RawGetResponse](t)(f.raw.RawGet(t.Context(), &proto.RawGetRequest{Key: []byte("k")})); got.GetExists() {
		t.Error("an expired transaction has written")
	}
}

func TestRefusedWrites(t *testing.T) {
	f := serve(t, memory(), Options{})
	id := f.begin()
	refused(t, f.write(id, &proto.Mutation{}), codes.InvalidArgument, "NO_OPERATION")
	refused(t, f.write(id, atomically(0, "k", nil)), codes.InvalidArgument, "NO_OPERATION")
	refused(t, f.write(id, atomically(proto.AtomicOperation_KIND_SET_VERSIONSTAMPED_KEY, "k", nil)), codes.InvalidArgument, "INVALID_MUTATION")
	refused(t, f.write(id, &proto.Mutation{Operation: &proto.Mutation_DeleteRange{
		DeleteRange: &proto.KeyRange{Start: []byte("b"), End: []byte("a")}}}), codes.InvalidArgument, "INVALID_RANGE")
	_, err := f.kv.Read(t.Context(), &proto.ReadRequest{TransactionId: id})
	refused(t, err, codes.InvalidArgument, "NO_OPERATION")
	refused(t, f.write("nope", put("k", "v")), codes.NotFound, "NO_TRANSACTION")

	value := string(make([]byte, zmap.ValueBytes))
	err = nil
	for i := 0; err == nil && i < 100; i++ {
		var many []*proto.Mutation
		for j := range 40 {
			many = append(many, put(fmt.Sprint(i, j), value))
		}
		err = f.write(id, many...)
	}
	refused(t, err, codes.ResourceExhausted, "TRANSACTION_TOO_LARGE")
	_, err = f.commit(id)
	refused(t, err, codes.ResourceExhausted, "TRANSACTION_TOO_LARGE")

	id = f.begin()
	f.s.transactions.held.Add(limits.GRPCTransactionsBytes + 1)
	refused(t, f.write(id, put("k", "v")), codes.ResourceExhausted, "TRANSACTIONS_TOO_LARGE")
	f.mustGet(id, "k", "absent")
}

// TestTurns: calls on one transaction wait for each other, as long as their
// deadlines allow, and a panic in one ends the transaction.
func TestTurns(t *testing.T) {
	f := serve(t, memory(), Options{})
	ts, id := f.s.transactions, f.begin()
	working, finish, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		_ = ts.use(context.Background(), id, func(*kv.Tx) error {
			close(working)
			<-finish
			panic("in the middle")
		})
	}()
	<-working
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := f.kv.Rollback(ctx, &proto.RollbackRequest{TransactionId: id}); status.Code(err) != codes.DeadlineExceeded {
		t.Error(err)
	}
	close(finish)
	<-done
	_, err := f.commit(id)
	refused(t, err, codes.NotFound, "NO_TRANSACTION")
	if ts.mu.open != 0 {
		t.Errorf("%d open", ts.mu.open)
	}
}

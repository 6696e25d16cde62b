package client_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/stratadb/strata/client"
	"github.com/stratadb/strata/internal/api/kvgrpc"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
	"github.com/stratadb/strata/proto"
)

// server is what a test serves.
type server interface {
	Serve(l net.Listener) error
}

// dial serves s on loopback and connects to it.
func dial(t testing.TB, s server, stop func() error, o client.Options) *client.Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c, err := client.Dial(l.Addr().String(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(c.Close(), stop(), <-served); err != nil {
			t.Error(err)
		}
	})
	return c
}

// node is a client of a server over the real engine.
func node(t testing.TB, password string, o client.Options) *client.Client {
	t.Helper()
	s, err := store.Open(store.Options{FS: vfs.NewMem(), Dir: "data", OnFatal: func(err error) { t.Errorf("fatal: %+v", err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	door := kvgrpc.New(kvgrpc.Options{DB: kv.New(kvrange.New(s), time.Now), Password: password})
	return dial(t, door, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		return door.Shutdown(ctx)
	}, o)
}

func TestOperations(t *testing.T) {
	c, ctx := node(t, "secret", client.Options{Password: "secret"}), t.Context()
	if v, err := c.Get(ctx, []byte("k")); v != nil || err != nil {
		t.Errorf("absent: %q, %v", v, err)
	}
	for i := range 9 {
		if err := c.Put(ctx, fmt.Append(nil, i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := c.Get(ctx, []byte("3")); v == nil || len(v) != 0 || err != nil {
		t.Errorf("empty: %q, %v", v, err)
	}
	if err := c.Delete(ctx, []byte("3")); err != nil {
		t.Error(err)
	}
	scan := func(r client.Range, stop string) string {
		var keys strings.Builder
		if err := c.Scan(ctx, r, func(key, _ []byte) bool { keys.Write(key); return string(key) != stop }); err != nil {
			t.Error(err)
		}
		return keys.String()
	}
	for want, got := range map[string]string{
		"01245678": scan(client.Range{}, ""),
		"2456":     scan(client.Range{Start: []byte("2"), End: []byte("7")}, ""),
		"876":      scan(client.Range{Limit: 3, Reverse: true}, ""),
		"0124":     scan(client.Range{}, "4"),
	} {
		if got != want {
			t.Errorf("scanned %q, want %q", got, want)
		}
	}
	if err := c.Put(ctx, make([]byte, 20_000), nil); !errors.Is(err, client.ErrTooLarge) || errors.Is(err, client.ErrUnknownOutcome) {
		t.Error(err)
	}
	if err := c.Put(ctx, nil, make([]byte, 8<<20)); !errors.Is(err, client.ErrTooLarge) {
		t.Error(err)
	}
	if _, err := c.Namespace("nope").Get(ctx, nil); !errors.Is(err, client.ErrNoNamespace) || status.Code(err) != codes.NotFound {
		t.Error(err)
	}
}

func TestDenied(t *testing.T) {
	c := node(t, "secret", client.Options{Password: "wrong"})
	if err := c.Put(t.Context(), nil, nil); !errors.Is(err, client.ErrDenied) {
		t.Error(err)
	}
}

func TestUnavailable(t *testing.T) {
	c, err := client.Dial("127.0.0.1:1", client.Options{}) // where nobody listens
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Transact(t.Context(), func(*client.Txn) error { return nil }); !errors.Is(err, client.ErrUnavailable) {
		t.Error(err)
	}
	if err := c.Put(t.Context(), nil, nil); !errors.Is(err, client.ErrUnknownOutcome) {
		t.Error(err)
	}
}

// TestCounter: 50 clients that read, add and write lose no update.
func TestCounter(t *testing.T) {
	const clients, each = 50, 4
	c, ctx, key := node(t, "", client.Options{}), t.Context(), []byte("counter")
	var wait sync.WaitGroup
	for range clients {
		wait.Go(func() {
			for range each {
				if _, err := c.Transact(ctx, func(t *client.Txn) error {
					old, err := t.Get(key)
					if err != nil {
						return fmt.Errorf("reading the counter: %w", err)
					}
					n := uint64(1)
					if old != nil {
						n += binary.BigEndian.Uint64(old)
					}
					return t.Put(key, binary.BigEndian.AppendUint64(nil, n))
				}); err != nil {
					t.Error(err)
				}
				if _, err := c.Transact(ctx, func(t *client.Txn) error { return t.Add([]byte("sum"), 1) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	counter, err := c.Get(ctx, key)
	if err != nil || binary.BigEndian.Uint64(counter) != clients*each {
		t.Errorf("the counter is %x, %v", counter, err)
	}
	sum, err := c.Get(ctx, []byte("sum"))
	if err != nil || binary.LittleEndian.Uint64(sum) != clients*each {
		t.Errorf("the sum is %x, %v", sum, err)
	}
}

func TestTransact(t *testing.T) {
	c, ctx := node(t, "", client.Options{}), t.Context()
	big := make([]byte, 90_000)
	commit, err := c.Transact(ctx, func(txn *client.Txn) error {
		for i := range 10 { // more than is gathered
			if err := txn.Put(fmt.Append(nil, "big", i), big); err != nil {
				return err
			}
		}
		n := 0
		err := errors.Join(txn.Delete([]byte("big3")), txn.DeleteRange([]byte("big7"), nil),
			txn.Scan(client.Range{}, func(_, _ []byte) bool { n++; return true }))
		if n != 6 {
			t.Errorf("scanned %d keys", n)
		}
		return err
	})
	if err != nil || commit.Version == 0 || len(commit.Versionstamp) != 10 {
		t.Errorf("%+v, %v", commit, err)
	}
	mine := errors.New("mine")
	if _, err := c.Transact(ctx, func(txn *client.Txn) error { return errors.Join(txn.Put([]byte("k"), nil), mine) }); !errors.Is(err, mine) {
		t.Error(err)
	}
	if v, err := c.Get(ctx, []byte("k")); v != nil || err != nil {
		t.Errorf("rolled back: %q, %v", v, err)
	}
	// An error that the function hides still keeps the transaction from committing.
	if _, err := c.Transact(ctx, func(txn *client.Txn) error {
		_ = txn.Use("nope")
		_, _ = txn.Get(nil)
		_ = txn.Use("")
		_ = txn.Put([]byte("k"), nil)
		return nil
	}); !errors.Is(err, client.ErrNoNamespace) {
		t.Error(err)
	}
}

// scripted is a server whose commits end as told, one after another.
type scripted struct {
	proto.UnimplementedTransactionalKVServer
	commits []error
	n       atomic.Int64
}

func (s *scripted) Begin(context.Context, *proto.BeginRequest) (*proto.BeginResponse, error) {
	return &proto.BeginResponse{}, nil
}

func (s *scripted) Commit(context.Context, *proto.CommitRequest) (*proto.CommitResponse, error) {
	return &proto.CommitResponse{Version: 1}, s.commits[s.n.Add(1)-1]
}

// TestUnknownOutcome: a transaction whose outcome is unknown is run again only if
// it is marked, and stays unknown whatever comes later.
func TestUnknownOutcome(t *testing.T) {
	conflict, unknown := client.Refusal(codes.Aborted, "CONFLICT"), client.Refusal(codes.Unknown, "UNKNOWN_OUTCOME")
	lost := status.Error(codes.Unavailable, "connection reset")
	gone, full := client.Refusal(codes.NotFound, "NO_TRANSACTION"), client.Refusal(codes.ResourceExhausted, "DISK_FULL")
	for _, c := range []struct {
		name    string
		commits []error
		marks   []client.Mark
		runs    int
		unknown bool // the outcome
		failed  bool
	}{
		{"conflicts", []error{conflict, conflict, nil}, nil, 3, false, false},
		{"unknown", []error{unknown}, nil, 1, true, true},
		{"connection lost", []error{lost}, nil, 1, true, true},
		{"ended by an earlier call", []error{gone}, nil, 1, true, true},
		{"panic", []error{status.Error(codes.Internal, "internal error")}, nil, 1, true, true},
		{"refused", []error{conflict, full}, nil, 2, false, true},
		{"idempotent", []error{unknown, lost, conflict, nil}, []client.Mark{client.Idempotent}, 4, false, false},
		{"idempotent, refused later", []error{unknown, full}, []client.Mark{client.Idempotent}, 2, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := grpc.NewServer()
			proto.RegisterTransactionalKVServer(g, &scripted{commits: c.commits})
			conn := dial(t, g, func() error { g.Stop(); return nil }, client.Options{})
			runs := 0
			_, err := conn.Transact(t.Context(), func(*client.Txn) error { runs++; return nil }, c.marks...)
			if runs != c.runs || errors.Is(err, client.ErrUnknownOutcome) != c.unknown || (err != nil) != c.failed {
				t.Errorf("%d runs, %v", runs, err)
			}
		})
	}
}

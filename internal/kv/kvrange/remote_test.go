package kvrange_test

import (
	"log/slog"
	"net"
	"sync"
	"testing"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/coordinator"
	"github.com/stratadb/strata/internal/cluster/remote"
	"github.com/stratadb/strata/internal/cluster/transport"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
	"github.com/stratadb/strata/internal/kv/kvtest"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/rangestore/sleep"
)

// addresses is a resolver that a test fills.
type addresses struct{ sync.Map }

func (a *addresses) Resolve(n base.NodeID) (string, error) {
	if v, ok := a.Load(n); ok {
		return v.(string), nil
	}
	return "", errors.Newf("no address of node %d", n)
}

// nobody is the store of a node that holds no range.
type nobody struct{}

func (nobody) Only() *replica.Replica                          { return nil }
func (nobody) Replicas() []*replica.Replica                    { return nil }
func (nobody) Arrangement() uint64                             { return 0 }
func (nobody) Coordinate(c *coordinator.Coordinator)           { c.Close() }
func (nobody) Range([]byte) *replica.Replica                   { return nil }
func (nobody) Deliver(*replica.Message) error                  { return nil }
func (nobody) Take(*replica.Message) (*replica.Replica, error) { return nil, nil }
func (nobody) TakeBeat(base.NodeID, *sleep.Beat)               {}
func (nobody) NextStamp() (base.Stamp, error)                  { return 0, base.ErrUnavailable }
func (nobody) ScanStored(base.Span, bool, func(key, value []byte) bool) error {
	return nil
}
func (nobody) EstimateSize(base.Span) (int64, error) { return 0, nil }

func openTransport(t *testing.T, id base.NodeID, book *addresses) (*transport.Transport, func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	book.Store(id, l.Addr().String())
	tr := transport.New(transport.Options{Cluster: [16]byte{7}, Node: id, Store: base.StoreID{byte(id)},
		Resolver: book, Log: slog.New(slog.DiscardHandler)})
	return tr, func() {
		served := make(chan error, 1)
		go func() { served <- tr.Serve(l) }()
		t.Cleanup(func() {
			tr.Close()
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
	}
}

// TestConformanceOverTheNetwork runs the suite on a node that holds nothing: every
// read and every commit is a call to the node that leads.
func TestConformanceOverTheNetwork(t *testing.T) {
	kvtest.Run(t, func(t *testing.T) kv.Engine {
		s := open(t, vfs.NewMem(), "data")
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		book := &addresses{}
		log := slog.New(slog.DiscardHandler)
		leader, serveLeader := openTransport(t, 1, book)
		other, serveOther := openTransport(t, 2, book)
		remote.NewServer(s, log, leader)
		remote.NewServer(nobody{}, log, other)
		serveLeader()
		serveOther()
		c := remote.NewClient(2, other, nobody{}, func() []base.NodeID { return []base.NodeID{1, 2} }, log)
		return kvrange.NewShared(nobody{}, c)
	})
}

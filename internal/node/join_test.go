package node

import (
	"log/slog"
	"net"
	"path/filepath"
	"testing"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/config"
	"github.com/stratadb/strata/internal/wire/resp"
)

// TestJoinAgain: a node that ended while it was given a place asks for the same one again.
// Another store's place would stay empty for ever.
func TestJoinAgain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	asked := make(chan string, 2)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if v, err := resp.NewDecoder(c, resp.DecoderLimits{}).Decode(); err == nil && len(v.Array) > 2 {
				asked <- v.Array[2].Text()
			}
			_ = c.Close() // before it answers
		}
	}()
	dir := filepath.Join(t.TempDir(), "data")
	var stores [2]string
	for i := range stores {
		n := &Node{log: slog.New(slog.DiscardHandler), cluster: &cluster{address: "127.0.0.1:1"}}
		n.cluster.mu.nodes = map[base.NodeID]catalog.Node{}
		if _, err := n.join(config.Config{Join: l.Addr().String()}, dir); err == nil {
			t.Fatal("it has a place")
		}
		stores[i] = <-asked
	}
	if stores[0] != stores[1] {
		t.Errorf("first %s asked, then %s", stores[0], stores[1])
	}
}

// TestJoinNobody: a list without an address is a mistake, not a cluster of nobody.
func TestJoinNobody(t *testing.T) {
	n := &Node{log: slog.New(slog.DiscardHandler), cluster: &cluster{address: "127.0.0.1:1"}}
	if place, err := n.join(config.Config{Join: " ,"}, filepath.Join(t.TempDir(), "data")); err == nil {
		t.Errorf("its place is %+v", place)
	}
}

package node

import (
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/config"
	"github.com/stratadb/strata/internal/storage/identity"
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

// TestLocateDoesNotWait: a node that has a store opens it although those who know where the
// others are do not answer, because they need it themselves. What they say later is heard.
func TestLocateDoesNotWait(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	opened := make(chan struct{})
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		if _, err := resp.NewDecoder(c, resp.DecoderLimits{}).Decode(); err != nil {
			return
		}
		<-opened
		cluster := "01000000000000000000000000000000"
		_, _ = io.WriteString(c, "*3\r\n$32\r\n"+cluster+"\r\n$1\r\n2\r\n*3\r\n$1\r\n1\r\n$1\r\ns\r\n$8\r\nother:70\r\n")
	}()
	dir := t.TempDir()
	id := identity.New()
	id.Cluster, id.Node = [16]byte{1}, 2
	if err := identity.Save(vfs.Default, dir, id); err != nil {
		t.Fatal(err)
	}
	n := &Node{log: slog.New(slog.DiscardHandler), cluster: &cluster{address: "127.0.0.1:1"}, stop: make(chan struct{})}
	n.cluster.mu.nodes = map[base.NodeID]catalog.Node{1: {ID: 1, Store: "s", Address: "old:70", Standing: catalog.NodeDraining}}
	defer n.wait.Wait()
	defer close(n.stop)
	if _, err := n.join(config.Config{Join: l.Addr().String()}, dir); err != nil {
		t.Fatal(err)
	}
	close(opened) // its store is open now
	want := catalog.Node{ID: 1, Store: "s", Address: "other:70", Standing: catalog.NodeDraining}
	for end := time.Now().Add(time.Minute); n.cluster.node(1) != want; <-time.After(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("node 1 is %+v", n.cluster.node(1))
		}
	}
}

package torture

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/stratadb/strata/proto"
	"github.com/stratadb/strata/test/process"
)

const size = 3

// cluster is the nodes, numbered from 1.
type cluster struct {
	t        *testing.T
	isolated bool // each has a network of its own
	nodes    [size + 1]*process.Node
	options  [size + 1]process.Options
	grpc     [size + 1]string // addresses
	mu       sync.Mutex       // guards nodes
}

func startCluster(t *testing.T) *cluster {
	c := &cluster{t: t, isolated: os.Getenv(inside) != ""}
	for i := 1; i <= size; i++ {
		o := process.Options{}
		addr := process.FreeAddress(t)
		c.grpc[i] = process.FreeAddress(t)
		if c.isolated {
			o.Host, o.Connect = hostOf(i), func(pid int) error { return connect(pid, i) }
			addr, c.grpc[i] = hostOf(i)+":7000", hostOf(i)+":50051"
		}
		o.Args = []string{"--cluster-addr", addr, "--grpc-addr", c.grpc[i], "--protected-mode=false"}
		c.options[i] = o
		if i > 1 {
			o.Args = append(o.Args, "--join", c.nodes[1].Admin)
		}
		c.nodes[i] = process.Start(t, o)
		c.options[i].Dir = c.nodes[i].Dir
	}
	return c
}

func (c *cluster) node(i int) *process.Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[i]
}

// launch starts a node that was killed, on its old data, and does not wait until it serves.
func (c *cluster) launch(i int) {
	n := process.Launch(c.t, c.options[i])
	c.mu.Lock()
	c.nodes[i] = n
	c.mu.Unlock()
}

// ready waits until all nodes, which were launched, serve.
func (c *cluster) ready() {
	for i := 1; i <= size; i++ {
		c.awaitOne(i)
	}
}

func (c *cluster) awaitOne(i int) {
	if err := c.node(i).Await(); err != nil {
		c.t.Fatalf("node %d: %v\n%s", i, err, c.node(i).Log())
	}
}

// distribution asks a node about ranges.
func (c *cluster) distribution(i int, ask func(ctx context.Context, d proto.DistributionClient) error) error {
	conn, err := grpc.NewClient(c.grpc[i], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return ask(ctx, proto.NewDistributionClient(conn))
}

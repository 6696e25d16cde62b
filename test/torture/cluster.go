package torture

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/stratadb/strata/proto"
	"github.com/stratadb/strata/test/process"
)

const (
	// size is how many nodes there are always, seats how many there may be.
	size  = 3
	seats = size + 1
)

// cluster is the nodes, in seats that are numbered from 1. A seat is taken by one node
// after another.
type cluster struct {
	t        *testing.T
	isolated bool // each has a network of its own
	seats    [seats + 1]seat
	// busy is held by whoever does something to the nodes of the seats that it holds, in
	// their order.
	busy [seats + 1]sync.Mutex
	mu   sync.Mutex // guards seats
}

// seat is where a node may be: it has an address.
type seat struct {
	taken         bool // by a node of the cluster
	id            int  // of that node; zero: it has not been asked for yet
	gone          int  // the node that was there before, which some still list
	node          *process.Node
	admin         string // where the node was last
	options       process.Options
	address, grpc string
}

func startCluster(t *testing.T) *cluster {
	c := &cluster{t: t, isolated: os.Getenv(inside) != ""}
	for i := 1; i <= seats; i++ {
		s := &c.seats[i]
		s.address, s.grpc = process.FreeAddress(t), process.FreeAddress(t)
		if c.isolated {
			s.options.Host, s.options.Connect = hostOf(i), func(pid int) error { return connect(pid, i) }
			s.address, s.grpc = hostOf(i)+":7000", hostOf(i)+":50051"
		}
	}
	for i := 1; i <= size; i++ {
		c.prepare(i, filepath.Join(c.t.TempDir(), "data"))
		c.launch(i)
		c.awaitOne(i)
		c.take(i)
	}
	return c
}

// prepare makes an empty seat one for a new node in dir, which joins at those that there are.
func (c *cluster) prepare(i int, dir string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var admins []string
	for j := range c.seats {
		if c.seats[j].taken {
			admins = append(admins, c.seats[j].admin)
		}
	}
	s := &c.seats[i]
	s.options.Dir = dir
	s.options.Args = []string{"--cluster-addr", s.address, "--grpc-addr", s.grpc, "--protected-mode=false"}
	if len(admins) > 0 {
		s.options.Args = append(s.options.Args, "--join", strings.Join(admins, ","))
	}
}

// take makes the node of a seat one that is used.
func (c *cluster) take(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seats[i].taken = true
}

// leave is what take is when a node has left.
func (c *cluster) leave(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.seats[i]
	s.taken, s.gone, s.id = false, s.id, 0
}

// seat is what is in one.
func (c *cluster) seat(i int) seat {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seats[i]
}

func (c *cluster) node(i int) *process.Node { return c.seat(i).node }

// taken lists the seats that are.
func (c *cluster) taken() (list []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.seats {
		if c.seats[i].taken {
			list = append(list, i)
		}
	}
	return list
}

// free is a seat that is not taken, or zero.
func (c *cluster) free() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 1; i <= seats; i++ {
		if !c.seats[i].taken {
			return i
		}
	}
	return 0
}

// any is a seat that is taken.
func (c *cluster) any(rnd *rand.Rand) int {
	list := c.taken()
	return list[rnd.IntN(len(list))]
}

// launch starts the node of a seat, on its old data if it was killed, and does not wait until
// it serves.
func (c *cluster) launch(i int) {
	n := process.Launch(c.t, c.seat(i).options)
	c.mu.Lock()
	c.seats[i].node = n
	c.mu.Unlock()
}

func (c *cluster) awaitOne(i int) {
	if err := c.await(i); err != nil {
		c.t.Errorf("node in seat %d: %v\n%s", i, err, c.node(i).Log())
	}
}

func (c *cluster) await(i int) error {
	n := c.node(i)
	err := n.Await()
	if err == nil {
		c.mu.Lock()
		c.seats[i].admin = n.Admin
		c.mu.Unlock()
	}
	return err
}

// distribution asks a node about ranges.
func (c *cluster) distribution(i int, ask func(ctx context.Context, d proto.DistributionClient) error) error {
	conn, err := grpc.NewClient(c.seat(i).grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), operatorWithin)
	defer cancel()
	return ask(ctx, proto.NewDistributionClient(conn))
}

// operatorWithin is how long a command of the operator's may take.
const operatorWithin = 10 * time.Second

// operator runs a command of the binary at any node. What it says comes with the error.
func (c *cluster) operator(rnd *rand.Rand, within time.Duration, args ...string) (string, error) {
	admin := c.seat(c.any(rnd)).admin
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return process.Command(ctx, c.t, append(args, "--admin", admin)...)
}

// id is the number of the node in a seat, which is taken or about to be.
func (c *cluster) id(rnd *rand.Rand, i int) (int, error) {
	s := c.seat(i)
	if s.id != 0 {
		return s.id, nil
	}
	out, err := c.operator(rnd, operatorWithin, "nodes", "--json")
	if err != nil {
		return 0, err
	}
	var list []struct {
		ID      int
		Address string
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return 0, err
	}
	for _, n := range list {
		if n.Address == s.address && n.ID > s.gone {
			c.mu.Lock()
			c.seats[i].id = n.ID
			c.mu.Unlock()
			return n.ID, nil
		}
	}
	return 0, fmt.Errorf("no node is at %s: %s", s.address, out)
}

// copies says which nodes hold a range.
type copies struct {
	ID, Leader       int
	Start, End       string
	Voters, Learners []int
}

func (c *cluster) copies(rnd *rand.Rand) (list []copies, err error) {
	out, err := c.operator(rnd, operatorWithin, "ranges", "--json")
	if err == nil {
		err = json.Unmarshal([]byte(out), &list)
	}
	return list, err
}

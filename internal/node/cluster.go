package node

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/cluster/placement"
	"github.com/stratadb/strata/internal/cluster/remote"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/cluster/transport"
	"github.com/stratadb/strata/internal/config"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/rangestore/replica"
	"github.com/stratadb/strata/internal/rangestore/sleep"
)

// cluster is what a node has beside its store when it is not alone: the way to other
// nodes, where they are, and who cares for the replicas.
type cluster struct {
	log     *slog.Logger
	peers   string // the file
	host    string // that of --cluster-addr
	address string // where others reach this node
	// locality is where this node is, as it was configured.
	locality string
	self     catalog.Node
	// serverTLS and clientTLS are nil without certificates.
	serverTLS, clientTLS *tls.Config
	transport            *transport.Transport
	server               *remote.Server
	client               *remote.Client
	sender               atomic.Pointer[remote.Client] // once there is a way to others
	changes              atomic.Uint64                 // of what is known of the nodes
	mu                   struct {
		sync.Mutex
		nodes map[base.NodeID]catalog.Node
	}
	dismissed func()             // called when another node says that this one was removed
	kept      bool               // the file has them all; guarded by mu
	look      chan chan struct{} // asks refresh to look now, and to close what it is given
}

// refreshEvery is how often a node looks for other nodes, which is also how it is
// heard of.
const refreshEvery = time.Second

// peersName is the file in the data directory that keeps where the other nodes were,
// so that a node which comes back finds them.
const peersName = "PEERS"

// newCluster does not read the file where it is about nodes of another cluster.
func newCluster(o config.Config, dir string, listener net.Addr, forget bool, log *slog.Logger) (*cluster, error) {
	if _, err := placement.ParseLocality(o.Locality); err != nil {
		return nil, errors.Wrap(err, "--locality")
	}
	c := &cluster{locality: o.Locality, log: log, peers: filepath.Join(dir, peersName), look: make(chan chan struct{})}
	var err error
	if c.host, c.address, err = reachable(o.ClusterAddr, listener); err != nil {
		return nil, errors.Wrap(err, "--cluster-addr")
	}
	if c.serverTLS, c.clientTLS, err = clusterTLS(o, c.host); err != nil {
		return nil, err
	}
	c.mu.nodes = map[base.NodeID]catalog.Node{}
	if forget {
		return c, nil
	}
	b, err := os.ReadFile(c.peers)
	if err != nil {
		return c, nil // the first start, or --join tells
	}
	if err := json.Unmarshal(b, &c.mu.nodes); err != nil {
		log.Warn("the file of the other nodes' addresses is damaged: --join can tell them", "file", c.peers, "error", err)
	}
	for id, n := range c.mu.nodes {
		n.ID = id
		c.mu.nodes[id] = n
	}
	return c, nil
}

// remember writes the file.
func (c *cluster) remember(nodes map[base.NodeID]catalog.Node) error {
	b, err := json.Marshal(nodes)
	if err != nil {
		return err
	}
	temporary := c.peers + ".new"
	if err := os.WriteFile(temporary, b, 0o644); err != nil {
		return err
	}
	return os.Rename(temporary, c.peers)
}

// Resolve implements transport.Resolver.
func (c *cluster) Resolve(id base.NodeID) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, ok := c.mu.nodes[id]
	if !ok {
		return "", errors.Newf("no address of node %d is known", id)
	}
	return n.Address, nil
}

// learn notes where nodes are.
func (c *cluster) learn(nodes ...catalog.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.learnLocked(nodes...)
}

// meet is learn for what others say who know no more than addresses.
func (c *cluster) meet(nodes []catalog.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, n := range nodes {
		if known, found := c.mu.nodes[n.ID]; found {
			known.Address = n.Address
			nodes[i] = known
		}
	}
	c.learnLocked(nodes...)
}

func (c *cluster) learnLocked(nodes ...catalog.Node) {
	news := !c.kept
	for _, n := range nodes {
		news = news || c.mu.nodes[n.ID] != n
		c.mu.nodes[n.ID] = n
	}
	if news {
		c.changes.Add(1)
	}
	if !news || c.self.ID == 0 { // or there is no data directory yet
		return
	}
	err := c.remember(c.mu.nodes)
	if c.kept = err == nil; !c.kept {
		c.log.Warn("the addresses of the other nodes are not kept", "error", err)
	}
}

// Nodes are the ids of the nodes that were not removed, ascending.
func (c *cluster) Nodes() []base.NodeID {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := make([]base.NodeID, 0, len(c.mu.nodes))
	for id, n := range c.mu.nodes {
		if n.Standing != catalog.NodeRemoved {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// node is what is known of a node.
func (c *cluster) node(id base.NodeID) catalog.Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.nodes[id]
}

// admit turns nodes away that were removed.
func (c *cluster) admit(p transport.Peer) error {
	if c.node(p.Node).Standing == catalog.NodeRemoved {
		return errors.Newf("node %d was removed", p.Node)
	}
	return nil
}

// send carries a replica's message; before there is a way it is lost.
func (c *cluster) send(to base.NodeID, m *replica.Message) {
	if s := c.sender.Load(); s != nil {
		s.Send(to, m)
	}
}

// beat carries a heartbeat of this node's store; before there is a way it is lost.
func (c *cluster) beat(to base.NodeID, b *sleep.Beat) {
	if s := c.sender.Load(); s != nil {
		s.SendBeat(to, b)
	}
}

// stamp asks the first range's leader; before there is a way nobody answers.
func (c *cluster) stamp(done func(base.Stamp, error)) {
	if s := c.sender.Load(); s != nil {
		s.AskStamp(done)
	} else {
		done(0, base.ErrUnavailable)
	}
}

// open makes the way to other nodes, over which l is served.
func (c *cluster) open(s *store.Store, admin, client catalog.Address) {
	id := s.Identity()
	self := catalog.Node{ID: id.Node, Store: id.Store.String(), Address: c.address, Locality: c.locality}
	if self.Client = client; net.ParseIP(client.Host).IsUnspecified() {
		self.Client.Host = c.host
	}
	if admin.Port != 0 {
		self.Admin = net.JoinHostPort(admin.Host, strconv.Itoa(admin.Port))
	}
	c.mu.Lock() // learn is called behind the back
	c.self = self
	c.mu.Unlock()
	c.learn(self)
	c.transport = transport.New(transport.Options{Cluster: id.Cluster, Node: id.Node, Store: id.Store, Resolver: c, Log: c.log,
		ServerTLS: c.serverTLS, ClientTLS: c.clientTLS, Admit: c.admit, Dismissed: c.dismissed})
	c.server = remote.NewServer(s, c.log, c.transport)
	remote.HandleDetours(c.transport)
	c.client = remote.NewClient(id.Node, c.transport, s, c.Nodes, c.log)
	c.client.Keep(c.server)
	c.sender.Store(c.client)
}

func (c *cluster) serve(l net.Listener) error { return c.transport.Serve(l) }

// register notes the node's address among the nodes.
func (c *cluster) register(db *kv.DB) error {
	return db.NewSession().RunAndWait(kv.Func(func(t kv.Txn) error { return catalog.MoveNode(t, c.self) }))
}

// refresh keeps what is known of the nodes up to date until stop is closed. removed is
// called once this one is not wanted any more.
func (c *cluster) refresh(db *kv.DB, removed func(), stop <-chan struct{}) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	session, known := db.NewSession(), "nothing"
	var asked chan struct{}
	for {
		var nodes []catalog.Node
		var version string
		if err := session.RunAndWait(kv.Func(func(t kv.Txn) (err error) {
			if version, err = catalog.NodesVersion(t); err == nil && version != known {
				nodes, err = catalog.Nodes(t)
			}
			return err
		})); err == nil {
			known = version
			c.learn(nodes...)
			if c.node(c.self.ID).Standing == catalog.NodeRemoved {
				removed()
				return
			}
		}
		if asked != nil {
			close(asked)
		}
		asked = nil
		select {
		case <-stop:
			return
		case <-tick.C:
		case asked = <-c.look:
		}
	}
}

// lookNow brings what is known of the nodes up to date, until ctx ends.
func (c *cluster) lookNow(ctx context.Context) {
	done := make(chan struct{})
	select {
	case c.look <- done:
	case <-ctx.Done():
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// handOver gives the leadership of all ranges to other nodes before this one stops, so
// that nobody has to notice its silence first.
func (c *cluster) handOver(ctx context.Context, s *store.Store) {
	var leaving []*replica.Replica
	for _, r := range s.Replicas() {
		if r.Serving() && passOn(r, len(leaving)) {
			leaving = append(leaving, r)
		}
	}
	if len(leaving) == 0 {
		return
	}
	c.log.Info("handing leadership over", "ranges", len(leaving))
	tick := time.NewTicker(handOverLook)
	defer tick.Stop()
	for end := time.Now().Add(handOverTime); slices.ContainsFunc(leaving, (*replica.Replica).Serving) && time.Now().Before(end) && ctx.Err() == nil; {
		<-tick.C
	}
}

// passOn hands a range's leadership to another replica, if one can take it; not always to
// the same one.
func passOn(r *replica.Replica, turn int) bool {
	_, self := r.ID()
	others := slices.DeleteFunc(r.Progress(), func(p replica.Progress) bool { return p.Replica == self || !p.Active || !p.CaughtUp })
	for i := range others {
		if r.TransferLeader(others[(i+turn)%len(others)].Replica) == nil {
			return true
		}
	}
	return false
}

const (
	handOverTime = time.Second
	handOverLook = 10 * time.Millisecond
)

// insist repeats what a node needs before it serves, and what does no harm when it is done
// twice, until the database answers or ctx ends.
func insist(ctx context.Context, log *slog.Logger, do func() error) error {
	for {
		err := do()
		if err == nil || !errors.IsAny(err, base.ErrUnavailable, base.ErrUnknownOutcome) {
			return err
		}
		log.Info("waiting for a quorum of the cluster", "error", err)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

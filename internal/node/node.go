// Package node assembles a node: the store, the database over it, and the doors
// that its configuration opens. It owns them all and stops them in the reverse
// order.
package node

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/api/admin"
	"github.com/stratadb/strata/internal/api/redis"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/cluster/remote"
	"github.com/stratadb/strata/internal/cluster/store"
	"github.com/stratadb/strata/internal/config"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
	"github.com/stratadb/strata/internal/netloop"
	"github.com/stratadb/strata/internal/pubsub"
	"github.com/stratadb/strata/internal/storage/identity"
)

// door is something that serves a listener.
type door interface {
	Serve(l net.Listener) error
	Shutdown(ctx context.Context) error
}

// opened is a door with its listener.
type opened struct {
	name     string
	door     door
	listener net.Listener
}

// Node is a running node.
type Node struct {
	log     *slog.Logger
	started time.Time
	dir     string
	store   *store.Store
	doors   []opened
	resp    atomic.Pointer[redis.Server] // the door for clients
	cluster *cluster                     // nil: the node is alone
	care    *care
	peers   net.Listener
	// catalog and shards are shared by the doors.
	catalog *catalog.Catalog
	shards  *catalog.Shards
	done    chan error
	stop    chan struct{} // closed by Close
	once    sync.Once
	asked   chan struct{} // closed by a client's SHUTDOWN
	asking  sync.Once
	wait    sync.WaitGroup
}

// promptProcessors is up to how many processors commits are made by those who
// wait for them: with more, another processor does it while they go on.
const promptProcessors = 2

// Start opens the store and the doors. The node runs until Close.
func Start(ctx context.Context, c config.Config, log *slog.Logger) (_ *Node, err error) {
	// A thread that syncs the log keeps its processor until the runtime takes it
	// away; one more processor keeps the commands running meanwhile.
	runtime.GOMAXPROCS(runtime.NumCPU() + 1)
	if err := easeMonitor(); err != nil {
		log.Debug("the runtime's monitor keeps its pace", slog.Any("error", err))
	}
	// Most of the heap is buffers without pointers, which cost memory and no
	// time: collect earlier than usual.
	debug.SetGCPercent(gcPercent)
	n := &Node{log: log, started: time.Now(), done: make(chan error, 1), stop: make(chan struct{}), asked: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.CombineErrors(err, n.Close(ctx))
		}
	}()
	if err := n.listen(c); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(c.Data)
	if err != nil {
		return nil, errors.Wrap(err, "data directory")
	}
	n.dir = dir
	db, err := n.open(ctx, c, dir)
	if err != nil {
		return nil, err
	}
	n.wait.Go(func() { n.tendMemory(n.stop) })
	if err := n.serve(ctx, c, db); err != nil {
		return nil, err
	}
	return n, nil
}

// open opens the store and, unless the node is alone, the way to other nodes.
func (n *Node) open(ctx context.Context, c config.Config, dir string) (_ *kv.DB, err error) {
	o := store.Options{
		FS: vfs.Default, Dir: dir, Log: n.log, OnFatal: n.fatal,
		WindowBytes: windowBytes(c.WindowBytes), CacheBytes: c.CacheBytes, RowCacheBytes: rowCacheBytes(c.RowCacheBytes), ReserveBytes: c.ReserveBytes,
		PromptCommit: runtime.NumCPU() <= promptProcessors, QuorumReads: c.ReadMode == config.ReadQuorum,
	}
	recovery, err := recovered(o)
	if err != nil {
		return nil, err
	}
	if n.peers != nil {
		if n.cluster, err = newCluster(c, dir, n.peers.Addr(), recovery != nil, n.log); err != nil {
			return nil, err
		}
		o.Send, o.Beat, o.Stamp = n.cluster.send, n.cluster.beat, n.cluster.stamp
	}
	started := time.Now()
	if err := n.openStore(c, o); err != nil {
		return nil, err
	}
	n.log.Info("store is open", "dir", dir, "store", n.store.Identity().Store.String(), "took", time.Since(started))
	if n.cluster == nil {
		for _, r := range n.store.Replicas() {
			if len(r.Descriptor().Replicas) > 1 {
				return nil, errors.Newf("the store in %s is one of a cluster: start it with --cluster-addr", dir)
			}
		}
		db := kv.New(kvrange.New(n.store), time.Now)
		n.care = n.newCare(c, db)
		n.runCare(n.care)
		return db, n.endRecovery(db, recovery)
	}
	ctx, dismiss := context.WithCancelCause(ctx)
	defer dismiss(nil)
	n.cluster.dismissed = func() {
		dismiss(errRemoved)
		n.fatal(errRemoved)
	}
	n.cluster.open(n.store, n.address("admin"), n.announced(c))
	db := kv.New(kvrange.NewShared(n.store, n.cluster.client), time.Now)
	n.care = n.newCare(c, db)
	remote.ServeReports(n.cluster.transport, n.report)
	n.wait.Go(func() {
		if err := n.cluster.serve(n.peers); err != nil {
			n.fatal(errors.Wrap(err, "serving other nodes"))
		}
	})
	if err := insist(ctx, n.log, func() error { return n.cluster.register(db) }); err != nil {
		return nil, errors.Wrap(err, "registering the node")
	}
	if err := n.endRecovery(db, recovery); err != nil {
		return nil, err
	}
	n.wait.Go(func() {
		n.cluster.refresh(db, func() { n.fatal(errRemoved) }, n.stop)
	})
	n.runCare(n.care)
	return db, nil
}

// join asks for a place in a cluster if the directory has no store yet. One that
// has a store only asks where the others are.
func (n *Node) join(c config.Config, dir string) (*store.Join, error) {
	id, err := identity.Load(vfs.Default, dir)
	fresh := errors.Is(err, identity.ErrNotExist)
	if err != nil && !fresh {
		return nil, err
	}
	if c.Join == "" {
		return nil, nil
	}
	doors := addresses(c.Join)
	if len(doors) == 0 {
		return nil, errors.Newf("--join %q names no node", c.Join)
	}
	if !fresh {
		return nil, n.locate(doors, c.RequirePass, dir, id)
	}
	if id, err = identity.Reserve(vfs.Default, dir); err != nil {
		return nil, err
	}
	j, err := join(context.Background(), doors, c.RequirePass, place{store: id.Store, address: n.cluster.address})
	if err != nil {
		return nil, err
	}
	n.cluster.learn(j.nodes...)
	return &store.Join{Cluster: j.cluster, Node: j.node, Store: id.Store}, nil
}

// locateSoon is how long a node waits, before it opens its store, for those who know where
// the others are. They may need this node to answer.
const locateSoon = 500 * time.Millisecond

// locate asks where the others are; those who answer late are heard behind its back.
func (n *Node) locate(doors []string, password, dir string, id identity.Identity) error {
	ctx, cancel := context.WithCancel(context.Background())
	n.wait.Go(func() {
		<-n.stop
		cancel()
	})
	answered := make(chan error, 1)
	n.wait.Go(func() {
		j, err := join(ctx, doors, password, place{store: id.Store, address: n.cluster.address})
		switch {
		case err != nil: // its own disk knows the others
			n.log.Warn("no node answers at the addresses of --join", "error", err)
			err = nil
		case j.cluster != id.Cluster || j.node != id.Node:
			err = errors.Newf("the store in %s is node %d of cluster %x, but --join leads to cluster %x: "+
				"choose another data directory", dir, id.Node, id.Cluster, j.cluster)
			n.fatal(err)
		default:
			n.cluster.meet(j.nodes)
		}
		answered <- err
	})
	select {
	case err := <-answered:
		return err
	case <-time.After(locateSoon):
		return nil
	}
}

var errRemoved = errors.New("this node was removed from its cluster; its data directory is of no use any more")

// fatal is called, from anywhere, when the process must stop.
func (n *Node) fatal(err error) {
	n.once.Do(func() {
		if errors.Is(err, base.ErrCorruption) && n.cluster != nil {
			n.cluster.noteDamage(n.dir, err)
		}
		n.done <- err
	})
}

// listen opens the listeners first: an address in use must not cost a start-up.
func (n *Node) listen(c config.Config) error {
	for _, l := range []struct{ name, addr string }{{"resp", c.RESPAddr}, {"admin", c.AdminAddr}, {"grpc", c.GRPCAddr}} {
		if l.addr == config.Off {
			continue
		}
		listener, err := net.Listen("tcp", l.addr)
		if err != nil {
			return errors.Wrapf(err, "--%s-addr", l.name)
		}
		n.doors = append(n.doors, opened{name: l.name, listener: listener})
	}
	if c.ClusterAddr == config.Off {
		return nil
	}
	var err error
	if n.peers, err = net.Listen("tcp", c.ClusterAddr); err != nil {
		return errors.Wrap(err, "--cluster-addr")
	}
	if c.ProtectedMode && c.ClusterTLSCert == "" && !netloop.Loopback(n.peers.Addr()) {
		return errors.New("--cluster-addr: without --cluster-tls-cert anybody who reaches it is taken for a node, so in protected " +
			"mode it must be a loopback address; in a network that nobody else is in, start with --protected-mode=false")
	}
	return nil
}

// serve makes the doors over db and lets them serve their listeners.
func (n *Node) serve(ctx context.Context, c config.Config, db *kv.DB) (err error) {
	n.catalog = catalog.New(db)
	if err := insist(ctx, n.log, func() error {
		shards, err := catalog.OpenShards(db, catalog.ShardCounts{})
		if err == nil {
			n.shards = shards
		}
		return err
	}); err != nil {
		return errors.Wrap(err, "reading the shards")
	}
	common := redis.Options{
		DB: db, Log: n.log, Memory: machineMemory(), Password: c.RequirePass, Unprotected: !c.ProtectedMode,
		MaxClients: c.MaxClients, Version: Version(), Catalog: n.catalog,
	}
	for i := range n.doors {
		d := &n.doors[i]
		if d.name == "grpc" {
			d.door = n.newGRPC(c, db)
			n.run(d)
			continue
		}
		o := common
		if d.name == "resp" {
			o.ConfigFile, o.Stop = c.File, n.askToStop
			o.SaveDir = n.saves(c)
			o.Executable, _ = os.Executable() // for INFO only
			if c.File != "" {
				o.Rewrite = func(values map[string]any) error { return config.Rewrite(c.File, values) }
			}
			o.Shards, o.Topology, o.ReadonlyStaleness, o.Broker = n.shards, n.topology(c), c.ReadonlyStaleness, n.broker()
		} else {
			var a *admin.Admin
			if err := insist(ctx, n.log, func() (err error) {
				a, err = admin.New(admin.Options{
					DB: db, Shards: n.shards, MemberID: n.memberID(), External: n.announced(c), Internal: n.address("admin"),
					Cluster: n.clusterID(), Nodes: n, Version: Version(),
				})
				return err
			}); err != nil {
				return errors.Wrap(err, "registering the member")
			}
			o.Families, o.ManualExpiry = a.Families(), true
		}
		s := redis.NewServer(o)
		if d.door = s; d.name == "resp" {
			if err := insist(ctx, n.log, s.ShareUsers); err != nil {
				return errors.Wrap(err, "reading the users")
			}
			n.resp.Store(s)
		}
		n.run(d)
	}
	return nil
}

// saves is where files are that clients save. A relative path would say nothing to them.
func (n *Node) saves(c config.Config) string {
	dir := filepath.Join(c.Data, savesName)
	if whole, err := filepath.Abs(dir); err == nil {
		dir = whole
	}
	return dir
}

// broker delivers what clients of any node publish.
func (n *Node) broker() *pubsub.Broker {
	if n.cluster == nil {
		return pubsub.New(nil)
	}
	b := pubsub.New(n.cluster.client.Publish)
	n.cluster.server.OnPublish(b.Receive)
	return b
}

// run lets a door serve its listener.
func (n *Node) run(d *opened) {
	n.wait.Go(func() {
		if err := d.door.Serve(d.listener); err != nil {
			n.fatal(errors.Wrapf(err, "serving %s", d.name))
		}
	})
}

// memberID is the node's id in the cluster: its store and its number.
func (n *Node) memberID() string {
	id := n.store.Identity()
	return catalog.NodeMember(id.Store.String(), id.Node)
}

// clusterID is what other nodes join; empty where there is no way for them.
func (n *Node) clusterID() string {
	if n.cluster == nil {
		return ""
	}
	id := n.store.Identity()
	return fmt.Sprintf("%x", id.Cluster[:])
}

// address is where a door listens; zero when it does not.
func (n *Node) address(name string) (a catalog.Address) {
	for _, d := range n.doors {
		if t, ok := d.listener.Addr().(*net.TCPAddr); ok && d.name == name {
			a = catalog.Address{Host: t.IP.String(), Port: t.Port}
		}
	}
	return a
}

// Ready is the line that says what listens where.
func (n *Node) Ready() string { return fmt.Sprintf("ready%s pid=%d", n.Listening(), os.Getpid()) }

// Listening says what listens where, for each a blank, name=address.
func (n *Node) Listening() string {
	var b strings.Builder
	for _, d := range n.doors {
		fmt.Fprintf(&b, " %s=%s", d.name, d.listener.Addr())
	}
	if n.peers != nil {
		fmt.Fprintf(&b, " cluster=%s node=%d", n.peers.Addr(), n.store.Identity().Node)
	}
	return b.String()
}

// Admin is where operators connect.
func (n *Node) Admin() string {
	a := n.address("admin")
	return net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
}

// Asked is closed when a client has asked the node to stop.
func (n *Node) Asked() <-chan struct{} { return n.asked }

func (n *Node) askToStop() { n.asking.Do(func() { close(n.asked) }) }

// Done yields the error that makes it impossible to go on.
func (n *Node) Done() <-chan error { return n.done }

// Drain stops to serve clients, until ctx ends. Close does it too.
func (n *Node) Drain(ctx context.Context) (err error) {
	for _, d := range n.doors {
		if d.door != nil {
			err = errors.CombineErrors(err, d.door.Shutdown(ctx))
		} else {
			err = errors.CombineErrors(err, d.listener.Close())
		}
	}
	n.doors = nil
	return err
}

// Close drains the doors until ctx ends, and closes the store. It is called once.
func (n *Node) Close(ctx context.Context) error {
	if n.cluster != nil && n.cluster.client != nil {
		n.cluster.handOver(ctx, n.store)
	}
	err := n.Drain(ctx)
	close(n.stop)
	switch {
	case n.cluster != nil && n.cluster.transport != nil:
		n.cluster.transport.Close()
	case n.peers != nil:
		err = errors.CombineErrors(err, n.peers.Close())
	}
	n.wait.Wait()
	if n.shards != nil {
		n.shards.Close()
	}
	if n.catalog != nil {
		n.catalog.Close()
	}
	if n.store != nil {
		err = errors.CombineErrors(err, n.store.Close())
	}
	return err
}

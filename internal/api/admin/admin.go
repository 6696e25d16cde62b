package admin

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stratadb/strata/internal/api/redis"
	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/kv"
)

// Options describe the node. DB, Shards and MemberID are required.
type Options struct {
	DB *kv.DB
	// Shards is the table that the door for clients enforces.
	Shards *catalog.Shards
	// MemberID is the node's id for ever: catalog.MemberIDBytes hexadecimal digits.
	MemberID string
	// External is where clients connect, Internal where operators do.
	External, Internal catalog.Address
	// Nodes tells of all nodes; nil: there is nothing to tell.
	Nodes Cluster
	// Version is that of the binary.
	Version string
	// Cluster is the cluster's id in hexadecimal; empty where this node cannot be
	// joined, because it has no address for other nodes.
	Cluster string
	// ClusterName is what DROP-CLUSTER asks for; the default is "strata".
	ClusterName string
	// Now is the wall clock; the default is time.Now.
	Now func() time.Time
}

// Admin is the operators' view of a node. It is safe for concurrent use.
type Admin struct {
	o       Options
	self    catalog.Member
	started time.Time
	drop    struct {
		sync.Mutex
		token  string // empty: none is pending
		issued time.Time
	}
}

// processIDBytes is the randomness in the id of a process.
const processIDBytes = 10

// New makes the node a member of its cluster and returns its view. It waits for
// the commit.
func New(o Options) (*Admin, error) {
	if o.ClusterName == "" {
		o.ClusterName = "strata"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if !catalog.ValidMemberID(o.MemberID) {
		return nil, fmt.Errorf("member id %q: want %d hexadecimal digits", o.MemberID, catalog.MemberIDBytes)
	}
	var process [processIDBytes]byte
	_, _ = rand.Read(process[:]) // never fails
	a := &Admin{o: o, started: o.Now(), self: catalog.Member{
		ID: o.MemberID, Status: catalog.MemberRunning, External: o.External, Internal: o.Internal,
		ProcessID: base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(process[:]),
	}}
	return a, o.DB.NewSession().RunAndWait(kv.Func(func(t kv.Txn) error { return catalog.WriteMember(t, a.self) }))
}

// Families is the table of commands for redis.Options.
func (a *Admin) Families() []func() []redis.Command { return redis.AdminFamilies(a.commands) }

func (a *Admin) commands() []redis.Command {
	const flags = command.FlagAdmin | command.FlagNoScript | command.FlagNoMulti
	sub := func(name, summary string, h func(c *redis.Call) error) redis.Command {
		return redis.Command{Name: name, Summary: summary, Since: "0.1.0", Group: command.GroupAdmin, Arity: -2, Flags: flags,
			Kind: command.KindPaged, Handler: h}
	}
	return []redis.Command{{
		Name: "kr.admin", Summary: "Administers the cluster.", Since: "0.1.0", Group: command.GroupAdmin, Arity: -2, Flags: flags,
		Kind: command.KindPaged, Unknown: redis.UnknownSubcommand,
		Subcommands: []redis.Command{
			sub("initialize-cluster", "Notes that an operator has initialised the cluster.", a.initializeCluster),
			sub("describe-cluster", "Returns the name and the shards of the cluster.", a.describeCluster),
			sub("describe-member", "Returns what is known of this node.", a.describeMember),
			sub("list-members", "Returns what is known of all members.", a.listMembers),
			sub("find-member", "Returns what is known of a member.", a.findMember),
			sub("list-silent-members", "Returns the members that are not heard of.", a.listSilentMembers),
			sub("set-member-status", "Overrides the status of a member.", a.setMemberStatus),
			sub("remove-member", "Removes a member that does not run.", a.removeMember),
			sub("route", "Assigns members to shards.", a.route),
			sub("set-shard-status", "Changes what clients may do with shards.", a.setShardStatus),
			sub("describe-shard", "Returns the routes and the status of a shard.", a.describeShard),
			sub("status", "Sums up nodes and ranges.", a.status),
			sub("nodes", "Returns what is known of all nodes.", a.nodes),
			sub("ranges", "Returns all ranges and where they are.", a.ranges),
			sub("node", "Drains a node, takes that back, or removes one.", a.node),
			sub("join", "Gives a store its place among the nodes, and notes its address.", a.join),
			sub("drop-cluster", "Forgets members, routes and statuses.", a.dropCluster),
		},
	}}
}

// The operator's errors.
var (
	errParameters      = catalog.Mistake("invalid number of parameters")
	errParametersUpper = catalog.Mistake("Invalid number of parameters")
	errInitialized     = catalog.Mistake("cluster has already been initialized")
	errClusterRequired = catalog.Mistake("cluster name is required")
	errClusterName     = catalog.Mistake("cluster name does not match")
	errNoToken         = catalog.Mistake("no pending drop-cluster token for this cluster")
	errTokenExpired    = catalog.Mistake("drop-cluster token has expired")
	errToken           = catalog.Mistake("invalid drop-cluster token")
)

func ok(c *redis.Call, err error) error {
	if err == nil {
		c.W.OK()
	}
	return err
}

func (a *Admin) initializeCluster(c *redis.Call) error {
	if len(c.Args) != 2 {
		return errParameters
	}
	return ok(c, c.Transact(func(t kv.Txn) error {
		first, err := catalog.Initialize(t)
		if err == nil && !first {
			return errInitialized
		}
		return err
	}))
}

var (
	errNotJoinable = catalog.Mistake("this node has no address for other nodes: start it with --cluster-addr")
	errStoreID     = catalog.Mistake("invalid store id")
)

func isStoreID(s string) bool {
	id, err := hex.DecodeString(s)
	return err == nil && len(id) == len(base.StoreID{})
}

// join answers [cluster, node, [node, store, address] ...]; a store that asks again
// gets the same place.
func (a *Admin) join(c *redis.Call) error {
	if len(c.Args) != 4 && !(len(c.Args) == 6 && strings.EqualFold(string(c.Args[4]), "REPLACES")) {
		return errParameters
	}
	if a.o.Cluster == "" {
		return errNotJoinable
	}
	store, address, replaces := string(c.Args[2]), string(c.Args[3]), ""
	if len(c.Args) == 6 {
		replaces = string(c.Args[5])
	}
	if !isStoreID(store) || replaces != "" && !isStoreID(replaces) {
		return errStoreID
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return catalog.Mistake("invalid address: " + err.Error())
	}
	var self catalog.Node
	var nodes []catalog.Node
	err := c.Transact(func(t kv.Txn) (err error) {
		if self, err = catalog.JoinNode(t, store, address, replaces); err == nil {
			nodes, err = catalog.Nodes(t)
		}
		return err
	})
	if err != nil {
		return err
	}
	nodes = slices.DeleteFunc(nodes, func(n catalog.Node) bool { return n.Standing == catalog.NodeRemoved })
	number := func(id base.NodeID) string { return strconv.FormatUint(uint64(id), 10) }
	c.W.Array(2 + len(nodes))
	c.W.BulkString(a.o.Cluster)
	c.W.BulkString(number(self.ID))
	for _, n := range nodes {
		c.W.Array(3)
		c.W.BulkString(number(n.ID))
		c.W.BulkString(n.Store)
		c.W.BulkString(n.Address)
	}
	return nil
}

// dropTokenAge is how long a token of DROP-CLUSTER is valid.
const dropTokenAge = time.Minute

func (a *Admin) dropCluster(c *redis.Call) error {
	switch {
	case len(c.Args) == 2:
		return errClusterRequired
	case len(c.Args) > 4:
		return errParameters
	case string(c.Args[2]) != a.o.ClusterName:
		return errClusterName
	}
	a.drop.Lock()
	defer a.drop.Unlock()
	if len(c.Args) == 3 {
		a.drop.token, a.drop.issued = newUUID(), a.o.Now()
		c.W.BulkString(a.drop.token)
		return nil
	}
	pending := a.drop.token
	a.drop.token = "" // each token has one chance
	switch {
	case pending == "":
		return errNoToken
	case pending != strings.ToLower(string(c.Args[3])):
		return errToken
	case a.o.Now().Sub(a.drop.issued) > dropTokenAge:
		return errTokenExpired
	}
	err := c.Transact(func(t kv.Txn) error {
		catalog.DropCluster(t)
		return catalog.WriteMember(t, a.self) // the node goes on
	})
	if err == nil {
		_, err = a.o.Shards.Refresh()
	}
	return ok(c, err)
}

// newUUID is a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0F|0x40, b[8]&0x3F|0x80
	h := hex.EncodeToString(b[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

package redis

import (
	"fmt"
	"net"
	"slices"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/slots"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/hashslot"
	model "github.com/stratadb/strata/internal/model/redis"
)

// The errors of cluster mode.
const (
	errClusterOff   command.Error = "ERR This instance has cluster support disabled"
	errSlot         command.Error = "ERR Invalid slot"
	errSlotOrNumber command.Error = "ERR Invalid slot or number of keys"
)

func clusterCommands() []Command {
	sub := func(name, summary, since string, arity int, kind command.Kind, h func(c *Call) error) Command {
		return Command{Name: name, Summary: summary, Since: since, Arity: arity, Flags: command.FlagStale, Kind: kind, Handler: h}
	}
	rows := []Command{
		{Name: "cluster", Summary: "A container for Redis Cluster commands.", Since: "3.0.0", Arity: -2, Subcommands: []Command{
			{Name: "count-failure-reports", Summary: "Returns the number of active failure reports active for a node.", Since: "3.0.0", Arity: 3,
				Flags: command.FlagAdmin | command.FlagStale, Kind: command.KindConnection, Handler: clusterFailureReports},
			sub("countkeysinslot", "Returns the number of keys in a hash slot.", "3.0.0", 3, command.KindData, clusterCountkeysinslot),
			sub("getkeysinslot", "Returns the key names in a hash slot.", "3.0.0", 4, command.KindData, clusterGetkeysinslot),
			sub("info", "Returns information about the state of a node.", "3.0.0", 2, command.KindConnection, clusterInfo),
			sub("keyslot", "Returns the hash slot for a key.", "3.0.0", 3, command.KindConnection, clusterKeyslot),
			sub("links", "Returns a list of all TCP links to and from peer nodes.", "7.0.0", 2, command.KindConnection, clusterLinks),
			sub("myid", "Returns the ID of a node.", "3.0.0", 2, command.KindConnection, clusterMyid),
			sub("myshardid", "Returns the shard ID of a node.", "7.2.0", 2, command.KindConnection, clusterMyshardid),
			sub("nodes", "Returns the cluster configuration for a node.", "3.0.0", 2, command.KindConnection, clusterNodes),
			sub("shards", "Returns the mapping of cluster slots to shards.", "7.0.0", 2, command.KindConnection, clusterShards),
			sub("slots", "Returns the mapping of cluster slots to nodes.", "3.0.0", 2, command.KindConnection, clusterSlots),
			helpFor("cluster", "5.0.0", command.GroupCluster,
				"COUNT-FAILURE-REPORTS <node-id>", "    Return number of failure reports for <node-id>.",
				"COUNTKEYSINSLOT <slot>", "    Return the number of keys in <slot>.",
				"GETKEYSINSLOT <slot> <count>", "    Return key names stored by current node in a slot.",
				"INFO", "    Return information about the cluster.",
				"KEYSLOT <key>", "    Return the hash slot for <key>.",
				"MYID", "    Return the node id.",
				"MYSHARDID", "    Return the node's shard id.",
				"NODES", "    Return cluster configuration seen by node. Output format:",
				"    <id> <ip:port@bus-port[,hostname]> <flags> <master> <pings> <pongs> <epoch> <link> <slot> ...",
				"SLOTS", "    Return information about slots range mappings. Each range is made of:",
				"    start, end, master and replicas IP addresses, ports and ids",
				"SHARDS", "    Return information about slot range mappings and the nodes associated with them.",
				"LINKS", "    Return information about all network links between this node and its peers.",
				"    Output format is an array where each array element is a map containing attributes of a link"),
		}},
		{Name: "asking", Summary: "Signals that a cluster client is following an -ASK redirect.", Since: "3.0.0", Arity: 1, Flags: command.FlagFast, Handler: okCommand},
		{Name: "readonly", Summary: "Enables read-only queries for a connection to a Redis Cluster replica node.", Since: "3.0.0",
			Arity: 1, Flags: command.FlagLoading | command.FlagStale | command.FlagFast, Handler: readonlyCommand},
		{Name: "readwrite", Summary: "Enables read-write queries for a connection to a Redis Cluster replica node.", Since: "3.0.0",
			Arity: 1, Flags: command.FlagLoading | command.FlagStale | command.FlagFast, Handler: readwriteCommand},
	}
	for i := range rows {
		row := &rows[i]
		row.Group, row.Kind = command.GroupCluster, command.KindConnection
		for j := range row.Subcommands {
			row.Subcommands[j].Group, row.Subcommands[j].Handler = command.GroupCluster, clustered(row.Subcommands[j].Handler)
		}
		if row.Handler != nil {
			row.Categories, row.Handler = []string{"connection"}, clustered(row.Handler)
		}
	}
	return rows
}

// clustered refuses a command where cluster support is off.
func clustered(handler func(c *Call) error) func(c *Call) error {
	return func(c *Call) error {
		if c.s.srv.o.Topology == nil {
			return errClusterOff
		}
		return handler(c)
	}
}

// layout is the present layout. A client that has asked who serves what is in
// cluster mode: aware says that it has.
func (c *Call) layout(aware bool) *slots.Layout {
	if aware {
		next := c.s.choice
		next.clustered = true
		c.s.choose(c.x, next)
	}
	return c.s.srv.o.Topology.Layout()
}

// redirect answers MOVED to a client in cluster mode whose command is for the leader
// of another slot. It is a hint, for this member would have the command executed
// there: so commands on several slots are served here, and so is what another
// connection could not serve as this one does, in an open transaction or with
// another namespace or database.
func (s *session) redirect(cmd *Command, args [][]byte) error {
	if s.tx != nil || s.ns.ID != catalog.DefaultID || s.handle.Number() != 0 || cmd.Group == command.GroupZMap {
		return nil
	}
	var few [16]int
	keys := cmd.Keys.Positions(args, few[:0])
	if len(keys) == 0 {
		return nil
	}
	slot := hashslot.Slot(args[keys[0]])
	for _, i := range keys[1:] {
		if hashslot.Slot(args[i]) != slot {
			return nil
		}
	}
	l := s.srv.o.Topology.Layout()
	span := l.Find(slot)
	if span == nil || span.Leader == l.Self || l.Members[span.Leader].Down {
		return nil
	}
	if s.readonly && cmd.Flags&command.FlagReadonly != 0 && slices.Contains(span.Standbys, l.Self) {
		return nil
	}
	leader := &l.Members[span.Leader]
	return command.Error(fmt.Sprintf("MOVED %d %s:%d", slot, leader.External.Host, leader.External.Port))
}

func readonlyCommand(c *Call) error {
	next := c.s.choice
	next.clustered, next.readonly = true, true
	c.s.choose(c.x, next)
	c.W.OK()
	return nil
}

func readwriteCommand(c *Call) error {
	next := c.s.choice
	next.readonly = false
	c.s.choose(c.x, next)
	c.s.attrs.staleMillis = 0
	c.W.OK()
	return nil
}

// local is the address that the client has connected to.
func (c *Call) local() string {
	if a, ok := c.s.conn.LocalAddr().(*net.TCPAddr); ok {
		return a.IP.String()
	}
	return ""
}

func clusterSlots(c *Call) error {
	c.layout(true).Slots(c.W, c.local())
	return nil
}

func clusterShards(c *Call) error {
	c.layout(true).Shards(c.W, c.local())
	return nil
}

func clusterNodes(c *Call) error {
	c.W.Verbatim("txt", c.layout(true).Nodes(c.local()))
	return nil
}

func clusterInfo(c *Call) error {
	c.W.Verbatim("txt", c.layout(false).Info())
	return nil
}

func clusterMyid(c *Call) error {
	l := c.layout(false)
	c.W.BulkString(l.Members[l.Self].ID)
	return nil
}

func clusterMyshardid(c *Call) error {
	l := c.layout(false)
	c.W.BulkString(l.Members[l.Master(l.Self)].ID)
	return nil
}

// clusterLinks: members do not talk over Redis's bus.
func clusterLinks(c *Call) error {
	c.W.Array(0)
	return nil
}

// clusterFailureReports: members do not vote by reports.
func clusterFailureReports(c *Call) error {
	if c.layout(false).Member(c.Args[2]) < 0 {
		return command.Error("ERR Unknown node " + string(command.Truncated(c.Args[2], command.EchoedBytes)))
	}
	c.W.Int(0)
	return nil
}

func clusterKeyslot(c *Call) error {
	c.W.Int(int64(hashslot.Slot(c.Args[2])))
	return nil
}

func clusterCountkeysinslot(c *Call) error {
	slot, err := command.ParseInt(c.Args[2])
	if err != nil {
		return err
	}
	if slot < 0 || slot >= hashslot.Slots {
		return errSlot
	}
	return c.Integer(model.CountKeysInSlot(c.Txn, c.DB, uint16(slot)))
}

func clusterGetkeysinslot(c *Call) error {
	slot, err := command.ParseInt(c.Args[2])
	if err != nil {
		return err
	}
	count, err := command.ParseInt(c.Args[3])
	if err != nil {
		return err
	}
	if slot < 0 || slot >= hashslot.Slots || count < 0 {
		return errSlotOrNumber
	}
	c.Bytes, err = model.KeysInSlot(c.Txn, c.DB, uint16(slot), int(count), c.Bytes[:0])
	if err != nil {
		return err
	}
	c.W.Array(len(c.Bytes))
	for _, key := range c.Bytes {
		c.W.Bulk(key)
	}
	return nil
}

package node

import (
	"net"

	"github.com/stratadb/strata/internal/api/redis"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/config"
	model "github.com/stratadb/strata/internal/model/redis"
)

// announced is where RESP clients are told to connect.
func (n *Node) announced(c config.Config) catalog.Address {
	a := n.address("resp")
	if c.AnnounceHost != "" {
		a.Host = c.AnnounceHost
	}
	if c.AnnouncePort != 0 {
		a.Port = c.AnnouncePort
	}
	return a
}

// topology is that of the only member of a cluster, which leads every slot; nil when
// cluster mode is off.
func (n *Node) topology(c config.Config) redis.Topology {
	if !c.RedisCluster {
		return nil
	}
	external := n.announced(c)
	if net.ParseIP(external.Host).IsUnspecified() {
		external.Host = "" // each client is told the address that it knows
	}
	return &redis.Layout{
		Members: []redis.Member{{ID: n.memberID(), External: external}},
		Spans:   []redis.SlotSpan{{SlotRange: model.AllSlots}},
	}
}

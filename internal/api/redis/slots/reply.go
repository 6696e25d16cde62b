package slots

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/stratadb/strata/internal/api/redis/info"
	"github.com/stratadb/strata/internal/wire/resp"
)

// host is where a client reaches a member that has connected to local.
func (l *Layout) host(member int, local string) string {
	if host := l.Members[member].External.Host; host != "" || member != l.Self {
		return host
	}
	return local
}

// Slots writes the reply of CLUSTER SLOTS. local is the address that the client has
// connected to.
func (l *Layout) Slots(w *resp.Writer, local string) {
	w.Array(len(l.Spans))
	for _, s := range l.Spans {
		members := []int{s.Leader}
		for _, i := range s.Standbys {
			if !l.Members[i].Down {
				members = append(members, i)
			}
		}
		w.Array(2 + len(members))
		w.Int(int64(s.First))
		w.Int(int64(s.Last))
		for _, i := range members {
			w.Array(4)
			w.BulkString(l.host(i, local))
			w.Int(int64(l.Members[i].External.Port))
			w.BulkString(l.Members[i].ID)
			w.Map(0) // no other names of the host
		}
	}
}

// Shards writes the reply of CLUSTER SHARDS: a shard for every master: the spans that it leads, and who
// stands by for any of them, which may lead others.
func (l *Layout) Shards(w *resp.Writer, local string) {
	mark, n := w.DeferArray(), 0
	for i := range l.Members {
		if l.Master(i) != i {
			continue
		}
		n++
		spans, members := l.Led(i), []int{i}
		w.Map(2)
		w.BulkString("slots")
		w.Array(2 * len(spans))
		for _, s := range spans {
			w.Int(int64(s.First))
			w.Int(int64(s.Last))
			for _, standby := range s.Standbys {
				if !slices.Contains(members, standby) {
					members = append(members, standby)
				}
			}
		}
		w.BulkString("nodes")
		w.Array(len(members))
		for _, member := range members {
			l.shardNode(w, member, member == i, local)
		}
	}
	w.Close(mark, n)
}

func (l *Layout) shardNode(w *resp.Writer, member int, leads bool, local string) {
	m, host := &l.Members[member], l.host(member, local)
	w.Map(7)
	w.BulkString("id")
	w.BulkString(m.ID)
	w.BulkString("port")
	w.Int(int64(m.External.Port))
	w.BulkString("ip")
	w.BulkString(host)
	w.BulkString("endpoint")
	w.BulkString(host)
	w.BulkString("role")
	w.BulkString(word(leads, "replica", "master"))
	w.BulkString("replication-offset")
	w.Int(0)
	w.BulkString("health")
	w.BulkString(word(m.Down, "online", "failed"))
}

// Nodes is the reply of CLUSTER NODES: a line for every member, with 0 for the port of the bus that
// there is not.
func (l *Layout) Nodes(local string) []byte {
	var b bytes.Buffer
	for i, m := range l.Members {
		flags, of := "master", "-"
		if master := l.Master(i); master != i {
			flags, of = "slave", l.Members[master].ID
		}
		if i == l.Self {
			flags = "myself," + flags
		}
		if m.Down {
			flags += ",fail"
		}
		fmt.Fprintf(&b, "%s %s:%d@0 %s %s 0 0 %d %s", m.ID, l.host(i, local), m.External.Port, flags, of, l.Epoch,
			word(m.Down, "connected", "disconnected"))
		for _, s := range l.Led(i) {
			fmt.Fprintf(&b, " %d", s.First)
			if s.Last > s.First {
				fmt.Fprintf(&b, "-%d", s.Last)
			}
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// Info is the reply of CLUSTER INFO.
func (l *Layout) Info() []byte {
	served := l.Coverage()
	var b bytes.Buffer
	info.Field(&b, "cluster_state", word(served.OK(), "fail", "ok"))
	info.Field(&b, "cluster_slots_assigned", served.Assigned)
	info.Field(&b, "cluster_slots_ok", served.Assigned-served.Failing)
	info.Field(&b, "cluster_slots_pfail", 0)
	info.Field(&b, "cluster_slots_fail", served.Failing)
	info.Field(&b, "cluster_known_nodes", len(l.Members))
	info.Field(&b, "cluster_size", served.Leaders)
	info.Field(&b, "cluster_current_epoch", l.Epoch)
	info.Field(&b, "cluster_my_epoch", l.Epoch)
	info.Field(&b, "cluster_stats_messages_sent", 0)
	info.Field(&b, "cluster_stats_messages_received", 0)
	info.Field(&b, "total_cluster_links_buffer_limit_exceeded", 0)
	return b.Bytes()
}

// word is one of two.
func word(second bool, one, two string) string {
	if second {
		return two
	}
	return one
}

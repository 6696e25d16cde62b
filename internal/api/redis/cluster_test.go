package redis

import (
	"context"
	"fmt"
	"net"
	osexec "os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/stratadb/strata/internal/api/redis/slots"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/hashslot"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/test/process"
)

func memberID(i int) string { return strings.Repeat(string(rune('a'+i)), catalog.MemberIDBytes) }

// threeMembers is a layout in which the first member leads the ends of the slots, the
// second the middle, and the third stands by.
func threeMembers(self int) *slots.Layout {
	return &slots.Layout{
		Epoch: 7,
		Self:  self,
		Members: []slots.Member{
			{ID: memberID(0), External: catalog.Address{Port: 7001}},
			{ID: memberID(1), External: catalog.Address{Host: "10.0.0.2", Port: 7002}},
			{ID: memberID(2), External: catalog.Address{Host: "10.0.0.3", Port: 7003}},
		},
		Spans: []slots.Span{
			{SlotRange: model.SlotRange{First: 0, Last: 5460}, Leader: 0, Standbys: []int{1, 2}},
			{SlotRange: model.SlotRange{First: 5461, Last: 10922}, Leader: 1, Standbys: []int{2}},
			{SlotRange: model.SlotRange{First: 10923, Last: 16382}, Leader: 0},
			{SlotRange: model.SlotRange{First: 16383, Last: 16383}, Leader: 0, Standbys: []int{2}},
		},
	}
}

// oneDown is threeMembers without the second.
func oneDown(self int) *slots.Layout {
	l := threeMembers(self)
	l.Members[1].Down = true
	l.Spans = l.Spans[:2]
	return l
}

// Bytes of replies: a member in CLUSTER SLOTS, and one in CLUSTER SHARDS.
func slotsNode(i int, host string) string {
	return fmt.Sprintf("*4|$%d|%s|:%d|$40|%s|%%0|", len(host), host, 7001+i, memberID(i))
}

func shardsNode(i int, host, role, health string) string {
	return fmt.Sprintf("%%7|$2|id|$40|%s|$4|port|:%d|$2|ip|$%d|%s|$8|endpoint|$%d|%s|$4|role|$%d|%s|$18|replication-offset|:0|$6|health|$6|%s|",
		memberID(i), 7001+i, len(host), host, len(host), host, len(role), role, health)
}

func verbatim(text string) string { return fmt.Sprintf("=%d|txt:%s|", len(text)+4, text) }

func clusterInfoText(state string, assigned, failing, size int) string {
	return fmt.Sprintf("cluster_state:%s\r\ncluster_slots_assigned:%d\r\ncluster_slots_ok:%d\r\ncluster_slots_pfail:0\r\n"+
		"cluster_slots_fail:%d\r\ncluster_known_nodes:3\r\ncluster_size:%d\r\ncluster_current_epoch:7\r\ncluster_my_epoch:7\r\n"+
		"cluster_stats_messages_sent:0\r\ncluster_stats_messages_received:0\r\ntotal_cluster_links_buffer_limit_exceeded:0\r\n",
		state, assigned, assigned-failing, failing, size)
}

const (
	hostA = "127.0.0.1" // where the client has connected to
	hostB = "10.0.0.2"
	hostC = "10.0.0.3"
)

// clusterReplies are in version 3 of the protocol.
var clusterReplies = []struct {
	name   string
	layout *slots.Layout
	send   string
	want   string
}{
	{"slots", threeMembers(0), "CLUSTER SLOTS", "*4|" +
		"*5|:0|:5460|" + slotsNode(0, hostA) + slotsNode(1, hostB) + slotsNode(2, hostC) +
		"*4|:5461|:10922|" + slotsNode(1, hostB) + slotsNode(2, hostC) +
		"*3|:10923|:16382|" + slotsNode(0, hostA) +
		"*4|:16383|:16383|" + slotsNode(0, hostA) + slotsNode(2, hostC)},
	{"slots, one down", oneDown(0), "CLUSTER SLOTS", "*2|" +
		"*4|:0|:5460|" + slotsNode(0, hostA) + slotsNode(2, hostC) +
		"*4|:5461|:10922|" + slotsNode(1, hostB) + slotsNode(2, hostC)},
	{"shards", threeMembers(0), "cluster shards", "*2|" +
		"%2|$5|slots|*6|:0|:5460|:10923|:16382|:16383|:16383|$5|nodes|*3|" + shardsNode(0, hostA, "master", "online") +
		shardsNode(1, hostB, "replica", "online") + shardsNode(2, hostC, "replica", "online") +
		"%2|$5|slots|*2|:5461|:10922|$5|nodes|*2|" + shardsNode(1, hostB, "master", "online") + shardsNode(2, hostC, "replica", "online")},
	{"shards, one down", oneDown(0), "CLUSTER SHARDS", "*2|" +
		"%2|$5|slots|*2|:0|:5460|$5|nodes|*3|" + shardsNode(0, hostA, "master", "online") +
		shardsNode(1, hostB, "replica", "failed") + shardsNode(2, hostC, "replica", "online") +
		"%2|$5|slots|*2|:5461|:10922|$5|nodes|*2|" + shardsNode(1, hostB, "master", "failed") + shardsNode(2, hostC, "replica", "online")},
	{"nodes", threeMembers(0), "CLUSTER NODES", verbatim(
		memberID(0) + " 127.0.0.1:7001@0 myself,master - 0 0 7 connected 0-5460 10923-16382 16383\n" +
			memberID(1) + " 10.0.0.2:7002@0 master - 0 0 7 connected 5461-10922\n" +
			memberID(2) + " 10.0.0.3:7003@0 slave " + memberID(0) + " 0 0 7 connected\n")},
	{"nodes, one down", oneDown(2), "CLUSTER NODES", verbatim(
		memberID(0) + " :7001@0 master - 0 0 7 connected 0-5460\n" +
			memberID(1) + " 10.0.0.2:7002@0 master,fail - 0 0 7 disconnected 5461-10922\n" +
			memberID(2) + " 10.0.0.3:7003@0 myself,slave " + memberID(0) + " 0 0 7 connected\n")},
	{"info", threeMembers(0), "CLUSTER INFO", verbatim(clusterInfoText("ok", 16384, 0, 2))},
	{"info, one down", oneDown(0), "CLUSTER INFO", verbatim(clusterInfoText("fail", 10923, 5462, 2))},
	{"ids", threeMembers(0), "CLUSTER MYID|CLUSTER MYSHARDID", "$40|" + memberID(0) + "|$40|" + memberID(0) + "|"},
	{"ids of a standby", threeMembers(2), "CLUSTER MYID|CLUSTER MYSHARDID", "$40|" + memberID(2) + "|$40|" + memberID(0) + "|"},
	{"links", threeMembers(0), "CLUSTER LINKS", "*0|"},
	{"failure reports", threeMembers(0), "CLUSTER COUNT-FAILURE-REPORTS " + memberID(1) + "|CLUSTER COUNT-FAILURE-REPORTS x", ":0|-ERR Unknown node x|"},
	{"keyslot", threeMembers(0), "CLUSTER KEYSLOT foo|CLUSTER KEYSLOT {foo}bar", ":12182|:12182|"},
	{"keys in slot", threeMembers(0), "MSET {a}1 x {a}2 y b z|CLUSTER COUNTKEYSINSLOT 15495|CLUSTER COUNTKEYSINSLOT 7|CLUSTER GETKEYSINSLOT 3300 10|" +
		"CLUSTER GETKEYSINSLOT 15495 0|SELECT 1|CLUSTER COUNTKEYSINSLOT 15495", "+OK|:2|:0|*1|$1|b|*0|+OK|:0|"},
	{"keys in slot, mistakes", threeMembers(0), "CLUSTER COUNTKEYSINSLOT 16384|CLUSTER COUNTKEYSINSLOT x|CLUSTER GETKEYSINSLOT 1 -1|CLUSTER GETKEYSINSLOT -1 1|CLUSTER GETKEYSINSLOT 1 x",
		"-ERR Invalid slot|-ERR value is not an integer or out of range|-ERR Invalid slot or number of keys|-ERR Invalid slot or number of keys|" +
			"-ERR value is not an integer or out of range|"},
	{"modes", threeMembers(0), "ASKING|READONLY|READWRITE", "+OK|+OK|+OK|"},
	{"settings", threeMembers(0), "CONFIG GET cluster-enabled|INFO cluster", "%1|$15|cluster-enabled|$3|yes|" + verbatim("# Cluster\r\ncluster_enabled:1\r\n")},
	{"getkeys", threeMembers(0), "COMMAND GETKEYS CLUSTER KEYSLOT foo", "-ERR The command has no key arguments|"},
}

var (
	mapHeader      = regexp.MustCompile(`%(\d)\|`)
	verbatimHeader = regexp.MustCompile(`=(\d+)\|txt:`)
)

// resp2 turns what version 3 of the protocol has for itself into version 2.
func resp2(want string) string {
	want = mapHeader.ReplaceAllStringFunc(want, func(m string) string { return fmt.Sprintf("*%d|", 2*int(m[1]-'0')) })
	return verbatimHeader.ReplaceAllStringFunc(want, func(m string) string {
		n, _ := strconv.Atoi(verbatimHeader.FindStringSubmatch(m)[1])
		return fmt.Sprintf("$%d|", n-4)
	})
}

func TestClusterReplies(t *testing.T) {
	for _, tc := range clusterReplies {
		t.Run(tc.name, func(t *testing.T) {
			s := start(t, Options{Topology: tc.layout})
			c := s.dial(t)
			c.send(lines(tc.send))
			c.expect(crlf(resp2(tc.want)))
			c = s.dial(t)
			c.send("FLUSHALL\r\nCLIENT REPLY SKIP\r\nHELLO 3\r\n" + lines(tc.send) + "QUIT\r\n")
			c.expectEnd(crlf("+OK|" + tc.want + "+OK|"))
		})
	}
}

func TestClusterOff(t *testing.T) {
	c := start(t, Options{}).dial(t)
	for _, command := range []string{"CLUSTER SLOTS", "CLUSTER SHARDS", "CLUSTER NODES", "CLUSTER INFO", "CLUSTER MYID", "CLUSTER MYSHARDID",
		"CLUSTER LINKS", "CLUSTER KEYSLOT k", "CLUSTER COUNTKEYSINSLOT x", "CLUSTER GETKEYSINSLOT 1 1", "CLUSTER HELP",
		"CLUSTER COUNT-FAILURE-REPORTS x", "READONLY", "READWRITE", "ASKING"} {
		c.send(command + "\r\n")
		c.expect("-ERR This instance has cluster support disabled\r\n")
	}
	c.send("CLUSTER\r\nCLUSTER NOPE\r\nCLUSTER MYID x\r\nINFO cluster\r\nCONFIG GET cluster-enabled\r\n")
	c.expect(crlf("-ERR wrong number of arguments for 'cluster' command|-ERR unknown subcommand 'NOPE'. Try CLUSTER HELP.|") +
		"-ERR wrong number of arguments for 'cluster|myid' command\r\n" + crlf("$30|# Cluster|cluster_enabled:0||*2|$15|cluster-enabled|$2|no|"))
}

// TestMoved: the key c is the second member's, a and b are the first one's.
func TestMoved(t *testing.T) {
	const moved = "-MOVED 7365 10.0.0.2:7002|"
	for _, tc := range []struct {
		name, send, want string
		layout           *slots.Layout
	}{
		{"plain client", "SET c 1|GET c|MGET a c", "+OK|$1|1|*2|$-1|$1|1|", threeMembers(0)},
		{"not enough", "CLIENT SETINFO LIB-NAME cluster|CLUSTER MYID|CLUSTER KEYSLOT c|READWRITE|ASKING|GET c",
			"+OK|$40|" + memberID(0) + "|:7365|+OK|+OK|$-1|", threeMembers(0)},
		{"slots", "CLIENT REPLY SKIP|CLUSTER SLOTS|GET c|SET c 1|GET a", moved + moved + "$-1|", threeMembers(0)},
		{"shards", "CLIENT REPLY SKIP|CLUSTER SHARDS|GET c", moved, threeMembers(0)},
		{"nodes", "CLIENT REPLY SKIP|CLUSTER NODES|GET c", moved, threeMembers(0)},
		{"readonly", "READONLY|GET c|SET b 1", "+OK|" + moved + "+OK|", threeMembers(0)},
		{"several slots", "READONLY|MSET a 1 c 2|MGET c a|MGET {c}1 {c}2|DEL a c", "+OK|+OK|*2|$1|2|$1|1|" + moved + ":2|", threeMembers(0)},
		{"without keys", "READONLY|DBSIZE|PING|KEYS {c}*", "+OK|:0|+PONG|*0|", threeMembers(0)},
		{"errors come first", "READONLY|GET|SET c", "+OK|-ERR wrong number of arguments for 'get' command|-ERR wrong number of arguments for 'set' command|", threeMembers(0)},
		{"multi", "READONLY|MULTI|SET a 1|SET c 1|EXEC|EXISTS a", "+OK|+OK|+QUEUED|" + moved + "-EXECABORT Transaction discarded because of previous errors.|:0|", threeMembers(0)},
		{"multi on one tag", "READONLY|MULTI|SET {a}1 1|INCR {a}1|EXEC", "+OK|+OK|+QUEUED|+QUEUED|*2|+OK|:2|", threeMembers(0)},
		{"mode begins in a multi", "MULTI|READONLY|GET c|EXEC|GET c", "+OK|+QUEUED|+QUEUED|*2|+OK|$-1|" + moved, threeMembers(0)},
		{"watch", "READONLY|WATCH c|WATCH a", "+OK|" + moved + "+OK|", threeMembers(0)},
		{"begin", "READONLY|BEGIN|SET c 1|COMMIT|GET c", "+OK|+OK|+OK|+OK|" + moved, threeMembers(0)},
		{"another database", "READONLY|SELECT 1|SET c 1|SELECT 0|GET c", "+OK|+OK|+OK|+OK|" + moved, threeMembers(0)},
		{"reset", "READONLY|RESET|GET c", "+OK|+RESET|$-1|", threeMembers(0)},
		{"session.close", "READONLY|SESSION.CLOSE|GET c", "+OK|+OK|$-1|", threeMembers(0)},
		{"standby", "READONLY|GET c|SET c 1|GET a|READWRITE|GET c", "+OK|$-1|" + moved + "-MOVED 15495 :7001|+OK|" + moved, threeMembers(2)},
		{"leader is down", "READONLY|GET c", "+OK|$-1|", oneDown(0)},
		{"no leader", "READONLY|GET a", "+OK|$-1|", oneDown(0)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := start(t, Options{Topology: tc.layout}).dial(t)
			c.send(lines(tc.send) + "QUIT\r\n")
			c.expectEnd(crlf(tc.want) + "+OK\r\n")
		})
	}
}

// TestRedirectDoesNotAllocate: a client in cluster mode pays nothing for the keys
// that are here.
func TestRedirectDoesNotAllocate(t *testing.T) {
	srv := start(t, Options{Topology: threeMembers(0)}).Server
	s := srv.newSession(nil)
	s.clustered = true
	args := [][]byte{[]byte("MGET"), []byte("{a}1"), []byte("{a}2")}
	cmd := srv.table.Resolve(args)
	if n := testing.AllocsPerRun(100, func() { _ = s.admit(cmd, args, 0) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// movable is a topology that a test sets once the addresses are known.
type movable struct{ atomic.Pointer[slots.Layout] }

func (m *movable) Layout() *slots.Layout { return m.Load() }

// startMembers runs n servers over one database, each of which leads a part of the slots.
func startMembers(t *testing.T, n int) []*testServer {
	t.Helper()
	db := kv.New(kvmem.New(stampNow), time.Now)
	var servers []*testServer
	var topologies []*movable
	layout := slots.Layout{Epoch: 1}
	for i := range n {
		topology := &movable{}
		s := start(t, Options{DB: db, Topology: topology, ManualExpiry: true})
		servers, topologies = append(servers, s), append(topologies, topology)
		layout.Members = append(layout.Members, slots.Member{ID: memberID(i), External: catalog.Address{Host: "127.0.0.1", Port: s.tcpPort(t)}})
		layout.Spans = append(layout.Spans, slots.Span{
			SlotRange: model.SlotRange{First: uint16(i * hashslot.Slots / n), Last: uint16((i+1)*hashslot.Slots/n - 1)},
			Leader:    i, Standbys: []int{(i + 1) % n}[:min(1, n-1)],
		})
	}
	for i, topology := range topologies {
		l := layout
		l.Self = i
		topology.Store(&l)
	}
	return servers
}

func (s *testServer) tcpPort(t *testing.T) int {
	_, port, _ := net.SplitHostPort(s.addr)
	return must[int](t)(strconv.Atoi(port))
}

func (s *testServer) redirections() int64 {
	counts, _ := s.stats.errorCounts()
	return counts["MOVED"]
}

func TestClusterClient(t *testing.T) {
	for _, tc := range []struct {
		name    string
		members int
		options goredis.ClusterOptions
	}{
		{"one member", 1, goredis.ClusterOptions{}},
		{"three members", 3, goredis.ClusterOptions{}},
		{"three members, RESP2, reads anywhere", 3, goredis.ClusterOptions{Protocol: 2, ReadOnly: true, RouteRandomly: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			servers := startMembers(t, tc.members)
			tc.options.Addrs, tc.options.ReadTimeout = []string{servers[0].addr}, patience
			c := goredis.NewClusterClient(&tc.options)
			t.Cleanup(func() { _ = c.Close() })
			useCluster(t, c)
			for i, s := range servers {
				if n := s.table.Lookup([]byte("set")).Stats.Calls.Load(); n == 0 {
					t.Errorf("member %d has seen nothing", i)
				}
			}
		})
	}
}

// TestClusterClientFollowsMoved: the client believes that the first member leads all.
func TestClusterClientFollowsMoved(t *testing.T) {
	servers := startMembers(t, 3)
	for _, aware := range []bool{false, true} {
		before := servers[0].redirections()
		options := &goredis.ClusterOptions{ReadTimeout: patience, ClusterSlots: func(context.Context) ([]goredis.ClusterSlot, error) {
			return []goredis.ClusterSlot{{Start: 0, End: hashslot.Slots - 1, Nodes: []goredis.ClusterNode{{Addr: servers[0].addr}}}}, nil
		}}
		if aware {
			options.OnConnect = func(ctx context.Context, c *goredis.Conn) error { return c.ClusterSlots(ctx).Err() }
		}
		c := goredis.NewClusterClient(options)
		useCluster(t, c)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if n := servers[0].redirections() - before; (n > 0) != aware {
			t.Errorf("in cluster mode: %v, redirections: %d", aware, n)
		}
	}
}

// useCluster is what an application does.
func useCluster(t *testing.T, c *goredis.ClusterClient) {
	t.Helper()
	ctx := t.Context()
	const n = 200
	for i := range n {
		must[string](t)(c.Set(ctx, fmt.Sprintf("key:%d", i), i, 0).Result())
	}
	for i := range n {
		if v := must[int](t)(c.Get(ctx, fmt.Sprintf("key:%d", i)).Int()); v != i {
			t.Errorf("key:%d is %d", i, v)
		}
	}
	cmds, err := c.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i := range n {
			p.Incr(ctx, fmt.Sprintf("key:%d", i))
		}
		return nil
	})
	if err != nil || cmds[n-1].(*goredis.IntCmd).Val() != n {
		t.Errorf("pipeline: %v, %v", err, cmds[n-1])
	}
	if v := must[[]any](t)(c.MGet(ctx, "key:0", "key:1", "key:2", "none").Result()); v[0] != "1" || v[2] != "3" || v[3] != nil {
		t.Errorf("MGET over slots: %v", v)
	}
	for _, tag := range []string{"{a}", "{b}", "{c}"} {
		cmds, err := c.TxPipelined(ctx, func(p goredis.Pipeliner) error {
			p.Del(ctx, tag)
			p.Incr(ctx, tag)
			p.IncrBy(ctx, tag, 4)
			return nil
		})
		if err != nil || cmds[2].(*goredis.IntCmd).Val() != 5 {
			t.Errorf("MULTI on %s: %v, %v", tag, err, cmds)
		}
		err = c.Watch(ctx, func(tx *goredis.Tx) error {
			_, err := tx.TxPipelined(ctx, func(p goredis.Pipeliner) error { return p.Incr(ctx, tag).Err() })
			return err
		}, tag)
		if err != nil || must[int](t)(c.Get(ctx, tag).Int()) != 6 {
			t.Errorf("WATCH of %s: %v", tag, err)
		}
	}
}

// TestRedisCLI follows a redirection with redis-cli -c.
func TestRedisCLI(t *testing.T) {
	path, err := osexec.LookPath("redis-cli")
	if err != nil {
		t.Skip("redis-cli is not installed")
	}
	servers := startMembers(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cli := osexec.CommandContext(ctx, path, "-c", "-p", strconv.Itoa(servers[0].tcpPort(t)))
	cli.Stdin = strings.NewReader("READONLY\nSET a 1\nREADONLY\nSET b 2\nGET a\nMGET a b\n")
	out, err := cli.CombinedOutput()
	want := fmt.Sprintf("OK\n-> Redirected to slot [15495] located at %s\nOK\nOK\n-> Redirected to slot [3300] located at %s\nOK\n1\n1\n2\n",
		servers[2].addr, servers[0].addr)
	if err != nil || string(out) != want {
		t.Errorf("%v: %q, want %q", err, out, want)
	}
}

// TestClusterAgrees compares with a real server that leads all slots.
func TestClusterAgrees(t *testing.T) {
	_, bus, _ := net.SplitHostPort(process.FreeAddress(t))
	there := goredis.NewClient(&goredis.Options{Addr: process.Redis(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-announce-ip", "127.0.0.1"), ReadTimeout: patience})
	t.Cleanup(func() { _ = there.Close() })
	must[string](t)(there.ClusterAddSlotsRange(t.Context(), 0, hashslot.Slots-1).Result())
	eventually(t, func() bool {
		return strings.Contains(must[string](t)(there.ClusterInfo(t.Context()).Result()), "cluster_state:ok")
	})
	here := goredis.NewClient(&goredis.Options{Addr: startMembers(t, 1)[0].addr, ReadTimeout: patience})
	t.Cleanup(func() { _ = here.Close() })
	for _, proto := range []int{2, 3} {
		a, b := here.Conn(), there.Conn()
		t.Cleanup(func() { _, _ = a.Close(), b.Close() })
		for _, c := range []*goredis.Conn{a, b} {
			must[map[string]any](t)(c.Hello(t.Context(), proto, "", "", "").Result())
		}
		for _, command := range clusterSameCommands {
			if ours, theirs := rendered(a, command), rendered(b, command); ours != theirs {
				t.Errorf("RESP%d %s\n  here   %s\n  server %s", proto, command, ours, theirs)
			}
		}
		helpAgrees(t, a, b)
		rowsAgree(t, a, b, clusterCommands)
	}
}

var clusterSameCommands = []string{
	"FLUSHALL", "CLUSTER", "CLUSTER NOPE", "CLUSTER NOPE x", "CLUSTER SLOTS x", "CLUSTER KEYSLOT", "CLUSTER KEYSLOT a b", "CLUSTER MYID x",
	"CLUSTER COUNTKEYSINSLOT", "CLUSTER GETKEYSINSLOT 1", "CLUSTER HELP x", "CLUSTER COUNT-FAILURE-REPORTS", "CLUSTER INFO x",
	"READONLY x", "READWRITE x", "ASKING x", "READONLY", "READWRITE", "ASKING",
	"CLUSTER KEYSLOT foo", "CLUSTER KEYSLOT {foo}bar", "CLUSTER KEYSLOT foo{}{bar}", "CLUSTER KEYSLOT {}", "CLUSTER KEYSLOT a{b", "cluster keyslot }{a}",
	"MSET {a}1 x {a}2 y", "CLUSTER COUNTKEYSINSLOT 15495", "CLUSTER COUNTKEYSINSLOT 0", "CLUSTER COUNTKEYSINSLOT 16384", "CLUSTER COUNTKEYSINSLOT -1",
	"CLUSTER COUNTKEYSINSLOT x", "DEL {a}1", "CLUSTER GETKEYSINSLOT 15495 10", "CLUSTER GETKEYSINSLOT 15495 0", "CLUSTER GETKEYSINSLOT 15495 -1",
	"CLUSTER GETKEYSINSLOT 16384 1", "CLUSTER GETKEYSINSLOT x 1", "CLUSTER GETKEYSINSLOT 1 x", "CLUSTER GETKEYSINSLOT x -1",
	"CLUSTER COUNT-FAILURE-REPORTS x", "CLUSTER LINKS", "CLUSTER SLOTS", "CLUSTER SHARDS", "CLUSTER NODES", "CLUSTER INFO", "CLUSTER MYID",
	"CONFIG GET cluster-enabled", "INFO cluster", "COMMAND GETKEYS CLUSTER KEYSLOT foo",
}

// own is what two servers cannot have in common: ids, ports, epochs.
var own = regexp.MustCompile(`[0-9a-f]{40}|port:?[ 0-9]+|127\.0\.0\.1[ :][0-9@]+|epoch:\d+|- 0 0 \d+`)

// rendered is a reply without what is a server's own.
func rendered(c *goredis.Conn, command string) string {
	v, err := c.Do(context.Background(), words(command)...).Result()
	return own.ReplaceAllString(fmt.Sprint(v, err), "…")
}

func words(command string) (args []any) {
	for _, w := range strings.Fields(command) {
		args = append(args, w)
	}
	return args
}

// helpAgrees: what is offered here is offered there, in the same order.
func helpAgrees(t *testing.T, here, there *goredis.Conn) {
	t.Helper()
	headings := func(c *goredis.Conn) []string {
		all := must[[]string](t)(c.Do(t.Context(), "CLUSTER", "HELP").StringSlice())
		return slices.DeleteFunc(all, func(s string) bool { return strings.HasPrefix(s, " ") || s == "MYSHARDID" }) // since 7.2
	}
	theirs := headings(there)
	for _, heading := range headings(here) {
		at := slices.Index(theirs, heading)
		if at < 0 {
			t.Fatalf("%q is not, or not there, in %q", heading, headings(there))
		}
		theirs = theirs[at+1:]
	}
}

// rowsAgree compares names, arities, flags, keys and categories.
func rowsAgree(t *testing.T, here, there *goredis.Conn, families ...func() []Command) {
	t.Helper()
	row := func(c *goredis.Conn, name string) string {
		row := must[[]any](t)(c.Do(t.Context(), "COMMAND", "INFO", name).Slice())[0].([]any)
		for _, i := range []int{2, 6} {
			slices.SortFunc(row[i].([]any), func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		}
		return fmt.Sprint(row[:7])
	}
	tableOf(families).Each(func(cmd *Command) {
		name := cmd.FullName()
		if slices.Contains([]string{"cluster|myshardid", "zrank", "zrevrank"}, name) { // others since 7.2
			return
		}
		if ours, theirs := row(here, name), row(there, name); ours != theirs {
			t.Errorf("COMMAND INFO %s\n  here   %s\n  server %s", name, ours, theirs)
		}
	})
}

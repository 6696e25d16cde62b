package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/stratadb/strata/test/certs"
	"github.com/stratadb/strata/test/process"
)

// trio is a cluster of three nodes.
type trio struct {
	t     *testing.T
	nodes [3]*process.Node
	args  [3][]string
}

// startTrio starts three nodes and waits until each has a copy that counts.
func startTrio(t *testing.T, args ...string) *trio {
	c := &trio{t: t}
	for i := range c.nodes {
		c.args[i] = append([]string{"--cluster-addr", process.FreeAddress(t)}, args...)
		first := c.args[i]
		if i > 0 {
			first = append(slices.Clone(first), "--join", c.nodes[0].Admin)
		}
		c.nodes[i] = process.Start(t, process.Options{Args: first})
	}
	c.awaitVoters("1,2,3")
	return c
}

// restart starts a node again on its old data; it finds the others by itself.
func (c *trio) restart(i int) {
	c.nodes[i] = process.Start(c.t, process.Options{Dir: c.nodes[i].Dir, Args: c.args[i]})
}

// stuck ends the test with what the nodes are doing.
func (c *trio) stuck(why string) {
	c.t.Helper()
	for i, n := range c.nodes {
		if n.Running() {
			n.Dump()
		}
		c.t.Logf("node %d:\n%s", i+1, n.Log())
	}
	c.t.Fatal(why)
}

// TestThreeNodes: any node answers any command, about the same data.
func TestThreeNodes(t *testing.T) {
	c := startTrio(t)
	var at [3]*conn
	for i, n := range c.nodes {
		at[i] = dial(t, n.RESP)
	}
	at[1].expect(`SET k "from the second"`, "OK")
	at[2].expect("GET k", `"from the second"`)
	at[0].expect("GET k", `"from the second"`)
	at[2].expect("HSET h f 1 g 2", "(integer) 2")
	at[0].expect("HINCRBY h f 41", "(integer) 42")
	at[1].expect("HGET h f", `"42"`)
	at[1].expect("ZSET z 1", "OK")
	at[2].expect("ZGET z", `"1"`)

	// Conflicting transactions on two nodes: exactly one commits.
	for _, i := range []int{1, 2} {
		at[i].expect("BEGIN", "OK")
		at[i].expect("GET k", `"from the second"`)
		at[i].expect(fmt.Sprintf("SET k %d", i), "OK")
	}
	at[1].expect("COMMIT", "OK")
	at[2].expect("COMMIT", "(error) NOT_COMMITTED*")
	at[0].expect("GET k", `"1"`)

	// WATCH sees what another node writes.
	at[1].expect("WATCH k", "OK")
	at[2].expect("SET k 3", "OK")
	at[1].expect("MULTI", "OK")
	at[1].expect("SET k 4", "QUEUED")
	at[1].expect("EXEC", "(nil)")
	at[2].expect("GET k", `"3"`)

	// Each of them can tell of all.
	for _, n := range c.nodes {
		c.until("all are live", func() error { // one that is slow says nothing in time
			code, out, log := process.Run(t, "nodes", "--json", "--admin", n.Admin)
			var nodes []struct{ Status, Resp string }
			if err := json.Unmarshal([]byte(out), &nodes); err != nil || code != 0 || len(nodes) != 3 {
				t.Fatalf("%d, %v\n%s%s", code, err, out, log)
			}
			for i, o := range nodes {
				if o.Status != "live" || o.Resp != c.nodes[i].RESP {
					return fmt.Errorf("node %d is %+v", i+1, o)
				}
			}
			return nil
		})
		code, out, log := process.Run(t, "ranges", "--admin", n.Admin)
		if code != 0 || !regexp.MustCompile(`\b[123],[123],[123]\b`).MatchString(out) { // in the order of their replicas
			t.Errorf("%d\n%s%s", code, out, log)
		}
	}

	// One of them cannot do without the others.
	if code := c.nodes[2].Stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	alone, err := process.Try(t, process.Options{Dir: c.nodes[2].Dir})
	if err == nil || !strings.Contains(alone.Log(), "start it with --cluster-addr") {
		t.Errorf("a node of a cluster was started alone: %v\n%s", err, alone.Log())
	}
}

// TestNodesOverTLS: nodes of one authority make a cluster, another's are kept out.
func TestNodesOverTLS(t *testing.T) {
	ours, theirs := certs.New(t), certs.New(t)
	start := func(a *certs.Authority, join ...string) *process.Node {
		p := a.Issue(certs.Options{Hosts: []string{"127.0.0.1"}})
		return process.Start(t, process.Options{Args: append([]string{"--cluster-addr", "127.0.0.1:0",
			"--cluster-tls-cert", p.Cert, "--cluster-tls-key", p.Key, "--cluster-tls-ca", a.CA}, join...)})
	}
	first := start(ours)
	second := start(ours, "--join", first.Admin) // ready: it has written over the first one
	dial(t, second.RESP).expect("SET k v", "OK")
	dial(t, first.RESP).expect("GET k", `"v"`)

	p := theirs.Issue(certs.Options{Hosts: []string{"127.0.0.1"}})
	stranger := process.Launch(t, process.Options{Args: []string{"--cluster-addr", "127.0.0.1:0", "--join", first.Admin,
		"--cluster-tls-cert", p.Cert, "--cluster-tls-key", p.Key, "--cluster-tls-ca", theirs.CA}})
	for end := time.Now().Add(replyWithin); !strings.Contains(stranger.Log(), "unknown authority"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the node of another authority says:\n%s", stranger.Log())
		}
	}
	if stranger.SaidReady() {
		t.Error("it serves clients")
	}
}

// deadAfter is how long a node is silent until it is taken for dead, which one that is only slow
// should not be.
const deadAfter = "5s"

// TestNodesLeave: the copy of a node that is dead is made again elsewhere; a node that is
// drained gives its copy away and is removed, and does not come back.
func TestNodesLeave(t *testing.T) {
	t.Parallel()
	var nodes [4]*process.Node
	args := func(i int) []string {
		return []string{"--cluster-addr", process.FreeAddress(t), "--dead-after", deadAfter, "--join", nodes[max(i-1, 0)].Admin}
	}
	nodes[0] = process.Start(t, process.Options{Args: []string{"--cluster-addr", process.FreeAddress(t), "--dead-after", deadAfter}})
	third := args(0)
	for i := 1; i < 4; i++ {
		a := third
		if i != 2 {
			a = args(i)
		}
		nodes[i] = process.Start(t, process.Options{Args: a})
	}
	strata := func(want int, args ...string) string {
		t.Helper()
		code, out, log := process.Run(t, append(args, "--admin", nodes[0].Admin)...)
		if code != want {
			t.Fatalf("%v: exit code %d\n%s%s", args, code, out, log)
		}
		return out + log
	}
	// voters waits until the only range has these, and no learner.
	voters := func(want ...int) {
		t.Helper()
		var ranges []struct{ Voters, Learners []int }
		for end := time.Now().Add(replyWithin); ; time.Sleep(50 * time.Millisecond) {
			if err := json.Unmarshal([]byte(strata(0, "ranges", "--json")), &ranges); err != nil {
				t.Fatal(err)
			}
			if len(ranges) == 1 && slices.Equal(slices.Sorted(slices.Values(ranges[0].Voters)), want) && len(ranges[0].Learners) == 0 {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("voters are %+v, want %v\n%s", ranges, want, nodes[0].Log())
			}
		}
	}
	voters(1, 2, 3)
	dial(t, nodes[3].RESP).expect("SET k v", "OK")

	nodes[2].Kill()
	voters(1, 2, 4)
	if said := strata(1, "node", "remove", "3"); !strings.Contains(said, "does not answer") {
		t.Errorf("removing a silent node: %s", said)
	}
	nodes[2] = process.Start(t, process.Options{Dir: nodes[2].Dir, Args: third}) // its copy is old, and destroyed
	dial(t, nodes[2].RESP).expect("GET k", `"v"`)

	// remove removes the second node, or hears why not. It does not answer in time when it is slow.
	remove := func(want int) (said string) {
		t.Helper()
		for end := time.Now().Add(replyWithin); ; {
			code, out, log := process.Run(t, "node", "remove", "2", "--admin", nodes[0].Admin)
			if said = out + log; code == want && !strings.Contains(said, "does not answer") {
				return said
			}
			if time.Now().After(end) {
				t.Fatalf("removing a node: exit code %d\n%s", code, said)
			}
		}
	}
	if said := remove(1); !strings.Contains(said, "drain it first") {
		t.Errorf("removing a node in use: %s", said)
	}
	strata(0, "node", "drain", "2", "--wait")
	voters(1, 3, 4)
	remove(0)
	for end := time.Now().Add(replyWithin); nodes[1].Running(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("a node that was removed still runs\n%s", nodes[1].Log())
		}
	}
	if !strings.Contains(nodes[1].Log(), "removed from its cluster") {
		t.Errorf("it says\n%s", nodes[1].Log())
	}
	// Nobody talks to it any more when it comes back: that tells it.
	if again, err := process.Try(t, process.Options{Dir: nodes[1].Dir, Args: args(1)}); err == nil || !strings.Contains(err.Error(), "did not start") ||
		!strings.Contains(again.Log(), "was removed from its cluster") {
		t.Errorf("a node that was removed starts again: %v\n%s", err, again.Log())
	}
	var list []struct{ ID int }
	if err := json.Unmarshal([]byte(strata(0, "nodes", "--json")), &list); err != nil || len(list) != 3 {
		t.Errorf("%+v, %v", list, err)
	}
	dial(t, nodes[3].RESP).expect("GET k", `"v"`)

	if said := strata(1, "node", "drain", "3", "--wait"); !strings.Contains(said, "only 2 other nodes") {
		t.Errorf("draining one of the last three: %s", said)
	}
	strata(0, "node", "drain", "3", "--undo")
	voters(1, 3, 4)
}

// TestDamagedNode: a flipped bit in the log of one node costs nothing. That node puts
// its store aside, takes another place, and is made again from the others; then it is
// as good as they are.
func TestDamagedNode(t *testing.T) {
	t.Parallel()
	c := startTrio(t)
	const keys = 300
	first := dial(t, c.nodes[0].RESP)
	for i := range keys {
		first.expect(fmt.Sprintf("SET key:%d value:%d", i, i), "OK")
	}
	all := func(i int) {
		t.Helper()
		at := dial(t, c.nodes[i].RESP)
		for i := range keys {
			at.expect(fmt.Sprintf("GET key:%d", i), fmt.Sprintf(`"value:%d"`, i))
		}
	}
	segment := firstSegment(t, c.nodes[2].Dir)
	logged := func(what string) {
		c.until(what+" is in the log", func() error {
			b, err := os.ReadFile(segment)
			if err == nil && !bytes.Contains(b, []byte(what)) {
				return fmt.Errorf("it is not in %s", segment)
			}
			return err
		})
	}
	logged(fmt.Sprintf("value:%d", keys-1))
	first.expect("SET later flush", "OK") // damage in the last flush would be taken for the trace of a crash
	logged("flush")
	c.nodes[2].Kill()
	flipByte(t, segment)
	damaged, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	c.restart(2)
	if log := c.nodes[2].Log(); !strings.Contains(log, "the store was damaged") {
		t.Fatalf("nothing is said of the damage:\n%s", log)
	}
	aside, err := filepath.Glob(filepath.Join(c.nodes[2].Dir, "damaged", "*", "log.damaged", filepath.Base(segment)))
	if err != nil || len(aside) != 1 {
		t.Fatalf("put aside: %q, %v", aside, err)
	}
	if b, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(b, damaged) {
		t.Errorf("what was put aside was changed: %v", err)
	}
	c.awaitVoters("1,2,4")
	all(2)
	for i := range 2 {
		c.nodes[i].Kill()
		leaderAt(t, c.nodes[2])
		all(2)
		c.restart(i)
		all(i)
	}
	c.nodes[2].Kill() // its new store is one like any other
	c.restart(2)
	all(2)

	// Damage that a running node finds is left to its next start.
	c.nodes[2].Kill()
	note := filepath.Join(c.nodes[2].Dir, "DAMAGED")
	if err := os.WriteFile(note, []byte(`{"found": "a file of the state"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c.restart(2)
	c.awaitVoters("1,2,5")
	all(2)
	if _, err := os.Stat(note); !os.IsNotExist(err) {
		t.Errorf("the node still takes its store for damaged: %v", err)
	}
}

func (c *trio) awaitVoters(want string) {
	c.t.Helper()
	for end := time.Now().Add(replyWithin); !c.voters(want); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			c.stuck("the nodes that vote are not " + want)
		}
	}
}

// voters reports whether the nodes that vote are these.
func (c *trio) voters(want string) bool {
	code, out, _ := process.Run(c.t, "ranges", "--json", "--admin", c.nodes[0].Admin)
	var ranges []struct {
		Voters []int
	}
	if code != 0 || json.Unmarshal([]byte(out), &ranges) != nil || len(ranges) == 0 {
		return false
	}
	slices.Sort(ranges[0].Voters) // they are in the order of their replicas
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(ranges[0].Voters), " ", ","), "[]") == want
}

// TestClusterClient: a client in cluster mode finds the leader over any node, follows
// MOVED, and goes on when another node leads.
func TestClusterClient(t *testing.T) {
	t.Parallel()
	c := startTrio(t)
	addrs := []string{c.nodes[2].RESP, c.nodes[1].RESP, c.nodes[0].RESP}
	// The client asks again who leads now and then, not when it cannot connect.
	client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: addrs, ClusterStateReloadInterval: time.Second, ReadTimeout: replyWithin})
	defer func() { _ = client.Close() }()
	ctx := t.Context()
	leader := func() string {
		t.Helper()
		slots, err := client.ClusterSlots(ctx).Result()
		if err != nil {
			t.Fatal(err)
		}
		if len(slots) != 1 || slots[0].Start != 0 || slots[0].End != 16383 {
			t.Fatalf("slots: %+v", slots)
		}
		return slots[0].Nodes[0].Addr
	}
	for i := range 100 {
		if err := client.Set(ctx, fmt.Sprintf("key:%d", i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	led := leaderAt(t, c.nodes[0])
	if got, want := leader(), c.nodes[led].RESP; got != want {
		t.Errorf("the leader is said to be at %s, it is at %s", got, want)
	}
	if slots := client.ClusterSlots(ctx).Val(); len(slots[0].Nodes) != 3 {
		t.Errorf("the members are %+v", slots[0].Nodes)
	}
	if err := client.MSet(ctx, "{a}1", 1, "{a}2", 2).Err(); err != nil {
		t.Error(err)
	}

	// Only who asks for it is redirected.
	at := dial(t, c.nodes[(led+1)%3].RESP)
	at.expect("GET key:7", `"7"`)
	at.expect("CLUSTER KEYSLOT key:7", "(integer) 15047")
	at.expect("GET key:7", `"7"`)
	at.expect("READONLY", "OK")
	at.expect("GET key:7", `"7"`) // a copy is here
	at.expect("SET key:7 x", "(error) MOVED 15047 "+c.nodes[led].RESP)

	c.nodes[led].Kill()
	for i := range 100 {
		var got string
		for end := time.Now().Add(replyWithin); ; time.Sleep(20 * time.Millisecond) {
			var err error
			if got, err = client.Get(ctx, fmt.Sprintf("key:%d", i)).Result(); err == nil {
				break
			}
			if time.Now().After(end) {
				c.stuck(fmt.Sprintf("key %d: %v", i, err))
			}
		}
		if got != fmt.Sprint(i) {
			t.Errorf("key %d holds %q", i, got)
		}
	}
	if err := client.Set(ctx, "after", "x", 0).Err(); err != nil {
		t.Error(err)
	}
	if got := leader(); got == c.nodes[led].RESP {
		t.Errorf("the leader is said to be at %s, which is dead", got)
	}
}

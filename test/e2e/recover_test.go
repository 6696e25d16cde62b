package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stratadb/strata/test/process"
)

// recovery is what `strata recover` says in JSON.
type recovery struct {
	Cluster   string
	Copies    []recoveryCopy
	MayBeLost string `json:"may_be_lost"`
	OnlyVoter int    `json:"only_voter"`
}

type recoveryCopy struct {
	LastIndex uint64 `json:"last_index"`
	LastTerm  uint64 `json:"last_term"`
	Commit    uint64
	Replicas  []struct{ Node int }
}

func recoverJSON(t *testing.T, dir string, args ...string) (r recovery) {
	t.Helper()
	code, out, log := process.Run(t, append([]string{"recover", "--json", "--data", dir}, args...)...)
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || len(r.Copies) != 1 {
		t.Fatalf("exit code %d, %v\n%s%s", code, err, out, log)
	}
	return r
}

// refuses checks that a recovery is refused, and why.
func refuses(t *testing.T, dir string, code int, why string) {
	t.Helper()
	for _, args := range [][]string{{}, {"--i-accept-data-loss"}} {
		got, out, log := process.Run(t, append([]string{"recover", "--data", dir}, args...)...)
		if got != code || !strings.Contains(log, why) {
			t.Errorf("recover %v: exit code %d, not %d with %q\n%s%s", args, got, code, why, out, log)
		}
	}
}

// TestRecoverLostQuorum: two of three nodes are gone for good. The third is recovered,
// has every write that it had in its log, and others join it. An old node that comes
// back in spite of all is kept out.
func TestRecoverLostQuorum(t *testing.T) {
	t.Parallel()
	c := startTrio(t)
	first := dial(t, c.nodes[0].RESP)
	const early, keys = 50, 150
	for i := range early {
		first.expect(fmt.Sprintf("SET key:%d value:%d", i, i), "OK")
	}
	c.nodes[2].Kill()
	leaderAt(t, c.nodes[0])
	for i := early; i < keys; i++ { // acknowledged by both of the others
		first.expect(fmt.Sprintf("SET key:%d value:%d", i, i), "OK")
	}
	refuses(t, c.nodes[0].Dir, 2, "in use by a running node")
	c.nodes[0].Kill()
	c.nodes[1].Kill()

	// The survivors can be compared, without being changed.
	before := files(t, c.nodes[0].Dir)
	behind, plan := recoverJSON(t, c.nodes[2].Dir), recoverJSON(t, c.nodes[0].Dir)
	b, p := behind.Copies[0], plan.Copies[0]
	if b.LastTerm > p.LastTerm || b.LastTerm == p.LastTerm && b.LastIndex >= p.LastIndex || len(p.Replicas) != 3 || plan.MayBeLost == "" {
		t.Errorf("the one that was behind is %+v, the other %+v", b, plan)
	}
	if code, out, _ := process.Run(t, "recover", "--data", c.nodes[0].Dir); code != 0 || !strings.Contains(out, "Nothing was changed") ||
		!strings.Contains(out, fmt.Sprintf("term %d, index %d", p.LastTerm, p.LastIndex)) {
		t.Errorf("exit code %d\n%s", code, out)
	}
	after := files(t, c.nodes[0].Dir)
	for name := range after {
		if before[name] != after[name] {
			t.Errorf("%s was changed", name)
		}
	}
	damaged := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(damaged, os.DirFS(c.nodes[0].Dir)); err != nil {
		t.Fatal(err)
	}
	flipByte(t, firstSegment(t, damaged))
	refuses(t, damaged, 1, "recover another survivor")
	refuses(t, t.TempDir(), 2, "no Strata store")
	if err := os.RemoveAll(c.nodes[2].Dir); err != nil {
		t.Fatal(err)
	}

	done := recoverJSON(t, c.nodes[0].Dir, "--i-accept-data-loss")
	if d := done.Copies[0]; done.OnlyVoter != 1 || d.LastIndex != p.LastIndex || d.Commit != p.Commit || done.Cluster == plan.Cluster {
		t.Errorf("planned %+v, done %+v", plan, done)
	}
	if told, err := os.ReadFile(filepath.Join(c.nodes[0].Dir, "RECOVERED")); err != nil || !strings.Contains(string(told), done.MayBeLost) {
		t.Errorf("%s, %v", told, err)
	}
	refuses(t, c.nodes[0].Dir, 1, "already")
	finishes(t, c.nodes[0].Dir, done)
	c.restart(0)
	const warning = "recovered from a lost quorum"
	if log := c.nodes[0].Log(); strings.Count(log, warning) != 1 {
		t.Errorf("the start says\n%s", log)
	}
	all := func(i int) {
		t.Helper()
		at := dial(t, c.nodes[i].RESP)
		for i := range keys {
			at.expect(fmt.Sprintf("GET key:%d", i), fmt.Sprintf(`"value:%d"`, i))
		}
	}
	all(0)
	c.awaitVoters("1")
	dial(t, c.nodes[0].RESP).expect("SET key:0 again", "OK")
	dial(t, c.nodes[0].RESP).expect("SET key:0 value:0", "OK")

	// A node of the old cluster comes back.
	stale := process.Launch(t, process.Options{Dir: c.nodes[1].Dir, Args: append(c.args[1][:2:2], "--join", c.nodes[0].Admin)})
	for _, want := range []string{"node 2 was removed from its cluster", "peer belongs to another cluster"} {
		for end := time.Now().Add(replyWithin); !strings.Contains(stale.Log(), want); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the old node does not say %q:\n%s", want, stale.Log())
			}
		}
	}
	if stale.SaidReady() || !c.voters("1") {
		t.Errorf("the old node serves, or votes:\n%s", stale.Log())
	}

	// New ones join, while it is there, and can replace the survivor.
	for i := 1; i < 3; i++ {
		c.args[i] = []string{"--cluster-addr", process.FreeAddress(t), "--join", c.nodes[0].Admin}
		c.nodes[i] = process.Start(t, process.Options{Args: c.args[i]})
	}
	c.awaitVoters("1,4,5")
	stale.Kill()
	c.nodes[0].Kill()
	leaderAt(t, c.nodes[1])
	all(1)
	c.restart(0)
	all(0)
	if log := c.nodes[0].Log(); strings.Contains(log, warning) {
		t.Errorf("the second start says\n%s", log)
	}
}

// finishes checks that a node finishes a recovery that was interrupted, on a copy of a
// store of which the last step is taken back.
func finishes(t *testing.T, dir string, done recovery) {
	t.Helper()
	half := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(half, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	note := filepath.Join(half, "RECOVERY")
	b, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	begun := strings.Replace(string(b), `,"done":true`, "", 1)
	if begun == string(b) {
		t.Fatalf("it is not done: %s", b)
	}
	if err := os.WriteFile(note, []byte(begun), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, log := process.Run(t, "recover", "--data", half); code != 0 || !strings.Contains(out, "interrupted") {
		t.Errorf("exit code %d\n%s%s", code, out, log)
	}
	n := process.Start(t, process.Options{Dir: half, Args: []string{"--cluster-addr", "127.0.0.1:0"}})
	dial(t, n.RESP).expect("GET key:149", `"value:149"`)
	n.Kill()
	if _, err := os.Stat(note); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", note, err)
	}
	told, err := os.ReadFile(filepath.Join(half, "RECOVERED"))
	if err != nil || strings.Count(string(told), "\n") != 1 || !strings.Contains(string(told), done.Cluster) {
		t.Errorf("RECOVERED says %s, %v", told, err)
	}
}

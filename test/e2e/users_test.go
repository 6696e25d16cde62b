package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/wire/resp"
	"github.com/stratadb/strata/test/process"
)

// logged is a connection of a user.
func logged(t *testing.T, n *process.Node, user, password string) *process.Conn {
	t.Helper()
	c, err := process.Dial(n.RESP)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if v, err := c.Do("AUTH", user, password); err != nil || v.Err() != nil {
		t.Fatalf("%s does not get in: %v, %v", user, v, err)
	}
	return c
}

// TestUsersOverNodes: a user is the same on all nodes. Who is restricted or deleted on one is refused
// on the others soon, also while one of them is dead; all of it is there after a restart.
func TestUsersOverNodes(t *testing.T) {
	c := startTrio(t)
	admin := dial(t, c.nodes[0].RESP)
	admin.expect("ACL SETUSER ann on >pw ~a* +get +set +acl|whoami", "OK")
	soon := func(what string, do func() error) {
		t.Helper()
		var err error
		for deadline := time.Now().Add(replyWithin); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
			if err = do(); err == nil {
				return
			}
		}
		t.Fatalf("%s: %v", what, err)
	}
	refused := func(conn *process.Conn, command ...string) func() error {
		return func() error {
			v, err := conn.Do(command...)
			if err == nil && v.Err() != nil && strings.HasPrefix(v.Err().Error(), "NOPERM ") {
				return nil
			}
			return fmt.Errorf("%v is answered %v, %v", command, v, err)
		}
	}
	var ann [3]*process.Conn
	for i, n := range c.nodes {
		soon("a new user", func() error {
			if v := dial(t, n.RESP).do("ACL GETUSER ann"); v.Kind == resp.KindNull {
				return errors.New("unknown")
			}
			return nil
		})
		ann[i] = logged(t, n, "ann", "pw")
		if v, err := ann[i].Do("SET", fmt.Sprint("a", i), "v"); err != nil || v.Err() != nil {
			t.Fatal(v, err)
		}
		if err := refused(ann[i], "SET", "b", "v")(); err != nil {
			t.Fatal(err)
		}
	}
	dial(t, c.nodes[1].RESP).expect("ACL SETUSER ann -set", "OK")
	for i := range ann {
		soon("a right that was taken away", refused(ann[i], "SET", "a", "v"))
	}
	c.nodes[0].Kill()
	two := dial(t, c.nodes[1].RESP)
	c.until("a change after a leader's death", func() error {
		return two.do("ACL SETUSER ann -get").Err()
	})
	soon("a right that was taken away then", refused(ann[2], "GET", "a"))
	c.restart(0)
	again := logged(t, c.nodes[0], "ann", "pw")
	if err := errors.Join(refused(again, "GET", "a")(), refused(again, "SET", "a", "v")()); err != nil {
		t.Error("after a restart:", err)
	}
	two.expect("ACL DELUSER ann", "(integer) 1")
	for _, conn := range []*process.Conn{ann[1], ann[2], again} {
		soon("the end of a user", func() error {
			if v, err := conn.Do("ACL", "WHOAMI"); err == nil {
				return fmt.Errorf("answered %v", v)
			}
			return nil
		})
	}
}

// TestPasswordsOfStarts: a password that a node starts with is in force unless it was changed
// since, on every node and after restarts.
func TestPasswordsOfStarts(t *testing.T) {
	n := process.Start(t, process.Options{Args: []string{"--requirepass", "one"}})
	c := dial(t, n.RESP)
	c.expect("AUTH one", "OK")
	c.expect("CONFIG SET requirepass two", "OK")
	n.Stop()
	for _, start := range []struct {
		args        []string
		fits, fails string
	}{
		{[]string{"--requirepass", "one"}, "two", "one"}, {nil, "two", "one"}, {[]string{"--requirepass", "three"}, "three", "two"}, {nil, "three", "one"},
	} {
		n = process.Start(t, process.Options{Dir: n.Dir, Args: start.args})
		c := dial(t, n.RESP)
		c.expect("GET k", "(error) NOAUTH *")
		c.expect("AUTH "+start.fails, "(error) WRONGPASS *")
		c.expect("AUTH "+start.fits, "OK")
		n.Stop()
	}
}

// TestShutdown: a client's SHUTDOWN ends the node as a signal does, and CONFIG REWRITE writes the
// file that it starts with next.
func TestShutdown(t *testing.T) {
	path := filepath.Join(t.TempDir(), "strata.toml")
	if err := os.WriteFile(path, []byte("maxclients = 100\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := process.Start(t, process.Options{Args: []string{"--config", path}})
	c := dial(t, n.RESP)
	c.expect("CONFIG SET maxclients 200", "OK")
	c.expect("CONFIG REWRITE", "OK")
	c.expect("SET k v", "OK")
	if v, err := c.Do("SHUTDOWN", "NOSAVE"); err == nil {
		t.Errorf("SHUTDOWN is answered %v", v)
	}
	for deadline := time.Now().Add(replyWithin); n.Running(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the node does not stop\n%s", n.Log())
		}
	}
	if !strings.Contains(n.Log(), "msg=stopped") {
		t.Error(n.Log())
	}
	n = process.Start(t, process.Options{Dir: n.Dir, Args: []string{"--config", path}})
	c = dial(t, n.RESP)
	c.expect("GET k", `"v"`)
	c.expect("CONFIG GET maxclients", "1) \"maxclients\"\n2) \"200\"")
}

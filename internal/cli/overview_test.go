package cli

import (
	"net"
	"strings"
	"testing"

	"github.com/stratadb/strata/internal/wire/resp"
)

// answering is a server that answers HELLO, and everything else with the replies in turn.
func answering(t *testing.T, replies ...func(w *resp.Writer)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for _, reply := range replies {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 1024)
			for _, answer := range []func(w *resp.Writer){func(w *resp.Writer) { w.Map(0) }, reply} {
				if _, err := conn.Read(buf); err != nil {
					break
				}
				w := &resp.Writer{Proto: 3}
				answer(w)
				_, _ = conn.Write(w.Buf)
			}
			_ = conn.Close()
		}
	}()
	return l.Addr().String()
}

func oneRange(w *resp.Writer) {
	w.Array(1)
	w.Map(3)
	w.BulkString("id")
	w.Int(1)
	w.BulkString("end")
	w.BulkString("a\"b\n")
	w.BulkString("voters")
	w.Array(2)
	w.Int(1)
	w.Int(3)
}

func TestOverview(t *testing.T) {
	addr := answering(t, oneRange, oneRange, func(w *resp.Writer) { w.Array(0) }, func(w *resp.Writer) {
		w.Map(2)
		w.BulkString("nodes_live")
		w.Int(3)
		w.BulkString("cluster")
		w.BulkString("")
	}, func(w *resp.Writer) { w.Error("ERR no") })
	for _, c := range []struct {
		args []string
		code int
		out  string
		err  string
	}{
		{[]string{"ranges"}, ExitOK, "ID  END       VOTERS\n1   \"a\\\"b\\n\"  1,3\n", ""},
		{[]string{"ranges", "--json"}, ExitOK, "[\n  {\n    \"id\": 1,\n    \"end\": \"a\\\"b\\n\",\n    \"voters\": [\n      1,\n      3\n    ]\n  }\n]\n", ""},
		{[]string{"nodes"}, ExitOK, "", ""},
		{[]string{"status"}, ExitOK, "nodes live  3\ncluster     -\n", ""},
		{[]string{"nodes"}, ExitFailed, "", "strata: ERR no\n"},
	} {
		code, out, log := run(t, "", append(c.args, "--admin", addr)...)
		if code != c.code || out != c.out || log != c.err {
			t.Errorf("%v: exit code %d, %q, %q", c.args, code, out, log)
		}
	}
	if code, _, _ := run(t, "", "nodes", "--admin", "127.0.0.1:1"); code != ExitFailed {
		t.Errorf("nobody there: exit code %d", code)
	}
	if code, _, _ := run(t, "", "nodes", "extra"); code != ExitUsage {
		t.Errorf("an argument: exit code %d", code)
	}
}

// TestNoAnswer: a command for operators ends when the node says nothing, and says what that means.
func TestNoAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // whoever has connected waits in its queue
	for _, args := range [][]string{{"node", "drain", "3"}, {"node", "drain", "3", "--wait"}, {"node", "remove", "3", "--dead"}, {"status"}, {"ranges", "explain", "1"}} {
		code, out, errs := run(t, "", append(args, "--admin", l.Addr().String(), "--timeout", "20ms")...)
		if code != ExitFailed || out != "" || !strings.Contains(errs, "no answer within 20ms") {
			t.Errorf("%q: exit %d, %q, %q", args, code, out, errs)
		}
	}
}

package cli

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stratadb/strata/internal/wire/resp"
)

// run runs the command line and returns what it printed.
func run(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, []byte(stdin), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.Open(in)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	w, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	var log bytes.Buffer
	code = Main(Process{Args: args, Stdin: r, Stdout: w, Stderr: &log})
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return code, string(b), log.String()
}

// echoServer answers a command with its words, PING with PONG, BAD with an error,
// and hangs up after QUIT.
func echoServer(t *testing.T) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go echo(conn)
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

func echo(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	var in resp.ReadBuffer
	p := resp.NewParser(resp.Limits{})
	for {
		n, err := conn.Read(in.Writable())
		if err != nil {
			return
		}
		in.Advance(n)
		for {
			args, n, err := p.Next(in.Pending())
			if err != nil {
				return
			}
			if len(args) == 0 {
				in.Consume(n)
				break
			}
			var out []byte
			switch strings.ToUpper(string(args[0])) {
			case "PING":
				out = []byte("+PONG\r\n")
			case "BAD":
				out = []byte("-ERR bad\r\n")
			case "ECHO":
				out = resp.AppendCommand(nil, args[1])[4:]
			case "QUIT":
				return
			default:
				out = resp.AppendCommand(nil, args...)
			}
			in.Consume(n)
			if _, err := conn.Write(out); err != nil {
				return
			}
		}
	}
}

func TestExitCodes(t *testing.T) {
	port := echoServer(t)
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"version"}, ExitOK, "strata ", ""},
		{[]string{"help", "config"}, ExitOK, "STRATA_RESP_ADDR", ""},
		{[]string{"nonsense"}, ExitUsage, "", `unknown command "nonsense"`},
		{[]string{"start", "extra"}, ExitUsage, "", `"extra"`},
		{[]string{"start", "--maxclients", "0"}, ExitUsage, "", "--maxclients"},
		{[]string{"start", "--log-level", "loud"}, ExitUsage, "", "loud"},
		{[]string{"check"}, ExitUsage, "", "one data directory"},
		{[]string{"check", filepath.Join(t.TempDir(), "none")}, ExitUsage, "", "no store"},
		{[]string{"bench", "-t", "nosuch"}, ExitUsage, "", `no test "nosuch"`},
		{[]string{"cli", "-p", port, "ping"}, ExitOK, "PONG\n", ""},
		{[]string{"cli", "-p", port, "--no-raw", "a", "-x"}, ExitOK, "1) \"a\"\n2) \"-x\"\n", ""},
		{[]string{"cli", "-p", port, "bad"}, ExitFailed, "ERR bad\n", ""},
		{[]string{"cli", "-p", port, "quit"}, ExitFailed, "", "closed the connection"},
		{[]string{"cli", "-p", "1", "ping"}, ExitFailed, "", "127.0.0.1:1"},
		{[]string{"bench", "-p", port, "-n", "100", "-c", "2", "-q", "-t", "ping", "--json"}, ExitOK, `"operations":100`, ""},
		{[]string{"bench", "-p", port, "-n", "10", "-c", "2", "-q", "--", "BAD"}, ExitFailed, "10 ERROR REPLIES", ""},
	} {
		code, stdout, stderr := run(t, "", c.args...)
		if code != c.code || !strings.Contains(stdout, c.stdout) || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%v: exit %d, stdout %q, stderr %q; want %d, %q, %q", c.args, code, stdout, stderr, c.code, c.stdout, c.stderr)
		}
	}
}

func TestClientReadsStandardInput(t *testing.T) {
	port := echoServer(t)
	if code, out, _ := run(t, "ping\n\nget \"a b\"\n'\nquit", "cli", "-p", port); code != ExitFailed ||
		out != "PONG\nget\na b\nInvalid argument(s)\n" {
		t.Errorf("exit %d, %q", code, out)
	}
	if _, out, _ := run(t, "last\n", "cli", "-p", port, "-x", "set", "k"); out != "set\nk\nlast\n\n" {
		t.Errorf("%q", out)
	}
	if code, out, _ := run(t, "PING\r\nBAD\r\nPING\r\n", "cli", "-p", port, "--pipe"); code != ExitFailed ||
		!strings.HasSuffix(out, "errors: 1, replies: 3\n") {
		t.Errorf("exit %d, %q", code, out)
	}
}

func TestPrompt(t *testing.T) {
	ok, queued := resp.Value{Kind: resp.KindSimpleString, Str: []byte("OK")}, resp.Value{Kind: resp.KindSimpleString, Str: []byte("QUEUED")}
	bad := resp.Value{Kind: resp.KindError, Str: []byte("ERR")}
	var s session
	for _, c := range []struct {
		line  string
		reply resp.Value
		want  string
	}{
		{"select 3", ok, "a[3]> "},
		{"namespace use acct.test", ok, "a[3] acct.test> "},
		{"NAMESPACE USE nosuch", bad, "a[3] acct.test> "},
		{"multi", ok, "a[3] acct.test (MULTI)> "},
		{"select 4", queued, "a[3] acct.test (MULTI)> "},
		{"exec", bad, "a[3] acct.test> "},
		{"begin", ok, "a[3] acct.test (BEGIN)> "},
		{"commit", ok, "a[3] acct.test> "},
		{"namespace use global", ok, "a[3]> "},
		{"reset", ok, "a> "},
	} {
		s.observe(strings.Fields(c.line), c.reply)
		if got := s.prompt("a"); got != c.want {
			t.Errorf("after %s: %q, want %q", c.line, got, c.want)
		}
	}
	for _, line := range []string{"auth x", "HELLO 3 AUTH u p", "config set requirepass x"} {
		if !secret(strings.Fields(line)) {
			t.Errorf("%s would be kept in the history", line)
		}
	}
	if secret([]string{"GET", "auth"}) || secret([]string{"HELLO", "3"}) {
		t.Error("harmless commands are left out of the history")
	}
}

// settingsPage is relative to this package.
const settingsPage = "../../docs/reference/config.md"

func TestSettingsPageIsCurrent(t *testing.T) {
	b, err := os.ReadFile(settingsPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != SettingsPage() {
		t.Error("docs/reference/config.md is old: run `go run ./cmd/strata docs config > docs/reference/config.md`")
	}
}

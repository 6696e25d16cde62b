// Package process runs the real binary for black-box tests: it builds it once,
// starts nodes on ports that the system chooses, and ends what it started.
package process

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/wire/resp"
)

const (
	// readyWithin bounds a start, replay of the log included.
	readyWithin = 2 * time.Minute
	stopWithin  = 2 * time.Minute
	logBytesMax = 1 << 20
)

// built is the binary that Main has made for the tests of a package.
var built struct {
	sync.Once
	dir, path string
	err       error
}

// Main runs the tests of a package and removes the binary that they have built.
func Main(m *testing.M) int {
	defer func() {
		if built.dir != "" {
			_ = os.RemoveAll(built.dir)
		}
	}()
	return m.Run()
}

// Binary is the path of the binary, built by the first test that asks.
func Binary(t testing.TB) string {
	t.Helper()
	built.Do(build)
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// BinaryEnv names a binary to test in place of the one that is built.
const BinaryEnv = "STRATA_TEST_BINARY"

func build() {
	if built.path = os.Getenv(BinaryEnv); built.path != "" {
		return
	}
	if built.dir, built.err = os.MkdirTemp("", "strata-test-"); built.err != nil {
		return
	}
	built.path = filepath.Join(built.dir, "strata")
	out, err := exec.Command("go", "build", "-ldflags=-w", "-o", built.path, "github.com/stratadb/strata/cmd/strata").CombinedOutput()
	if err != nil {
		built.err = fmt.Errorf("building the binary: %w\n%s", err, out)
	}
}

// Options of a node.
type Options struct {
	// Dir is the data directory; a temporary one by default.
	Dir string
	// Args are further arguments of `strata start`.
	Args []string
	// Host is what it listens on; 127.0.0.1 by default.
	Host string
	// Connect, if there is one, gives the process, which has a network of its own, its
	// address: Host. The node starts after it. Linux only.
	Connect func(pid int) error
}

// Node is a process.
type Node struct {
	Dir               string
	RESP, Admin, GRPC string // addresses
	PID               int

	t      testing.TB
	cmd    *exec.Cmd
	log    *tail
	ready  chan string // what it says first
	exited chan struct{}
	err    error // of Wait, once exited is closed
}

// tail keeps the end of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

func (w *tail) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b = append(w.b, b...)
	if len(w.b) > logBytesMax {
		w.b = append(w.b[:0:0], w.b[len(w.b)-logBytesMax/2:]...)
	}
	return len(b), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.b)
}

// Start starts a node and waits until it is ready. It is killed at the end of the
// test if it still runs.
func Start(t testing.TB, o Options) *Node {
	t.Helper()
	n, err := Try(t, o)
	if err != nil {
		t.Fatalf("%v\n%s", err, n.Log())
	}
	return n
}

// Try is Start for nodes that may refuse to: the error says how the process ended.
func Try(t testing.TB, o Options) (*Node, error) {
	t.Helper()
	n := Launch(t, o)
	return n, n.Await()
}

// Launch is Start for nodes that will not become ready.
func Launch(t testing.TB, o Options) *Node {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "data")
	}
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	any := net.JoinHostPort(o.Host, "0")
	args := append([]string{"start", "--data", o.Dir, "--resp-addr", any, "--admin-addr", any, "--grpc-addr", any}, o.Args...)
	n := &Node{Dir: o.Dir, t: t, cmd: exec.Command(Binary(t), args...), log: &tail{}, exited: make(chan struct{}),
		ready: make(chan string, 1)}
	begin := func() error { return nil }
	if o.Connect != nil {
		begin = n.isolate(o.Connect)
	}
	n.cmd.Stderr = n.log
	n.cmd.Env = cleanEnviron()
	stdout, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n.PID = n.cmd.Process.Pid
	t.Cleanup(n.Kill)
	go n.read(stdout)
	if err := begin(); err != nil {
		t.Fatal(err)
	}
	return n
}

// Ports that no system gives to who asks for any.
const firstPort, ports = 20_000, 12_000

// triedPorts counts them. They are tried in turn, in each process from another one on.
var triedPorts struct {
	sync.Once
	atomic.Uint32
}

// FreeAddress is an address of the test's: nobody listens there, and nobody is given it until
// the test ends, also not by another process. A node of a cluster keeps its address over a
// restart. The claim is the same port of UDP, which nobody else uses.
func FreeAddress(t testing.TB) string {
	t.Helper()
	triedPorts.Do(func() { triedPorts.Store(rand.Uint32N(ports)) })
	for range ports {
		addr := fmt.Sprintf("127.0.0.1:%d", firstPort+triedPorts.Add(1)%ports)
		claim, err := net.ListenPacket("udp", addr)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			_ = claim.Close()
			continue
		}
		_ = l.Close()
		t.Cleanup(func() { _ = claim.Close() })
		return addr
	}
	t.Fatal("no port is free")
	return ""
}

// cleanEnviron keeps the settings of whoever runs the tests out of the node.
func cleanEnviron() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "STRATA_") {
			env = append(env, e)
		}
	}
	return env
}

// read takes what the process says, until it ends.
func (n *Node) read(stdout io.Reader) {
	defer close(n.exited)
	r := bufio.NewReader(stdout)
	if line, err := r.ReadString('\n'); err == nil {
		n.ready <- line
	}
	more, _ := io.ReadAll(r)
	n.err = n.cmd.Wait()
	if len(more) > 0 {
		n.t.Errorf("more than a line on standard output: %q", more)
	}
}

// Await waits until a launched node is ready. It is called once.
func (n *Node) Await() error {
	select {
	case line := <-n.ready:
		return n.parse(line)
	case <-n.exited:
		return fmt.Errorf("the node did not start: %w", n.err)
	case <-time.After(readyWithin):
		n.Dump()
		return fmt.Errorf("the node was not ready within %v; its stacks are in the log", readyWithin)
	}
}

func (n *Node) parse(line string) error {
	words := strings.Fields(line)
	if len(words) == 0 || words[0] != "ready" {
		return fmt.Errorf("standard output begins with %q", line)
	}
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "resp":
			n.RESP = value
		case "admin":
			n.Admin = value
		case "grpc":
			n.GRPC = value
		}
	}
	if n.RESP == "" {
		return fmt.Errorf("the ready line names no RESP address: %q", line)
	}
	return nil
}

// Log is what the node wrote to standard error.
func (n *Node) Log() string { return n.log.String() }

// SaidReady reports whether a launched node has become ready.
func (n *Node) SaidReady() bool { return len(n.ready) > 0 }

// Running reports whether the process has not ended.
func (n *Node) Running() bool {
	select {
	case <-n.exited:
		return false
	default:
		return true
	}
}

// Pause stops the process as a machine that hangs does; Resume lets it go on. When it
// returns, no thread of the process runs any more.
func (n *Node) Pause() {
	n.t.Helper()
	n.signal(syscall.SIGSTOP)
	if err := n.stopped(); err != nil {
		n.t.Fatal("waiting for the process to stop: ", err)
	}
}

// Resume lets a process that was stopped go on.
func (n *Node) Resume() { n.signal(syscall.SIGCONT) }

func (n *Node) signal(s syscall.Signal) {
	n.t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.t.Fatal(err)
	}
}

// Kill ends the process as kill -9 does, and waits for it.
func (n *Node) Kill() {
	if n.Running() {
		_ = n.cmd.Process.Kill()
	}
	<-n.exited
}

// Dump ends the process and makes the Go runtime write the stacks to the log.
func (n *Node) Dump() {
	_ = n.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-n.exited:
	case <-time.After(readyWithin / 4):
		n.Kill()
	}
}

// Stop ends the process with SIGTERM and returns its exit code.
func (n *Node) Stop() int {
	n.t.Helper()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		n.t.Error(err)
	}
	select {
	case <-n.exited:
	case <-time.After(stopWithin):
		n.t.Errorf("the node did not stop within %v", stopWithin)
		n.Kill()
	}
	return n.cmd.ProcessState.ExitCode()
}

// Memory is the resident set of the process now and at its highest, in bytes.
func (n *Node) Memory() (now, peak int64) {
	n.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.PID))
	if err != nil {
		n.t.Skip("this system does not tell the memory of a process")
	}
	field := func(name string) int64 {
		_, rest, _ := bytes.Cut(b, []byte(name+":"))
		f := strings.Fields(string(rest[:min(len(rest), 40)]))
		if len(f) == 0 {
			return 0
		}
		kb, _ := strconv.ParseInt(f[0], 10, 64)
		return kb << 10
	}
	return field("VmRSS"), field("VmHWM")
}

// Run runs another command of the binary and returns its exit code and output.
func Run(t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, log bytes.Buffer
	cmd := exec.Command(Binary(t), args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &log, cleanEnviron()
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), log.String()
}

// Command is Run that is given up when ctx ends: it answers what the command prints, and an
// error with what it says if it fails.
func Command(ctx context.Context, t testing.TB, args ...string) (stdout string, err error) {
	var out, log bytes.Buffer
	cmd := exec.CommandContext(ctx, Binary(t), args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = &out, &log, cleanEnviron()
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("strata %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(log.Bytes()))
	}
	return out.String(), nil
}

// Conn is a bare connection to a node: what is sent and what comes back is in the
// hands of the test.
type Conn struct {
	net.Conn
	Decoder *resp.Decoder
}

// Dial connects to addr.
func Dial(addr string) (*Conn, error) {
	c, err := net.DialTimeout("tcp", addr, time.Minute)
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: c, Decoder: resp.NewDecoder(c, resp.DecoderLimits{})}, nil
}

// Do sends a command and returns its reply.
func (c *Conn) Do(args ...string) (resp.Value, error) {
	if _, err := c.Write(resp.AppendCommand(nil, args...)); err != nil {
		return resp.Value{}, err
	}
	return c.Decoder.Decode()
}

// Command ranges cuts the keyspace of a node, or of a cluster, into many ranges, and prints
// what they cost: the time of a split, memory, the processor while nothing is done, and the
// time of a start; in a cluster, how many system calls write something, which is what
// messages come to.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/stratadb/strata/proto"
)

const (
	startWithin = 5 * time.Minute
	// settle is how long background work gets, and idle how long nothing is done then.
	settle = 15 * time.Second
	idle   = 20 * time.Second
	slots  = 16384
)

func main() {
	binary := flag.String("strata", "bin/strata", "the binary")
	count := flag.Int("ranges", 10_000, "how many ranges")
	nodes := flag.Int("nodes", 1, "how many nodes; three hold three copies")
	flag.Parse()
	if err := run(*binary, *count, *nodes); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(binary string, count, nodes int) error {
	if count < 2 || count > slots {
		return fmt.Errorf("-ranges must lie between 2 and %d", slots)
	}
	if nodes > 1 {
		return runCluster(binary, count, nodes)
	}
	dir, err := os.MkdirTemp("", "strata-ranges-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	n := &node{binary: binary, dir: dir}
	if err := n.start(); err != nil {
		return err
	}
	defer n.kill()
	if err := n.report("1 range"); err != nil {
		return err
	}
	began := time.Now()
	if err := n.split(count - 1); err != nil {
		return err
	}
	fmt.Printf("%d splits: %.1f ms each\n", count-1, time.Since(began).Seconds()*1000/float64(count-1))
	if err := n.report(fmt.Sprintf("%d ranges", count)); err != nil {
		return err
	}
	for _, how := range []struct {
		name string
		sig  os.Signal
	}{{"stop", syscall.SIGTERM}, {"kill -9", syscall.SIGKILL}} {
		began := time.Now()
		if err := n.end(how.sig); err != nil {
			return err
		}
		stopped := time.Since(began)
		if err := n.start(); err != nil {
			return err
		}
		fmt.Printf("%s %.2f s, start %.2f s\n", how.name, stopped.Seconds(), n.took.Seconds())
	}
	return n.report(fmt.Sprintf("%d ranges, started again", count))
}

// runCluster cuts the keyspace of several nodes.
func runCluster(binary string, count, nodes int) error {
	dir, err := os.MkdirTemp("", "strata-ranges-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var all []*node
	for i := range nodes {
		n := &node{binary: binary, dir: filepath.Join(dir, strconv.Itoa(i)), args: []string{"--cluster-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"}}
		if i > 0 {
			n.args = append(n.args, "--join", all[0].admin)
		}
		if err := n.start(); err != nil {
			return err
		}
		defer n.kill()
		all = append(all, n)
	}
	time.Sleep(settle) // until all nodes hold a copy
	began := time.Now()
	if err := all[0].split(count - 1); err != nil {
		return err
	}
	fmt.Printf("%d splits: %.1f ms each\n", count-1, time.Since(began).Seconds()*1000/float64(count-1))
	time.Sleep(settle)
	for i, n := range all {
		if err := n.report(fmt.Sprintf("node %d of %d ranges", i+1, count)); err != nil {
			return err
		}
	}
	return nil
}

// node is a process.
type node struct {
	binary, dir, grpc, admin string
	args                     []string // instead of those of a node that is alone
	cmd                      *exec.Cmd
	took                     time.Duration
}

func (n *node) start() error {
	args := n.args
	if args == nil {
		args = []string{"--admin-addr", "off"}
	}
	n.cmd = exec.Command(n.binary, append([]string{"start", "--data", filepath.Join(n.dir, "data"), "--resp-addr", "127.0.0.1:0",
		"--grpc-addr", "127.0.0.1:0", "--log-level", "warn"}, args...)...)
	n.cmd.Stderr = os.Stderr
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := n.cmd.Start(); err != nil {
		return err
	}
	ready := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		ready <- line
		_, _ = io.Copy(io.Discard, out)
	}()
	select {
	case line := <-ready:
		n.took = time.Since(began)
		for _, word := range strings.Fields(line) {
			if addr, ok := strings.CutPrefix(word, "grpc="); ok {
				n.grpc = addr
			}
			if addr, ok := strings.CutPrefix(word, "admin="); ok {
				n.admin = addr
			}
		}
		if n.grpc == "" {
			return fmt.Errorf("the node says %q", line)
		}
		return nil
	case <-time.After(startWithin):
		return fmt.Errorf("the node was not ready within %v", startWithin)
	}
}

func (n *node) end(sig os.Signal) error {
	if err := n.cmd.Process.Signal(sig); err != nil {
		return err
	}
	_ = n.cmd.Wait() // killed is what it should be
	return nil
}

func (n *node) kill() {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
}

// split cuts the default database's slots.
func (n *node) split(times int) error {
	c, err := grpc.NewClient(n.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	d, ctx := proto.NewDistributionClient(c), context.Background()
	list, err := d.ListRoutes(ctx, &proto.ListRoutesRequest{})
	if err != nil {
		return err
	}
	version, id := list.CatalogVersion, list.Routes[len(list.Routes)-1].RouteId
	for i := range times {
		// Data, the default namespace, Redis, database 0, and a slot.
		key := binary.BigEndian.AppendUint16([]byte{4, 1, 1, 1, 0}, uint16((i+1)*slots/(times+1)))
		done, err := d.SplitRange(ctx, &proto.SplitRangeRequest{ExpectedCatalogVersion: version, RouteId: id, SplitKey: key})
		for try := 0; err != nil && status.Code(err) == codes.Unavailable && try < 100; try++ {
			time.Sleep(100 * time.Millisecond) // it may have been done
			if list, err = d.ListRoutes(ctx, &proto.ListRoutesRequest{}); err == nil {
				version, id = list.CatalogVersion, list.Routes[len(list.Routes)-1].RouteId
				done, err = d.SplitRange(ctx, &proto.SplitRangeRequest{ExpectedCatalogVersion: version, RouteId: id, SplitKey: key})
			}
		}
		if err != nil {
			return fmt.Errorf("split %d: %w", i, err)
		}
		version, id = done.CatalogVersion, done.Right.RouteId
	}
	return nil
}

// report prints what the process holds and does when nobody asks it for anything.
func (n *node) report(what string) error {
	time.Sleep(settle)
	before, err := n.processor()
	if err != nil {
		return err
	}
	written, err := n.written()
	if err != nil {
		return err
	}
	time.Sleep(idle)
	after, err := n.processor()
	if err != nil {
		return err
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	if err != nil {
		return err
	}
	var kib int
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ = strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	writes, err := n.written()
	if err != nil {
		return err
	}
	fmt.Printf("%s: %.2f %% of a processor and %.0f writes a second while idle, %d MiB of memory\n", what,
		100*(after-before).Seconds()/idle.Seconds(), float64(writes-written)/idle.Seconds(), kib>>10)
	return nil
}

// written is how many system calls have written something, to files or sockets.
func (n *node) written() (count int, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", n.cmd.Process.Pid))
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "syscw:"); ok {
			count, _ = strconv.Atoi(strings.TrimSpace(rest))
		}
	}
	return count, err
}

// processor is the time that the process has used.
func (n *node) processor() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	ticks := 0
	for _, f := range fields[11:13] { // user and system time, in hundredths of a second
		t, err := strconv.Atoi(f)
		if err != nil {
			return 0, err
		}
		ticks += t
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

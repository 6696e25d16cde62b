package cli

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/spf13/cobra"

	"github.com/stratadb/strata/internal/config"
	"github.com/stratadb/strata/internal/node"
	"github.com/stratadb/strata/internal/storage/identity"
)

// The ports of the first node; the others have the next ones.
const (
	demoPort        = 63791 // RESP
	demoAdminAbove  = 100   // above the RESP port
	demoGRPCAbove   = 200
	demoPeersAbove  = 1000
	demoNodesMax    = 7
	demoCacheBytes  = 32 << 20 // per node, of each kind
	demoDeadAfter   = 30 * time.Second
	demoWindowBytes = 128 << 20 // per node
)

type demoOptions struct {
	nodes, port int
	data        string
	logLevel    string
}

func newDemo(p Process) *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "run a cluster in one process, to try things out",
		Long: "Starts nodes that replicate everything to each other, all in this process, and says where they listen.\n" +
			"RESP clients connect to any of them. SIGINT or SIGTERM ends it. For real data run `strata start` on\n" +
			"machines that do not fail together.",
		Args: noArgs,
	}
	f := cmd.Flags()
	f.IntVar(&o.nodes, "nodes", 3, "how many nodes: 1 to 7")
	f.IntVar(&o.port, "port", demoPort, "RESP port of the first node; the others have the next ones; 0: free ones")
	f.StringVar(&o.data, "data", "", "directory that keeps the data; by default a temporary one, which is removed at the end")
	f.StringVar(&o.logLevel, "log-level", "error", "debug, info, warn or error")
	cmd.RunE = func(*cobra.Command, []string) error {
		switch {
		case o.nodes < 1 || o.nodes > demoNodesMax:
			return usagef("--nodes: 1 to %d", demoNodesMax)
		case o.port < 0 || o.port+demoPeersAbove+o.nodes > math.MaxUint16:
			return usagef("--port: 0, or up to %d", math.MaxUint16-demoPeersAbove-o.nodes)
		case o.port == 0 && o.data != "":
			return usagef("--port 0: nodes that keep their data keep their ports")
		}
		log, err := newLogger(config.Config{LogLevel: o.logLevel}, p.Stderr)
		if err != nil {
			return usage(err)
		}
		return runDemo(p, o, log)
	}
	return cmd
}

// demo is a cluster in this process.
type demo struct {
	o     demoOptions
	log   *slog.Logger
	nodes []*node.Node
}

func runDemo(p Process, o demoOptions, log *slog.Logger) (err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	kept := "kept"
	if o.data == "" {
		if o.data, err = os.MkdirTemp("", "strata-demo-"); err != nil {
			return failed(err, "making a directory")
		}
		defer func() { err = errors.CombineErrors(err, os.RemoveAll(o.data)) }()
		kept = "removed at the end"
	}
	d := &demo{o: o, log: log, nodes: make([]*node.Node, o.nodes)}
	err = d.start(ctx)
	if err == nil {
		out := &printer{w: p.Stdout}
		out.f("%d nodes in this process; data in %s, %s\n", o.nodes, o.data, kept)
		for i, n := range d.nodes {
			out.f("%d%s\n", i+1, n.Listening())
		}
		out.f("ready: Ctrl-C ends it; look at it with strata nodes --admin %s\n", d.nodes[0].Admin())
		if err = out.err; err == nil {
			err = d.wait(ctx)
		}
	}
	stop() // a second signal ends the process at once
	if err = errors.CombineErrors(err, d.close()); err != nil && ctx.Err() == nil {
		return failed(err, "demo")
	}
	return nil
}

// config is that of a node, numbered from zero.
func (d *demo) config(i int) config.Config {
	at := func(above int) string {
		port := 0
		if d.o.port != 0 {
			port = d.o.port + above + i
		}
		return fmt.Sprintf("127.0.0.1:%d", port)
	}
	c := config.Config{Data: d.dir(i), RESPAddr: at(0), AdminAddr: at(demoAdminAbove), GRPCAddr: at(demoGRPCAbove),
		ClusterAddr: config.Off, ProtectedMode: true, MaxClients: 10_000, WindowBytes: demoWindowBytes, CacheBytes: demoCacheBytes, RowCacheBytes: demoCacheBytes,
		DeadAfter: demoDeadAfter, ReadonlyStaleness: time.Second}
	c.Replicas = min(3, d.o.nodes-1+d.o.nodes%2)
	if d.o.nodes > 1 {
		c.ClusterAddr = at(demoPeersAbove)
	}
	return c
}

func (d *demo) dir(i int) string { return filepath.Join(d.o.data, fmt.Sprintf("node%d", i+1)) }

// start starts the nodes that have been there before together, for they need each
// other, and then new ones, one after another.
func (d *demo) start(ctx context.Context) error {
	var wait sync.WaitGroup
	errs := make([]error, len(d.nodes))
	for i := range d.nodes {
		if _, err := os.Stat(filepath.Join(d.dir(i), identity.FileName)); err == nil {
			wait.Go(func() { errs[i] = d.launch(ctx, i, d.config(i)) })
		}
	}
	wait.Wait()
	for i, n := range d.nodes {
		if n != nil || errs[i] != nil {
			continue
		}
		c := d.config(i)
		if i > 0 {
			if d.nodes[0] == nil {
				break
			}
			c.Join = d.nodes[0].Admin()
		}
		errs[i] = d.launch(ctx, i, c)
	}
	return errors.Join(errs...)
}

func (d *demo) launch(ctx context.Context, i int, c config.Config) (err error) {
	d.nodes[i], err = node.Start(ctx, c, d.log.With("demo", i+1))
	return errors.Wrapf(err, "node %d", i+1)
}

// wait returns when the demo is to end.
func (d *demo) wait(ctx context.Context) error {
	failure := make(chan error, len(d.nodes))
	for _, n := range d.nodes {
		go func() {
			select {
			case err := <-n.Done():
				failure <- err
			case <-ctx.Done():
			}
		}()
	}
	select {
	case err := <-failure:
		return err
	case <-ctx.Done():
		return nil
	}
}

// close stops the nodes: first none of them serves clients any more, for those who are
// left alone in the end could not.
func (d *demo) close() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), drainMax)
	defer cancel()
	for _, n := range d.nodes {
		if n != nil {
			err = errors.CombineErrors(err, n.Drain(ctx))
		}
	}
	for _, n := range d.nodes {
		if n != nil {
			err = errors.CombineErrors(err, n.Close(ctx))
		}
	}
	return err
}

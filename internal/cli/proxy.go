package cli

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/stratadb/strata/internal/migrate/peer"
	"github.com/stratadb/strata/internal/proxy"
)

// serverFlags are what there is to say of a server.
type serverFlags struct {
	addr, user, password string
	db                   int
	tls                  bool
}

func (s *serverFlags) register(f *pflag.FlagSet, name, what, addr string) {
	f.StringVar(&s.addr, name, addr, "address of "+what)
	f.StringVar(&s.user, name+"-user", "", "user there")
	f.StringVar(&s.password, name+"-password", "", "password there; better in the environment: "+environName(name))
	f.BoolVar(&s.tls, name+"-tls", false, "encrypt the connections there, with the system's certificates")
}

// environName is the variable for a password that is not on the command line.
func environName(name string) string {
	return "STRATA_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_")) + "_PASSWORD"
}

// environ is a variable, "" if it is not set.
func (p Process) environ(name string) string {
	for _, e := range p.Environ {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

func (s *serverFlags) server(p Process, name string, timeout time.Duration) peer.Server {
	out := peer.Server{Addr: s.addr, User: s.user, Password: s.password, DB: s.db, Timeout: timeout}
	if out.Password == "" {
		out.Password = p.environ(environName(name))
	}
	if s.tls {
		out.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	return out
}

type proxyOptions struct {
	proxy.Config
	sides   [2]serverFlags
	mode    string
	state   string
	timeout time.Duration
	queueMB int
}

func newProxy(p Process) *cobra.Command {
	var o proxyOptions
	cmd := &cobra.Command{
		Use:   "proxy",
		Short: "move an application from a Redis server to Strata without stopping it",
		Long: "Stands between clients and two servers: the primary, a Redis server, and the secondary, Strata.\n" +
			"The mode says who decides, and whether the other side gets the writes, too:\n\n" +
			"  redis-only         everything goes to Redis\n" +
			"  dual-write         Redis decides, Strata gets the writes\n" +
			"  dual-write-shadow  and reads are made at both sides and compared\n" +
			"  strata-primary     Strata decides, Redis gets the writes\n" +
			"  strata-only        everything goes to Strata\n\n" +
			"`strata proxy sync` copies what was there before, `strata proxy report` says how the sides compare,\n" +
			"`strata proxy mode MODE` changes the mode while clients go on. A long flag may have one dash.",
		Args: noArgs,
	}
	f := cmd.Flags()
	f.StringVar(&o.Listen, "listen", "127.0.0.1:6380", "where clients connect")
	f.StringVar(&o.Admin, "metrics", "127.0.0.1:6381", "where report, metrics and the switch are; off for nowhere")
	f.StringVar(&o.mode, "mode", "", "the mode to begin in (default: that of the state, or redis-only)")
	o.sides[0].register(f, "primary", "the Redis server", "127.0.0.1:6379")
	o.sides[1].register(f, "secondary", "Strata", "127.0.0.1:5484")
	f.IntVar(&o.sides[0].db, "primary-db", 0, "database there that is the clients' database 0")
	f.IntVar(&o.sides[1].db, "secondary-db", 0, "database there that is the clients' database 0")
	f.StringVar(&o.User, "user", "", "name that clients may give besides default")
	f.StringVar(&o.Password, "password", "", "what clients must know; better in the environment: STRATA_PROXY_PASSWORD")
	f.IntVar(&o.Clients, "clients", 10_000, "most connections of clients")
	f.IntVar(&o.Idle, "pool", 64, "unused connections that are kept to each side")
	f.DurationVar(&o.timeout, "timeout", 10*time.Second, "longest wait for a server")
	f.IntVar(&o.queueMB, "queue-mb", 256, "most megabytes that wait for the side that follows")
	f.IntVar(&o.QueueItems, "queue-items", 1_000_000, "most writes that wait for it")
	f.DurationVar(&o.Wait, "queue-wait", time.Second, "how long a client waits for room in that queue")
	f.DurationVar(&o.Switch, "switch-wait", 5*time.Second, "how long clients are held at most while the mode changes")
	f.BoolVar(&o.Shadow, "shadow", false, "compare reads in strata-primary mode, too")
	f.IntVar(&o.ShadowEvery, "shadow-every", 1, "compare one of so many reads")
	f.DurationVar(&o.Tolerance, "ttl-tolerance", 2*time.Second, "by how much times to live may differ")
	f.BoolVar(&o.GlobalScripts, "global-scripts", false, "scripts write to keys that they do not declare: run one at a time")
	f.StringVar(&o.state, "state", "", "file that keeps mode and diverged keys over a restart")
	cmd.RunE = func(*cobra.Command, []string) error { return runProxy(p, o) }
	cmd.AddCommand(newProxyReport(p), newProxyMode(p), newProxySync(p))
	return cmd
}

func runProxy(p Process, o proxyOptions) error {
	c := o.Config
	if o.mode != "" {
		mode, err := proxy.ParseMode(o.mode)
		if err != nil {
			return usage(err)
		}
		c.Mode = mode
	}
	if c.Admin == "off" {
		c.Admin = ""
	}
	if c.Password == "" {
		c.Password = p.environ("STRATA_PROXY_PASSWORD")
	}
	if o.queueMB < 1 || o.QueueItems < 1 || c.Clients < 1 || c.Idle < 0 || o.timeout <= 0 || c.ShadowEvery < 1 {
		return usagef("sizes and times must be positive")
	}
	c.QueueBytes = o.queueMB << 20
	for i, name := range []string{"primary", "secondary"} {
		c.Servers[i] = o.sides[i].server(p, name, o.timeout)
	}
	if o.state != "" {
		c.State = stateFile(o.state)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	log := slog.New(slog.NewTextHandler(p.Stderr, nil))
	x, err := proxy.Start(c, log)
	if err != nil {
		return &exitError{code: ExitFailed, err: err}
	}
	if _, err := fmt.Fprintf(p.Stdout, "ready listen=%s metrics=%s mode=%s pid=%d\n", x.Addr(), x.AdminAddr(), x.Mode(), os.Getpid()); err != nil {
		log.Warn("writing the ready line", "error", err)
	}
	log.Info("stopping", "signal", (<-signals).String())
	report := x.Report()
	ctx, cancel := context.WithTimeout(context.Background(), drainMax)
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- x.Close(ctx) }()
	select {
	case err = <-closed:
	case <-signals:
		return exit(ExitForced)
	}
	if printing := report.WriteText(p.Stderr); printing != nil {
		log.Warn("writing the report", "error", printing)
	}
	if err != nil {
		return &exitError{code: ExitFailed, err: errors.Wrap(err, "stopping")}
	}
	return nil
}

// stateFile is a file that is replaced as a whole.
type stateFile string

func (f stateFile) Load() ([]byte, error) {
	b, err := os.ReadFile(string(f))
	if os.IsNotExist(err) {
		return nil, nil
	}
	return b, err
}

func (f stateFile) Save(b []byte) error {
	next, err := os.CreateTemp(filepath.Dir(string(f)), filepath.Base(string(f))+".*")
	if err != nil {
		return err
	}
	_, err = next.Write(b)
	if err == nil {
		err = next.Sync()
	}
	if closing := next.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(next.Name(), string(f))
	}
	if err != nil {
		_ = os.Remove(next.Name())
	}
	return err
}

const proxyAdmin = "127.0.0.1:6381"

// ask makes a request of a running proxy and prints the answer.
func ask(p Process, method, admin, path string) error {
	req, err := http.NewRequest(method, "http://"+admin+path, nil)
	if err != nil {
		return usage(err)
	}
	reply, err := (&http.Client{Timeout: time.Minute}).Do(req)
	if err != nil {
		return failed(err, admin)
	}
	defer func() { _ = reply.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(reply.Body, 64<<20))
	if err != nil {
		return failed(err, admin)
	}
	if reply.StatusCode >= http.StatusBadRequest {
		return &exitError{code: ExitFailed, err: errors.Newf("%s", strings.TrimSpace(string(text)))}
	}
	_, err = p.Stdout.Write(text)
	return err
}

func newProxyReport(p Process) *cobra.Command {
	admin, asJSON := "", false
	cmd := &cobra.Command{Use: "report", Short: "how the two sides of a running proxy compare", Args: noArgs}
	cmd.Flags().StringVar(&admin, "metrics", proxyAdmin, "its metrics address")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(*cobra.Command, []string) error {
		if asJSON {
			return ask(p, http.MethodGet, admin, "/report")
		}
		return ask(p, http.MethodGet, admin, "/report?format=text")
	}
	return cmd
}

func newProxyMode(p Process) *cobra.Command {
	admin, force := "", false
	cmd := &cobra.Command{Use: "mode [MODE]", Short: "print or change the mode of a running proxy", Args: cobra.MaximumNArgs(1)}
	cmd.Flags().StringVar(&admin, "metrics", proxyAdmin, "its metrics address")
	cmd.Flags().BoolVar(&force, "force", false, "change it although the other side has not got everything")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return ask(p, http.MethodGet, admin, "/mode")
		}
		return ask(p, http.MethodPost, admin, "/mode?to="+url.QueryEscape(args[0])+fmt.Sprintf("&force=%t", force))
	}
	return cmd
}

func newProxySync(p Process) *cobra.Command {
	admin, wait := "", false
	cmd := &cobra.Command{Use: "sync", Short: "copy everything to the side that follows, while clients go on", Args: noArgs}
	cmd.Flags().StringVar(&admin, "metrics", proxyAdmin, "its metrics address")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until all is copied")
	cmd.RunE = func(*cobra.Command, []string) error {
		if err := ask(p, http.MethodPost, admin, "/sync"); err != nil || !wait {
			return err
		}
		return waitForSync(p, admin)
	}
	return cmd
}

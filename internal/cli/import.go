package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/spf13/cobra"

	"github.com/stratadb/strata/internal/importer"
	"github.com/stratadb/strata/internal/migrate/replica"
)

func newImport(p Process) *cobra.Command {
	cmd := &cobra.Command{Use: "import", Short: "copy data from other databases", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(newImportRedis(p))
	return cmd
}

type importOptions struct {
	importer.Options
	from, to serverFlags
	file     string
	fromDB   string
	existing string
	state    string
	timeout  time.Duration
	quiet    bool
	follow   bool
	caughtUp bool
	dir      string
}

func newImportRedis(p Process) *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "redis",
		Short: "copy the data of a Redis server, or of an RDB file",
		Long: "Copies all keys with their times to live: from a running server by SCAN, DUMP and RESTORE, or from an\n" +
			"RDB file. What is written to the server meanwhile may be missed: `strata proxy` copies exactly under load.\n\n" +
			"With --state an import that was broken off goes on where it was when it is started again.\n\n" +
			"With --follow it is a replica of the server: it copies everything as of a moment and then brings what is\n" +
			"written, in its order, until it is interrupted. It goes on where it was, also when it is started again.\n\n" +
			"Exit codes: 0 everything was copied, 1 something was not or is different, 2 wrong settings.",
		Args: noArgs,
	}
	f := cmd.Flags()
	o.from.register(f, "from", "the Redis server to copy from", "")
	o.to.register(f, "to", "the server to copy to", "127.0.0.1:5484")
	f.StringVar(&o.file, "from-rdb", "", "RDB file to copy from")
	f.StringVar(&o.fromDB, "from-db", "all", "database to copy")
	f.StringVar(&o.existing, "existing", "skip", "what to do with keys that are there: skip, replace, or fail, unless they are equal")
	f.IntVar(&o.Workers, "workers", 4, "connections that copy at the same time")
	f.IntVar(&o.Batch, "batch", 100, "keys that each asks for at once")
	f.DurationVar(&o.timeout, "timeout", 60*time.Second, "longest wait for a server")
	f.StringVar(&o.state, "state", "", "file that keeps how far the import has come")
	f.BoolVar(&o.follow, "follow", false, "follow the server as a replica does")
	f.BoolVar(&o.caughtUp, "until-caught-up", false, "follow until everything has come that was there at the beginning")
	f.StringVar(&o.dir, "dir", "", "directory for what --follow has received; the system's for temporary files by default")
	f.BoolVar(&o.Verify, "verify", false, "compare both sides afterwards")
	f.BoolVar(&o.VerifyOnly, "verify-only", false, "compare, and copy nothing")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no progress")
	cmd.RunE = func(*cobra.Command, []string) error { return runImport(p, o) }
	return cmd
}

func runImport(p Process, o importOptions) error {
	i := o.Options
	switch i.Existing = importer.Existing(o.existing); i.Existing {
	case importer.Skip, importer.Replace, importer.Fail:
	default:
		return usagef("--existing: %q is none of skip, replace, fail", o.existing)
	}
	switch {
	case (o.file == "") == (o.from.addr == ""):
		return usagef("give either --from or --from-rdb")
	case o.file != "" && (i.Verify || i.VerifyOnly || o.state != ""):
		return usagef("--verify, --verify-only and --state are for a running server")
	case i.Workers < 1 || i.Workers > 256 || i.Batch < 1 || i.Batch > 10_000:
		return usagef("--workers is from 1 to 256, --batch from 1 to 10000")
	}
	o.follow = o.follow || o.caughtUp
	if o.follow && (o.file != "" || o.fromDB != "all" || o.state != "" || i.VerifyOnly || i.Existing == importer.Fail || i.Verify && !o.caughtUp) {
		return usagef("--follow is for all databases of a running server, needs no --state, and is verified --until-caught-up")
	}
	if o.fromDB != "all" {
		db, err := strconv.Atoi(o.fromDB)
		if err != nil || db < 0 {
			return usagef("--from-db is a number or all")
		}
		i.Databases = []int{db}
	}
	i.From, i.To = o.from.server(p, "from", o.timeout), o.to.server(p, "to", o.timeout)
	if o.state != "" {
		i.State = stateFile(o.state)
	}
	if !o.quiet {
		i.Progress = (&progressLine{p: p}).show
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	begun := time.Now()
	var sum importer.Summary
	var err error
	switch {
	case o.follow:
		sum, err = importer.Follow(ctx, importer.FollowOptions{Options: i, Files: arrivals(o.dir), UntilCaughtUp: o.caughtUp,
			Tell: func(what string) { fmt.Fprintln(p.Stderr, what) }})
	case o.file != "":
		file, release, mapping := mapFile(o.file)
		if mapping != nil {
			return failed(mapping, "reading the file")
		}
		defer release()
		sum, err = importer.RunFile(ctx, file, i)
	default:
		sum, err = importer.Run(ctx, i)
	}
	if !o.quiet && isTerminalWriter(p.Stderr) {
		fmt.Fprintln(p.Stderr)
	}
	if printing := printSummary(p, &sum, time.Since(begun)); printing != nil {
		return failed(printing, "writing the summary")
	}
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		return failed(err, "import")
	}
	if sum.Failed > 0 || sum.Different > 0 {
		return exit(ExitFailed)
	}
	return nil
}

// arrivals is a directory for files without names.
type arrivals string

func (dir arrivals) Temporary() (replica.File, error) {
	f, err := os.CreateTemp(string(dir), "strata-follow-*")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

func (arrivals) Map(f replica.File) ([]byte, func(), error) { return mapOpen(f.(*os.File)) }

// progressLine shows how far an import is, a few times a second, on a terminal; elsewhere
// every ten seconds.
type progressLine struct {
	p    Process
	mu   sync.Mutex
	last time.Time
}

func (l *progressLine) show(g importer.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	terminal := isTerminalWriter(l.p.Stderr)
	pause := 10 * time.Second
	if terminal {
		pause = 200 * time.Millisecond
	}
	if l.last.IsZero() {
		l.last = time.Now()
	}
	if time.Since(l.last) < pause {
		return
	}
	l.last = time.Now()
	rate := float64(g.Keys) / max(g.Elapsed.Seconds(), 0.001)
	text := fmt.Sprintf("%s: %d keys, %.1f MB, %.0f keys/s", g.Phase, g.Keys, float64(g.Bytes)/1e6, rate)
	if g.Phase == "following" {
		text = fmt.Sprintf("following: %d commands, %.1f MB and %v behind", g.Commands, float64(g.Waiting)/1e6, g.Behind.Round(time.Millisecond))
	}
	if g.Total > 0 && rate > 0 {
		left := time.Duration(float64(max(g.Total-g.Keys, 0)) / rate * float64(time.Second))
		text += fmt.Sprintf(", %.0f %%, %v left", min(100*float64(g.Keys)/float64(g.Total), 100), left.Round(time.Second))
	}
	if terminal {
		fmt.Fprintf(l.p.Stderr, "\r%s\x1b[K", text)
		return
	}
	fmt.Fprintln(l.p.Stderr, text)
}

func printSummary(p Process, s *importer.Summary, took time.Duration) error {
	out := &printer{w: p.Stdout}
	out.f("copied     %d keys (%d in pieces), %.1f MB in %v\n", s.Copied, s.Large, float64(s.Bytes)/1e6, took.Round(time.Millisecond))
	if s.Commands > 0 {
		out.f("followed   %d commands\n", s.Commands)
	}
	if s.Functions > 0 {
		out.f("functions  %d libraries\n", s.Functions)
	}
	if s.Skipped+s.Equal+s.Expired > 0 {
		out.f("left out   %d that exist, %d that are equal, %d that have expired\n", s.Skipped, s.Equal, s.Expired)
	}
	if s.Verified > 0 {
		out.f("verified   %d keys, %d are different\n", s.Verified, s.Different)
	}
	if s.Failed > 0 {
		out.f("FAILED     %d keys\n", s.Failed)
	}
	for _, problem := range s.Problems {
		out.f("           %s\n", problem)
	}
	return out.err
}

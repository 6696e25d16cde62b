package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/spf13/cobra"

	"github.com/stratadb/strata/internal/config"
	"github.com/stratadb/strata/internal/node"
)

// drainMax is how long a node that was told to stop waits for its clients, stopMax how long
// all of it may take: what has not been written by then is in the log.
const (
	drainMax = 30 * time.Second
	stopMax  = 2 * time.Minute
)

func newStart(p Process) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "start",
		Short: "run a node",
		Long: "Runs a node until SIGTERM or SIGINT, then drains its connections and stops; a second signal\n" +
			"ends it at once, which is as safe as a crash. Logs go to standard error. One line on standard\n" +
			"output that begins with `ready` says what listens where.\n\n" +
			"Exit codes: 0 stopped as asked, 1 could not start or had to stop, 2 wrong settings,\n" +
			"130 ended by a second signal.",
		Args: noArgs,
	}
	config.Flags(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := config.Load(cmd.Flags(), p.Environ)
		if err != nil {
			return usage(err)
		}
		log, err := newLogger(c, p.Stderr)
		if err != nil {
			return usage(err)
		}
		return runNode(p, c, log)
	}
	return cmd
}

func newLogger(c config.Config, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, errors.Newf("--log-level: %q is none of debug, info, warn, error", c.LogLevel)
	}
	o := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return slog.New(slog.NewTextHandler(w, o)), nil
}

// runNode runs until a signal or a fatal error.
func runNode(p Process, c config.Config, log *slog.Logger) error {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	type started struct {
		node *node.Node
		err  error
	}
	starting := make(chan started, 1)
	go func() {
		n, err := node.Start(ctx, c, log)
		starting <- started{n, err}
	}()
	var s started
	select {
	case s = <-starting:
	case got := <-signals:
		log.Info("stopping before the start has ended", "signal", got.String())
		cancel()
		s = <-starting
		if s.err != nil {
			return nil
		}
		return drain(s.node, signals, log)
	}
	if s.err != nil {
		return &exitError{code: ExitFailed, err: s.err}
	}
	if _, err := fmt.Fprintln(p.Stdout, s.node.Ready()); err != nil {
		log.Warn("writing the ready line", "error", err)
	}
	select {
	case got := <-signals:
		log.Info("stopping", "signal", got.String())
		return drain(s.node, signals, log)
	case <-s.node.Asked():
		log.Info("stopping", "asked by", "a client")
		return drain(s.node, signals, log)
	case err := <-s.node.Done():
		// What is on disk can no longer be relied on: nothing more is written.
		log.Error("the node has to stop", "error", err)
		return exit(ExitFailed)
	}
}

func drain(n *node.Node, signals <-chan os.Signal, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), drainMax)
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- n.Close(ctx) }()
	select {
	case err := <-closed:
		if err != nil {
			return &exitError{code: ExitFailed, err: errors.Wrap(err, "stopping")}
		}
		log.Info("stopped")
		return nil
	case err := <-n.Done():
		log.Error("stopping at once", "error", err)
		return exit(ExitFailed)
	case <-time.After(stopMax):
		log.Error("stopping at once: it takes too long")
		return exit(ExitFailed)
	case got := <-signals:
		log.Warn("stopping at once", "signal", got.String())
		return exit(ExitForced)
	}
}

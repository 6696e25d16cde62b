package redis

import (
	"bytes"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/monitor"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/redisnum"
)

// watcherCommands are the commands that tell what other commands do and how long they take.
func watcherCommands() []Command {
	const admin = command.FlagAdmin | command.FlagNoScript | command.FlagLoading | command.FlagStale
	sub := func(name, summary, since string, arity int, h func(c *Call) error) Command {
		return Command{Name: name, Summary: summary, Since: since, Group: command.GroupServer, Arity: arity, Flags: admin, Kind: command.KindConnection, Handler: h}
	}
	return []Command{
		{Name: "monitor", Summary: "Listens for all requests received by the server in real-time.", Since: "1.0.0", Group: command.GroupServer, Arity: 1,
			Flags: admin | command.FlagUnqueued, Kind: command.KindConnection, Handler: monitorCommand},
		{Name: "slowlog", Summary: "A container for slow log commands.", Since: "2.2.12", Group: command.GroupServer, Arity: -2, Subcommands: []Command{
			sub("get", "Returns the slow log's entries.", "2.2.12", -2, func(c *Call) error { return c.s.srv.slowLog.Get(&c.Call) }),
			sub("len", "Returns the number of entries in the slow log.", "2.2.12", 2, func(c *Call) error { return c.s.srv.slowLog.Len(&c.Call) }),
			sub("reset", "Clears all entries from the slow log.", "2.2.12", 2, func(c *Call) error { return c.s.srv.slowLog.Reset(&c.Call) }),
			helpFor("slowlog", "6.2.0", command.GroupServer,
				"GET [<count>]", "    Return top <count> entries from the slowlog (default: 10, -1 mean all).", "    Entries are made of:",
				"    id, timestamp, time in microseconds, arguments array, client IP and port,", "    client name",
				"LEN", "    Return the length of the slowlog.",
				"RESET", "    Reset the slowlog."),
		}},
		{Name: "latency", Summary: "A container for latency diagnostics commands.", Since: "2.8.13", Group: command.GroupServer, Arity: -2, Subcommands: []Command{
			sub("doctor", "Returns a human-readable latency analysis report.", "2.8.13", 2, latencyDoctor),
			sub("graph", "Returns a latency graph for an event.", "2.8.13", 3, func(c *Call) error { return c.s.srv.events.Graph(&c.Call, c.s.srv.now()) }),
			sub("histogram", "Returns the cumulative distribution of latencies of a subset or all commands.", "7.0.0", -2, latencyHistogram),
			sub("history", "Returns timestamp-latency samples for an event.", "2.8.13", 3, func(c *Call) error { return c.s.srv.events.Of(&c.Call) }),
			sub("latest", "Returns the latest latency samples for all events.", "2.8.13", 2, func(c *Call) error { return c.s.srv.events.Latest(&c.Call) }),
			sub("reset", "Resets the latency data for one or more events.", "2.8.13", -2, func(c *Call) error { return c.s.srv.events.Forget(&c.Call) }),
			helpFor("latency", "2.8.13", command.GroupServer,
				"DOCTOR", "    Return a human readable latency analysis report.",
				"GRAPH <event>", "    Return an ASCII latency graph for the <event> class.",
				"HISTORY <event>", "    Return time-latency samples for the <event> class.",
				"LATEST", "    Return the latest latency samples for all events.",
				"RESET [<event> ...]", "    Reset latency data of one or more <event> classes.", "    (default: reset all data for all event classes)",
				"HISTOGRAM [COMMAND ...]", "    Return a cumulative distribution of latencies in the format of a histogram for the specified command names.",
				"    If no commands are specified then all histograms are replied."),
		}},
	}
}

func latencyDoctor(c *Call) error {
	threshold := c.s.srv.settings.latencyThreshold.Load()
	c.W.Verbatim("txt", []byte(c.s.srv.events.Report(threshold > 0)))
	return nil
}

// latencyHistogram tells of the commands that are named, of the subcommands of a container, or of all.
func latencyHistogram(c *Call) error {
	srv := c.s.srv
	mark := c.W.DeferMap()
	n := 0
	tell := func(cmd *Command) {
		if h := &srv.times[cmd.Number()]; h.Count() > 0 {
			h.Describe(&c.Call, cmd.FullName())
			n++
		}
	}
	if len(c.Args) == 2 {
		srv.table.Each(tell)
	}
	for _, name := range c.Args[2:] {
		cmd := srv.table.ByFullName(name)
		if cmd == nil {
			continue
		}
		tell(cmd)
		for i := range cmd.Subcommands {
			tell(&cmd.Subcommands[i])
		}
	}
	c.W.Close(mark, n)
	return nil
}

// monitorCommand makes the client one that is told of every command.
func monitorCommand(c *Call) error {
	s := c.s
	if s.monitoring.Swap(true) {
		c.W.OK()
		return nil
	}
	s.srv.monitors.Add(s, func() {
		c.W.OK()
		s.flush(c.x)
		c.x.mark = 0
	})
	return nil
}

// unmonitor ends MONITOR.
func (s *session) unmonitor() {
	if s.monitoring.Swap(false) {
		s.srv.monitors.Remove(s)
	}
}

// Tell implements monitor.Listener. A client that does not read is disconnected.
func (s *session) Tell(line []byte) { s.out.Push(line, limits.SubscriberOutputBytes) }

// tellMonitors tells of a command of the session, but for those of administration.
func (s *session) tellMonitors(cmd *Command, args [][]byte, db uint8) {
	if cmd.Flags&command.FlagAdmin == 0 {
		s.srv.monitors.Tell(s.srv.now(), db, s.conn.RemoteAddr().String(), monitor.Redacted(cmd.FullName(), args))
	}
}

// tellQueue tells of the commands of an EXEC, in the databases in which they were executed.
func (x *executor) tellQueue(s *session, queue []queued, db uint8) {
	if s.srv.special.Load()&specialMonitors == 0 {
		return
	}
	for i, q := range queue {
		if n, ok := redisnum.ParseInt(q.args[len(q.args)-1]); ok && q.cmd.Name == "select" && n >= 0 && n <= 255 {
			db = uint8(n)
		}
		s.tellMonitors(q.cmd, q.args, db)
		x.tellOverheard(s, i)
	}
	x.overheard = x.overheard[:0]
}

// overheard is a command that a script has called.
type overheard struct {
	cmd  *Command
	args [][]byte
	db   uint8
	at   int // the place of the script in the queue of an EXEC
}

// overhear keeps a command for monitors, until it is known that the script has happened.
func (x *executor) overhear(s *session, cmd *Command, args [][]byte) {
	if s.srv.special.Load()&specialMonitors == 0 || cmd.Flags&command.FlagAdmin != 0 {
		return
	}
	kept := make([][]byte, len(args))
	for i, a := range args {
		kept[i] = bytes.Clone(a)
	}
	x.overheard = append(x.overheard, overheard{cmd, kept, s.handle.Number(), x.queueAt})
}

// tellOverheard tells of what a script has called.
func (x *executor) tellOverheard(s *session, at int) {
	for _, o := range x.overheard {
		if o.at == at {
			s.srv.monitors.Tell(s.srv.now(), o.db, monitor.Script, monitor.Redacted(o.cmd.FullName(), o.args))
		}
	}
}

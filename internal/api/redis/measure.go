package redis

import (
	"time"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/monitor"
	"github.com/stratadb/strata/internal/api/redis/slowlog"
)

// Every command is measured, but for those that are brief (FlagBrief), work on what this node
// leads and have company: others before them in the same buffer, or other clients' commands in
// the same round of a loop. Reading the clock would cost them a fifth of their time. Of these one
// in 16 is, and counts for all. Where somebody asks for commands that take less than preciseBelow,
// all are measured.

// sampleMask selects the brief commands that are measured: one of 16.
const sampleMask = 15

// preciseBelow is up to which threshold of the slow log all commands are measured.
const preciseBelow = time.Millisecond

// What execute has to look at besides the command; zero most of the time.
const (
	specialPause uint32 = 1 << iota
	specialMonitors
	specialPrecise
	specialCache
)

// setSpecial changes a bit of what execute looks at.
func (s *Server) setSpecial(bit uint32, on bool) {
	if on {
		s.special.Or(bit)
	} else {
		s.special.And(^bit)
	}
}

// briefly are commands beside the fast ones that are brief.
var briefly = map[string]bool{"set": true, "setex": true, "psetex": true, "del": true, "mset": true}

// isBrief reports whether a command's time is that of a few rows.
func isBrief(cmd *Command) bool {
	return cmd.Flags&command.FlagBlocking == 0 && (cmd.Flags&command.FlagFast != 0 || briefly[cmd.FullName()])
}

// clock is the time since the server began.
func (s *Server) clock() time.Duration { return time.Since(s.began) }

// weight is for how many commands the next one is measured; zero: it is not.
func (s *session) weight(x *executor, cmd *Command) int64 {
	if cmd.Flags&command.FlagBrief == 0 || x.exact || s.srv.special.Load()&specialPrecise != 0 {
		return 1
	}
	if x.sample++; x.sample&sampleMask == 0 {
		return sampleMask + 1
	}
	return 0
}

// measured runs a command and notes how long it took.
func (s *session) measured(x *executor, cmd *Command, args [][]byte, weight int64) {
	x.idle = 0
	start := s.srv.clock()
	if s.invoke(x, cmd, args); x.waits {
		return
	}
	took := s.srv.clock() - start - x.idle
	s.srv.count(cmd, took, weight)
	s.noteSlow(cmd, args, took)
}

// noteSlow puts a command into the slow log and among the events of LATENCY, if it took that long.
func (s *session) noteSlow(cmd *Command, args [][]byte, took time.Duration) {
	if took >= time.Duration(s.srv.settings.slow.Load()) {
		s.slow(cmd, args, took)
	}
	if most := s.srv.settings.latencyThreshold.Load(); most > 0 && took >= time.Duration(most)*time.Millisecond {
		s.srv.events.Add(word(cmd.Flags&command.FlagFast != 0, "command", "fast-command"), took, s.srv.now())
	}
}

// count notes how long a command took, for as many as weight says.
func (s *Server) count(cmd *Command, took time.Duration, weight int64) {
	cmd.Stats.Nanos.Add(int64(took) * weight)
	if s.settings.latencyTracking.Load() {
		s.times[cmd.Number()].Add(took, weight)
	}
}

// slow puts a command into the slow log.
func (s *session) slow(cmd *Command, args [][]byte, took time.Duration) {
	s.info.Lock()
	name := s.info.name
	s.info.Unlock()
	s.srv.slowLog.Add(slowlog.Entry{
		At: s.srv.now(), Took: took, Args: slowlog.Arguments(monitor.Redacted(cmd.FullName(), args)), Client: s.conn.RemoteAddr().String(), Name: name,
	}, int(s.srv.settings.slowMax.Load()))
}

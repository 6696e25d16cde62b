package redis

import (
	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/tracking"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/pubsub"
	"github.com/stratadb/strata/internal/redisnum"
	"github.com/stratadb/strata/internal/wire/resp"
)

func clientTracking(c *Call) error {
	s := c.s
	on, o, err := tracking.Parse(c.Args[2:], func(id int64) bool { return s.srv.client(id) != nil })
	switch {
	case err != nil:
		return err
	case on:
		if s.tracker == nil {
			t := s.srv.tracking.NewClient(s)
			s.info.Lock()
			s.tracker, s.info.tracker = t, t
			s.info.Unlock()
		}
		if err := s.resolveNamespace(c.x); err != nil {
			return err
		}
		if err := s.tracker.On(o, s.ns.ID); err != nil {
			return err
		}
		s.tracks = true
	default:
		s.untrack()
	}
	c.W.OK()
	return nil
}

// untrack ends the session's tracking.
func (s *session) untrack() {
	if s.tracks {
		s.tracker.Off()
		s.tracks = false
	}
}

const (
	errCaching command.Error = "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled"
	errOptIn   command.Error = "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode."
	errOptOut  command.Error = "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode."
)

func clientCaching(c *Call) error {
	if !c.s.tracks {
		return errCaching
	}
	t := c.s.tracker
	yes := command.Is(c.Args[2], "yes")
	switch {
	case !yes && !command.Is(c.Args[2], "no"):
		return command.ErrSyntax
	case yes && !t.Options().OptIn:
		return errOptIn
	case !yes && !t.Options().OptOut:
		return errOptOut
	}
	t.Caching = true
	c.W.OK()
	return nil
}

func clientGetredir(c *Call) error {
	c.W.Int(c.s.redirects())
	return nil
}

// redirects is who is told in the session's place; zero: nobody, and -1: nobody is told.
func (s *session) redirects() int64 {
	if !s.tracks {
		return -1
	}
	return s.tracker.Options().Redirect
}

func clientTrackinginfo(c *Call) error {
	flags, o := []string{"off"}, tracking.Options{}
	if t := c.s.tracker; c.s.tracks {
		var broken bool
		_, o, broken = t.State()
		flags[0] = "on"
		for _, f := range []struct {
			word string
			is   bool
		}{{"bcast", o.Broadcast}, {"optin", o.OptIn}, {"caching-yes", o.OptIn && t.Caching}, {"optout", o.OptOut}, {"caching-no", o.OptOut && t.Caching},
			{"noloop", o.NoLoop}, {"broken_redirect", broken}} {
			if f.is {
				flags = append(flags, f.word)
			}
		}
	}
	w := c.W
	w.Map(3)
	w.BulkString("flags")
	w.Set(len(flags))
	for _, f := range flags {
		w.BulkString(f)
	}
	w.BulkString("redirect")
	w.Int(c.s.redirects())
	w.BulkString("prefixes")
	w.Array(len(o.Prefixes))
	for _, p := range o.Prefixes {
		w.BulkString(p)
	}
	return nil
}

// client is a session by its number; nil if there is none.
func (s *Server) client(id int64) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.byID[id]
}

// invalidations is the channel on which RESP2 clients are told.
var invalidations = []byte("__redis__:invalidate")

// Invalidate implements tracking.Connection.
func (s *session) Invalidate(keys [][]byte, redirect int64) bool {
	to := s
	if redirect != 0 {
		if to = s.srv.client(redirect); to == nil {
			if proto, _ := s.ear(); proto == 3 {
				w := resp.Writer{Proto: 3}
				w.Push(2)
				w.BulkString("tracking-redir-broken")
				w.Int(redirect)
				s.out.Push(w.Buf, limits.SubscriberOutputBytes)
			}
			return false
		}
	}
	proto, subscribed := to.ear()
	w := resp.Writer{Proto: proto}
	switch {
	case proto == 3:
		w.Push(2)
		w.BulkString("invalidate")
	case redirect != 0 && subscribed:
		w.Array(3)
		w.BulkString("message")
		w.Bulk(invalidations)
	default: // nothing can be told in this connection
		return true
	}
	if keys == nil {
		w.Null()
	} else {
		w.Array(len(keys))
		for _, k := range keys {
			w.Bulk(k)
		}
	}
	to.out.Push(w.Buf, limits.SubscriberOutputBytes)
	return true
}

// ear is the session's protocol, and whether it is subscribed to something. It may be called
// from any goroutine.
func (s *session) ear() (proto int, subscribed bool) {
	s.info.Lock()
	defer s.info.Unlock()
	return s.info.proto, s.info.subscriptions != [pubsub.Pattern + 1]int{}
}

// track notes what a transaction is going to read, before it begins.
func (s *session) track(x *executor, c kv.Closure) {
	t := s.tracker
	t.Begin(s.ns.ID)
	x.kvs.Origin = t.Origin()
	noted := t.Noted()
	var queue []queued
	switch c := c.(type) {
	case *exec:
		queue = c.queue
	case *together:
		queue = c.calls
	default:
		x.sole[0] = queued{x.call.cmd, x.call.Args}
		queue = x.sole[:]
	}
	db := s.handle
	for i := range queue {
		q := &queue[i]
		if n, ok := redisnum.ParseInt(q.args[len(q.args)-1]); ok && q.cmd.Name == "select" && n >= 0 && n < redis.Databases {
			db = s.srv.handle(s.ns, uint8(n))
		}
		if q.cmd.FullName() == "client|caching" {
			noted = command.Is(q.args[2], "yes")
		}
		if noted {
			s.reads(q.cmd, q.args, func(key []byte) {
				x.rows = db.AppendHeaderKey(x.rows[:0], key)
				t.Read(x.rows)
			})
		}
	}
}

// reads visits the keys of a command that a tracking client may keep. Of a script these are
// those that it was given.
func (s *session) reads(cmd *Command, args [][]byte, visit func(key []byte)) {
	if cmd.Flags&command.FlagReadonly == 0 && cmd.Group != command.GroupScripting || cmd.Kind == command.KindConnection || cmd.Group == command.GroupZMap {
		return
	}
	var few [16]int
	for _, at := range cmd.Keys.Positions(args, few[:0]) {
		visit(args[at])
	}
}

// trackPast is track for a command that is answered from an earlier state.
func (s *session) trackPast(cmd *Command, args [][]byte) {
	if s.tracker.Noted() {
		s.reads(cmd, args, s.tracker.Past)
	}
}

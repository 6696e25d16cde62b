package redis

import (
	"fmt"
	"strings"
	"time"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/pubsub"
	"github.com/stratadb/strata/internal/redisnum"
)

const errClientName command.Error = "ERR Client names cannot contain spaces, newlines or special characters."

func clientCommands() []Command {
	const flags = command.FlagNoScript | command.FlagLoading | command.FlagStale | command.FlagUnpaused
	sub := func(name, summary, since string, arity int, more command.Flags, h func(c *Call) error) Command {
		return Command{Name: name, Summary: summary, Since: since, Group: command.GroupConnection, Arity: arity, Flags: flags | more, Kind: command.KindConnection, Handler: h}
	}
	return []Command{{
		Name: "client", Summary: "A container for client connection commands.", Since: "2.4.0", Group: command.GroupConnection, Arity: -2,
		Subcommands: []Command{
			sub("id", "Returns the unique client ID of the connection.", "5.0.0", 2, 0, clientID),
			sub("info", "Returns information about the connection.", "6.2.0", 2, 0, clientInfo),
			sub("list", "Lists open connections.", "2.4.0", -2, command.FlagAdmin, clientList),
			sub("kill", "Terminates open connections.", "2.4.0", -3, command.FlagAdmin, clientKill),
			sub("setname", "Sets the connection name.", "2.6.9", 3, 0, clientSetname),
			sub("getname", "Returns the name of the connection.", "2.6.9", 2, 0, clientGetname),
			sub("setinfo", "Sets information specific to the client or connection.", "7.2.0", 4, 0, clientSetinfo),
			sub("pause", "Suspends commands processing.", "3.0.0", -3, command.FlagAdmin, clientPause),
			sub("unpause", "Resumes processing commands from paused clients.", "6.2.0", 2, command.FlagAdmin, clientUnpause),
			sub("reply", "Instructs the server whether to reply to commands.", "3.2.0", 3, 0, clientReply),
			sub("no-evict", "Sets the client eviction mode of the connection.", "7.0.0", 3, command.FlagAdmin, clientNoEvict),
			sub("no-touch", "Controls whether commands sent by the client affect the LRU/LFU of accessed keys.", "7.2.0", 3, 0, clientNoTouch),
			sub("unblock", "Unblocks a client blocked by a blocking command from a different connection.", "5.0.0", -3, command.FlagAdmin, clientUnblock),
			sub("tracking", "Controls server-assisted client-side caching for the connection.", "6.0.0", -3, command.FlagUnqueued, clientTracking),
			sub("caching", "Instructs the server whether to track the keys in the next request.", "6.0.0", 3, 0, clientCaching),
			sub("getredir", "Returns the client ID to which the connection's tracking notifications are redirected.", "6.0.0", 2, 0, clientGetredir),
			sub("trackinginfo", "Returns information about server-assisted client-side caching for the connection.", "6.2.0", 2, 0, clientTrackinginfo),
			helpFor("client", "5.0.0", command.GroupConnection,
				"CACHING (YES|NO)", "    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.",
				"GETREDIR", "    Return the client ID we are redirecting to when tracking is enabled.",
				"GETNAME", "    Return the name of the current connection.",
				"ID", "    Return the ID of the current connection.",
				"INFO", "    Return information about the current client connection.",
				"KILL <ip:port>", "    Kill connection made from <ip:port>.",
				"KILL <option> <value> [<option> <value> [...]]", "    Kill connections. Options are:",
				"    * ADDR (<ip:port>|<unixsocket>:0)", "      Kill connections made from the specified address", "    * LADDR (<ip:port>|<unixsocket>:0)",
				"      Kill connections made to specified local address", "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)", "      Kill connections by type.",
				"    * USER <username>", "      Kill connections authenticated by <username>.", "    * SKIPME (YES|NO)", "      Skip killing current connection (default: yes).",
				"LIST [options ...]", "    Return information about client connections. Options:", "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)", "      Return clients of specified type.",
				"UNPAUSE", "    Stop the current client pause, resuming traffic.",
				"PAUSE <timeout> [WRITE|ALL]", "    Suspend all, or just write, clients for <timeout> milliseconds.",
				"REPLY (ON|OFF|SKIP)", "    Control the replies sent to the current connection.",
				"SETNAME <name>", "    Assign the name <name> to the current connection.",
				"SETINFO <option> <value>", "    Set client meta attr. Options are:", "    * LIB-NAME: the client lib name.", "    * LIB-VER: the client lib version.",
				"UNBLOCK <clientid> [TIMEOUT|ERROR]", "    Unblock the specified blocked client.",
				"TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]", "         [OPTIN] [OPTOUT] [NOLOOP]", "    Control server assisted client side caching.",
				"TRACKINGINFO", "    Report tracking status for the current connection.",
				"NO-EVICT (ON|OFF)", "    Protect current client connection from eviction.",
				"NO-TOUCH (ON|OFF)", "    Will not touch LRU/LFU stats when this mode is on."),
		},
	}}
}

// validName reports whether a client or library may be called so.
func validName(name []byte) bool {
	for _, c := range name {
		if c < '!' || c > '~' {
			return false
		}
	}
	return true
}

func (s *session) setName(name []byte) {
	s.info.Lock()
	s.info.name = string(name)
	s.info.Unlock()
}

func clientID(c *Call) error {
	c.W.Int(c.s.id)
	return nil
}

// line describes the session as CLIENT LIST does. It may be called from any goroutine.
func (s *session) line() string {
	s.info.Lock()
	name, libName, libVer, user := s.info.name, s.info.libName, s.info.libVer, s.account.Load().Name()
	db, proto, noEvict, noTouch, blocks := s.info.db, s.info.proto, s.info.noEvict, s.info.noTouch, s.info.waits
	subs, tracker := s.info.subscriptions, s.info.tracker
	s.info.Unlock()
	flags, redirect := "", int64(-1)
	if s.monitoring.Load() {
		flags += "O"
	}
	if s.multiLen.Load() >= 0 {
		flags += "x"
	}
	if subs != [pubsub.Pattern + 1]int{} {
		flags += "P"
	}
	if blocks {
		flags += "b"
	}
	if tracker != nil {
		if on, o, broken := tracker.State(); on {
			flags, redirect = flags+"t", o.Redirect
			if broken {
				flags += "R"
			}
			if o.Broadcast {
				flags += "B"
			}
		}
	}
	if noEvict {
		flags += "e"
	}
	if noTouch {
		flags += "T"
	}
	if flags == "" {
		flags = "N"
	}
	cmd := "NULL"
	if last := s.lastCmd.Load(); last != nil {
		cmd = last.FullName()
	}
	unsent, queued := s.out.Pending()
	in := int(s.inSize.Load())
	return fmt.Sprintf("id=%d addr=%s laddr=%s fd=%d name=%s age=%d idle=%d flags=%s db=%d sub=%d psub=%d ssub=%d multi=%d watch=%d "+
		"qbuf=%d qbuf-free=%d argv-mem=0 multi-mem=0 rbs=%d rbp=%d obl=0 oll=%d omem=%d tot-mem=%d events=r cmd=%s user=%s redir=%d "+
		"resp=%d lib-name=%s lib-ver=%s\n",
		s.id, s.conn.RemoteAddr(), s.conn.LocalAddr(), s.out.Descriptor(), name, int64(s.srv.now().Sub(s.created)/time.Second),
		int64(s.idleFor()/time.Second), flags, db, subs[pubsub.Channel], subs[pubsub.Pattern], subs[pubsub.Shard], s.multiLen.Load(), s.watching.Load(),
		0, in, unsent, unsent, queued, unsent, in+unsent, cmd, user, redirect, proto, libName, libVer)
}

func clientInfo(c *Call) error {
	c.W.Verbatim("txt", []byte(c.s.line()))
	return nil
}

// clientType is what a TYPE argument means. There are no replicas.
func clientType(arg []byte) (is func(*session) bool, err error) {
	switch {
	case command.Is(arg, "normal"):
		return func(s *session) bool { return !s.subscribed() }, nil
	case command.Is(arg, "pubsub"):
		return (*session).subscribed, nil
	case command.Is(arg, "master"), command.Is(arg, "slave"), command.Is(arg, "replica"):
		return func(*session) bool { return false }, nil
	}
	return nil, command.Error("ERR Unknown client type '" + string(command.Truncated(arg, command.EchoedBytes)) + "'")
}

func clientList(c *Call) error {
	all := c.s.srv.clients()
	keep := func(*session) bool { return true }
	switch args := c.Args[2:]; {
	case len(args) == 0:
	case len(args) == 2 && command.Is(args[0], "type"):
		var err error
		if keep, err = clientType(args[1]); err != nil {
			return err
		}
	case len(args) >= 2 && command.Is(args[0], "id"):
		ids := map[int64]bool{}
		for _, a := range args[1:] {
			id, ok := redisnum.ParseInt(a)
			if !ok || id < 1 {
				return command.Error("ERR Invalid client ID")
			}
			ids[id] = true
		}
		keep = func(s *session) bool { return ids[s.id] }
	default:
		return command.ErrSyntax
	}
	var b strings.Builder
	for _, s := range sortedByID(all) {
		if keep(s) {
			b.WriteString(s.line())
		}
	}
	c.W.Verbatim("txt", []byte(b.String()))
	return nil
}

func clientSetname(c *Call) error {
	if !validName(c.Args[2]) {
		return errClientName
	}
	c.s.setName(c.Args[2])
	c.W.OK()
	return nil
}

func clientGetname(c *Call) error {
	c.s.info.Lock()
	name := c.s.info.name
	c.s.info.Unlock()
	if name == "" {
		c.W.Null()
		return nil
	}
	c.W.BulkString(name)
	return nil
}

func clientSetinfo(c *Call) error {
	i := &c.s.info
	var at *string
	option := ""
	switch {
	case command.Is(c.Args[2], "lib-name"):
		at, option = &i.libName, "lib-name"
	case command.Is(c.Args[2], "lib-ver"):
		at, option = &i.libVer, "lib-ver"
	default:
		return command.Error("ERR Unrecognized option '" + string(command.Truncated(c.Args[2], command.EchoedBytes)) + "'")
	}
	if !validName(c.Args[3]) {
		return command.Error("ERR " + option + " cannot contain spaces, newlines or special characters.")
	}
	i.Lock()
	*at = string(c.Args[3])
	i.Unlock()
	c.W.OK()
	return nil
}

func clientPause(c *Call) error {
	ms, ok := redisnum.ParseInt(c.Args[2])
	if !ok {
		return command.ErrTimeout
	}
	if ms < 0 {
		return command.Error("ERR timeout is negative")
	}
	writesOnly := false
	switch {
	case len(c.Args) == 3 || len(c.Args) == 4 && command.Is(c.Args[3], "all"):
	case len(c.Args) == 4 && command.Is(c.Args[3], "write"):
		writesOnly = true
	case len(c.Args) == 4:
		return command.Error("ERR CLIENT PAUSE mode must be WRITE or ALL")
	default:
		return command.ErrSyntax
	}
	now := c.s.srv.now().UnixMilli()
	if ms > 1<<62-now {
		return command.ErrTimeout
	}
	c.s.srv.pause.begin(now+ms, writesOnly)
	c.W.OK()
	return nil
}

func clientUnpause(c *Call) error {
	c.s.srv.pause.end()
	c.W.OK()
	return nil
}

func clientReply(c *Call) error {
	switch {
	case command.Is(c.Args[2], "on"):
		c.s.reply = replyOn
		c.W.OK()
	case command.Is(c.Args[2], "off"):
		c.s.reply = replyOff
	case command.Is(c.Args[2], "skip"):
		if c.s.reply != replyOff {
			c.s.reply = replySkip
		}
	default:
		return command.ErrSyntax
	}
	return nil
}

func (c *Call) onOff(at *bool) error {
	on := command.Is(c.Args[2], "on")
	if !on && !command.Is(c.Args[2], "off") {
		return command.ErrSyntax
	}
	c.s.info.Lock()
	*at = on
	c.s.info.Unlock()
	c.W.OK()
	return nil
}

func clientNoEvict(c *Call) error { return c.onOff(&c.s.info.noEvict) }
func clientNoTouch(c *Call) error { return c.onOff(&c.s.info.noTouch) }

func clientUnblock(c *Call) error {
	id, err := command.ParseInt(c.Args[2])
	if err != nil {
		return err
	}
	switch {
	case len(c.Args) > 4:
		return command.ErrSyntax
	case len(c.Args) == 4 && !command.Is(c.Args[3], "timeout") && !command.Is(c.Args[3], "error"):
		return command.Error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
	}
	s := c.s.srv.client(id)
	return c.Truth(s != nil && s.unblocks(len(c.Args) == 4 && command.Is(c.Args[3], "error")), nil)
}

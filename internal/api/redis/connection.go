package redis

import (
	"slices"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/saver"
	"github.com/stratadb/strata/internal/auth"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/redisnum"
)

func connectionCommands() []Command {
	const conn = command.FlagNoScript | command.FlagLoading | command.FlagStale | command.FlagFast | command.FlagUnpaused
	rows := []Command{
		{Name: "ping", Summary: "Returns the server's liveliness response.", Since: "1.0.0", Arity: -1, Flags: command.FlagFast | command.FlagUnpaused | command.FlagPrompt | command.FlagSubscribed, Handler: pingCommand},
		{Name: "echo", Summary: "Returns the given string.", Since: "1.0.0", Arity: 2, Flags: command.FlagLoading | command.FlagStale | command.FlagFast | command.FlagPrompt, Handler: echoCommand},
		{Name: "hello", Summary: "Handshakes with the Redis server.", Since: "6.0.0", Arity: -1, Flags: conn | command.FlagNoAuth, Handler: helloCommand},
		{Name: "auth", Summary: "Authenticates the connection.", Since: "1.0.0", Arity: -2, Flags: conn | command.FlagNoAuth, Handler: authCommand},
		{Name: "quit", Summary: "Closes the connection.", Since: "1.0.0", Arity: -1, Flags: conn | command.FlagNoAuth | command.FlagImmediate | command.FlagSubscribed, Handler: quitCommand},
		{Name: "reset", Summary: "Resets the connection.", Since: "6.2.0", Arity: 1, Flags: conn | command.FlagNoAuth | command.FlagImmediate | command.FlagSubscribed, Handler: resetCommand},
		{Name: "select", Summary: "Changes the selected database.", Since: "1.0.0", Arity: 2, Flags: command.FlagLoading | command.FlagStale | command.FlagFast | command.FlagPrompt, Handler: selectCommand},
	}
	for i := range rows {
		rows[i].Group, rows[i].Kind = command.GroupConnection, command.KindConnection
	}
	return rows
}

func okCommand(c *Call) error {
	c.W.OK()
	return nil
}

func pingCommand(c *Call) error {
	if s := c.s; s.proto < 3 && s.subs.all() > 0 && len(c.Args) <= 2 { // as a message, which is all that it reads
		c.W.Array(2)
		c.W.BulkString("pong")
		c.W.Bulk(slices.Concat(c.Args[1:]...))
		return nil
	}
	switch len(c.Args) {
	case 1:
		c.W.SimpleString("PONG")
	case 2:
		c.W.Bulk(c.Args[1])
	default:
		return c.WrongArity()
	}
	return nil
}

func echoCommand(c *Call) error {
	c.W.Bulk(c.Args[1])
	return nil
}

func quitCommand(c *Call) error {
	c.s.closing = true
	c.W.OK()
	return nil
}

func resetCommand(c *Call) error {
	s := c.s
	s.unsubscribeAll()
	s.unmonitor()
	s.untrack()
	s.resetState(c.x)
	ns := s.srv.namespaces.Default()
	s.choose(c.x, choice{proto: 2, ns: ns, handle: s.srv.handle(ns, 0)})
	s.reply, s.asked = replyOn, saver.Asked{}
	s.begin()
	s.info.Lock()
	s.info.name, s.info.noEvict, s.info.noTouch = "", false, false
	s.info.Unlock()
	c.W.SimpleString("RESET")
	return nil
}

func selectCommand(c *Call) error {
	n, ok := redisnum.ParseInt(c.Args[1])
	if !ok {
		return command.ErrNotInteger
	}
	if n < 0 || n >= model.Databases {
		return model.ErrDBIndex
	}
	next := c.s.choice
	next.handle = c.s.srv.handle(next.ns, uint8(n))
	c.s.choose(c.x, next)
	c.W.OK()
	return nil
}

func authCommand(c *Call) error {
	user, password := []byte(auth.Default), c.Args[1]
	switch len(c.Args) {
	case 2:
		if c.s.srv.users.Default().User().Open() {
			return command.Error("ERR AUTH <password> called without any password configured for the default user. " +
				"Are you sure your configuration is correct?")
		}
	case 3:
		user, password = c.Args[1], c.Args[2]
	default:
		return command.ErrSyntax
	}
	if err := c.s.login(user, password, c.Args[0]); err != nil {
		return err
	}
	c.W.OK()
	return nil
}

// helloOptions are the arguments of HELLO.
type helloOptions struct {
	proto          int
	user, password []byte
	name           []byte
	setName        bool
}

func parseHello(args [][]byte, proto int) (o helloOptions, err error) {
	o.proto = proto
	if len(args) < 2 {
		return o, nil
	}
	n, ok := redisnum.ParseInt(args[1])
	if !ok {
		return o, command.Error("ERR Protocol version is not an integer or out of range")
	}
	if n != 2 && n != 3 {
		return o, command.Error("NOPROTO unsupported protocol version")
	}
	o.proto = int(n)
	for i := 2; i < len(args); i++ {
		switch more := len(args) - 1 - i; {
		case command.Is(args[i], "auth") && more >= 2:
			o.user, o.password = args[i+1], args[i+2]
			i += 2
		case command.Is(args[i], "setname") && more >= 1:
			o.name, o.setName = args[i+1], true
			i++
		default:
			return o, command.Error("ERR Syntax error in HELLO option '" + string(command.Truncated(args[i], command.EchoedBytes)) + "'")
		}
	}
	return o, nil
}

func helloCommand(c *Call) error {
	s := c.s
	o, err := parseHello(c.Args, s.proto)
	if err != nil {
		return err
	}
	if o.setName && !validName(o.name) {
		return errClientName
	}
	if o.user != nil {
		if err := s.login(o.user, o.password, c.Args[0]); err != nil {
			return err
		}
	}
	if !s.loggedIn() {
		return command.Error("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> " +
			"AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
	}
	if o.setName {
		s.setName(o.name)
	}
	next := s.choice
	next.proto = o.proto
	s.choose(c.x, next)
	w := c.W
	w.Map(7)
	w.BulkString("server")
	w.BulkString("strata")
	w.BulkString("version")
	w.BulkString(RedisVersion)
	w.BulkString("proto")
	w.Int(int64(o.proto))
	w.BulkString("id")
	w.Int(s.id)
	w.BulkString("mode")
	w.BulkString("cluster")
	w.BulkString("role")
	w.BulkString("master")
	w.BulkString("modules")
	w.Array(0)
	return nil
}

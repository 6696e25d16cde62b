// Package acl are the commands that tell of users and of what they were refused. Those that change
// users, or ask for the session's, are the door's.
package acl

import (
	"crypto/rand"
	"encoding/hex"
	"math"
	"time"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/data"
	"github.com/stratadb/strata/internal/auth"
)

func texts(c *data.Call, list []string) {
	for _, text := range list {
		c.W.BulkString(text)
	}
}

// Cat is ACL CAT.
func Cat(c *data.Call, commands *auth.Commands) error {
	list := commands.Categories()
	switch len(c.Args) {
	case 2:
	case 3:
		ok := false
		if list, ok = commands.Category(string(c.Args[2])); !ok {
			return command.Error("ERR Unknown category '" + string(command.Truncated(c.Args[2], command.EchoedBytes)) + "'")
		}
	default:
		return c.WrongSubcommand()
	}
	c.W.Array(len(list))
	texts(c, list)
	return nil
}

func selector(c *data.Call, s auth.Selector) {
	for _, field := range [][2]string{{"commands", s.Commands}, {"keys", s.Keys}, {"channels", s.Channels}} {
		c.W.BulkString(field[0])
		c.W.BulkString(field[1])
	}
}

// Getuser is ACL GETUSER.
func Getuser(c *data.Call, users *auth.Users) error {
	a := users.Find(string(c.Args[2]))
	if a == nil {
		c.W.Null()
		return nil
	}
	u, w := a.User(), c.W
	w.Map(6)
	w.BulkString("flags")
	flags := u.Flags()
	w.Set(len(flags))
	texts(c, flags)
	w.BulkString("passwords")
	w.Array(len(u.Passwords()))
	texts(c, u.Passwords())
	selectors := u.Selectors()
	selector(c, selectors[0])
	w.BulkString("selectors")
	w.Array(len(selectors) - 1)
	for _, s := range selectors[1:] {
		w.Map(3)
		selector(c, s)
	}
	return nil
}

// List is ACL LIST.
func List(c *data.Call, users *auth.Users) error {
	all := users.All()
	c.W.Array(len(all))
	for _, u := range all {
		c.W.BulkString(u.String())
	}
	return nil
}

// Users is ACL USERS.
func Users(c *data.Call, users *auth.Users) error {
	all := users.All()
	c.W.Array(len(all))
	for _, u := range all {
		c.W.BulkString(u.Name())
	}
	return nil
}

// genpassMaxBits bounds ACL GENPASS.
const genpassMaxBits = 4096

// Genpass is ACL GENPASS.
func Genpass(c *data.Call) error {
	bits := int64(256)
	switch len(c.Args) {
	case 2:
	case 3:
		var err error
		if bits, err = command.ParseInt(c.Args[2]); err != nil {
			return err
		}
	default:
		return c.WrongSubcommand()
	}
	if bits <= 0 || bits > genpassMaxBits {
		return command.Error("ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096")
	}
	var random [genpassMaxBits / 8]byte
	_, _ = rand.Read(random[:]) // never fails
	c.W.BulkString(hex.EncodeToString(random[:])[:(bits+3)/4])
	return nil
}

// logDefault is how many entries ACL LOG returns unless told.
const logDefault = 10

// Log is ACL LOG.
func Log(c *data.Call, refusals *auth.Log, now time.Time) error {
	n := int64(logDefault)
	switch {
	case len(c.Args) > 3:
		return c.WrongSubcommand()
	case len(c.Args) == 3 && command.Is(c.Args[2], "reset"):
		refusals.Reset()
		c.W.OK()
		return nil
	case len(c.Args) == 3:
		var err error
		if n, err = command.ParseInt(c.Args[2]); err != nil {
			return err
		}
	}
	list := refusals.Entries(int(min(n, math.MaxInt32)))
	c.W.Array(len(list))
	for i := range list {
		refusal(c, &list[i], now)
	}
	return nil
}

func refusal(c *data.Call, r *auth.Refusal, now time.Time) {
	w := c.W
	w.Map(10)
	w.BulkString("count")
	w.Int(r.Count)
	for _, field := range [][2]string{{"reason", r.Reason.String()}, {"context", r.Context}, {"object", r.Object}, {"username", r.Username}} {
		w.BulkString(field[0])
		w.BulkString(field[1])
	}
	w.BulkString("age-seconds")
	w.Double(float64(now.Sub(r.Updated).Milliseconds()) / 1000)
	w.BulkString("client-info")
	w.BulkString(r.Client)
	w.BulkString("entry-id")
	w.Int(r.ID)
	w.BulkString("timestamp-created")
	w.Int(r.Created.UnixMilli())
	w.BulkString("timestamp-last-updated")
	w.Int(r.Updated.UnixMilli())
}

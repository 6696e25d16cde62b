package redis

import (
	"slices"
	"time"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/auth"
	"github.com/stratadb/strata/internal/redisnum"
)

func sortedByID(all []*session) []*session {
	slices.SortFunc(all, func(a, b *session) int { return int(a.id - b.id) })
	return all
}

// killFilter says which clients CLIENT KILL means.
type killFilter struct {
	id          int64
	addr, laddr string
	user        *auth.Account
	types       []func(*session) bool
	maxAge      time.Duration
	skipMe      bool
}

func (srv *Server) parseKill(args [][]byte) (f killFilter, err error) {
	f.skipMe = true
	if len(args)%2 != 0 {
		return f, command.ErrSyntax
	}
	for i := 0; i < len(args); i += 2 {
		value := args[i+1]
		switch option := args[i]; {
		case command.Is(option, "id"), command.Is(option, "maxage"):
			n, ok := redisnum.ParseInt(value)
			switch {
			case command.Is(option, "id") && (!ok || n < 1):
				return f, command.Error("ERR client-id should be greater than 0")
			case command.Is(option, "id"):
				f.id = n
			case !ok || n < 1:
				return f, command.Error("ERR maxage should be greater than 0")
			default:
				f.maxAge = time.Duration(min(n, 1<<32)) * time.Second
			}
		case command.Is(option, "type"):
			is, err := clientType(value)
			if err != nil {
				return f, err
			}
			f.types = append(f.types, is)
		case command.Is(option, "addr"):
			f.addr = string(value)
		case command.Is(option, "laddr"):
			f.laddr = string(value)
		case command.Is(option, "user"):
			if f.user = srv.users.Find(string(value)); f.user == nil {
				return f, command.Error("ERR No such user '" + string(command.Truncated(value, command.EchoedBytes)) + "'")
			}
		case command.Is(option, "skipme"):
			f.skipMe = command.Is(value, "yes")
			if !f.skipMe && !command.Is(value, "no") {
				return f, command.ErrSyntax
			}
		default:
			return f, command.ErrSyntax
		}
	}
	return f, nil
}

func (f *killFilter) means(s, me *session) bool {
	switch {
	case slices.ContainsFunc(f.types, func(is func(*session) bool) bool { return !is(s) }),
		f.skipMe && s == me,
		f.id != 0 && s.id != f.id,
		f.user != nil && s.account.Load() != f.user,
		f.addr != "" && s.conn.RemoteAddr().String() != f.addr,
		f.laddr != "" && s.conn.LocalAddr().String() != f.laddr,
		f.maxAge != 0 && s.srv.now().Sub(s.created) < f.maxAge:
		return false
	}
	return true
}

func clientKill(c *Call) error {
	old := len(c.Args) == 3
	f := killFilter{addr: string(c.Args[2])}
	if !old {
		var err error
		if f, err = c.s.srv.parseKill(c.Args[2:]); err != nil {
			return err
		}
	}
	killed := int64(0)
	for _, s := range c.s.srv.clients() {
		if !f.means(s, c.s) {
			continue
		}
		killed++
		if s == c.s {
			s.closing = true // after the reply
			continue
		}
		s.kill()
	}
	switch {
	case !old:
		c.W.Int(killed)
	case killed == 0:
		return command.Error("ERR No such client")
	default:
		c.W.OK()
	}
	return nil
}

package redis

import (
	"log/slog"
	"strings"

	"github.com/stratadb/strata/internal/api/redis/acl"
	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/auth"
	"github.com/stratadb/strata/internal/pubsub"
)

// Where a call comes from that was refused, in ACL LOG's words.
const (
	fromClient = "toplevel"
	fromMulti  = "multi"
	fromScript = "lua"
)

// allowed is nil if the session's user may make a call, and a *acl.Refused otherwise, which nobody has
// noted yet (refuse).
func (s *session) allowed(cmd *Command, args [][]byte) error {
	limits := s.account.Load().Limits()
	if limits == nil {
		return nil
	}
	if r := acl.Permit(limits, cmd, args); r != nil {
		return r
	}
	return nil
}

// allowedInScript is allowed for what a script calls; the refusal is noted when the script has ended, and worded as Redis does.
func (s *session) allowedInScript(x *executor, cmd *Command, args [][]byte) error {
	err := s.allowed(cmd, args)
	if r, ok := err.(*acl.Refused); ok {
		x.refusals = append(x.refusals, s.describe(cmd, r, fromScript))
		return command.Error("NOPERM ACL failure in script: " + r.Error())
	}
	return err
}

// stillAllowed is allowed for a command that was queued.
func (s *session) stillAllowed(x *executor, cmd *Command, args [][]byte) error {
	r, ok := s.allowed(cmd, args).(*acl.Refused)
	if !ok {
		return nil
	}
	x.refusals = append(x.refusals, s.describe(cmd, r, fromMulti))
	return r.Since()
}

// noteRefusals notes what was refused in the transaction that has ended, which may have begun
// again.
func (s *session) noteRefusals(x *executor) {
	for _, r := range x.refusals {
		s.logRefusal(r)
	}
	x.refusals = x.refusals[:0]
}

// refuse notes what was refused and makes it a reply; other errors it leaves alone.
func (s *session) refuse(cmd *Command, err error, from string) error {
	r, ok := err.(*acl.Refused)
	if !ok {
		return err
	}
	s.note(cmd, r, from)
	return command.Error("NOPERM " + r.Error())
}

// readsAnyKey reports whether the session's user may read keys that the running call does not name.
func (c *Call) readsAnyKey() bool {
	limits := c.s.account.Load().Limits()
	if limits == nil {
		return true
	}
	call := acl.CallOf(limits, c.cmd, c.Args, nil)
	return limits.ReadsAnyKey(&call)
}

// note puts a refusal into the log.
func (s *session) note(cmd *Command, r *acl.Refused, from string) {
	s.logRefusal(s.describe(cmd, r, from))
}

// describe is a refusal as the log keeps it.
func (s *session) describe(cmd *Command, r *acl.Refused, from string) auth.Refusal {
	s.lastCmd.Store(cmd)
	return auth.Refusal{Reason: r.Denial, Context: from, Object: r.Object, Username: r.User, Client: s.described()}
}

// described is what CLIENT INFO says of the session, without the end of its line.
func (s *session) described() string { return strings.TrimSuffix(s.line(), "\n") }

// refusalBytes is how much of a name the log keeps.
const refusalBytes = 1 << 10

func (s *session) logRefusal(r auth.Refusal) {
	srv := s.srv
	r.Object, r.Username = r.Object[:min(len(r.Object), refusalBytes)], r.Username[:min(len(r.Username), refusalBytes)]
	srv.refusals.Add(r, srv.now(), int(srv.settings.aclLogMax.Load()))
}

// login makes a user the session's.
func (s *session) login(user, password []byte, word []byte) error {
	a := s.srv.users.Find(string(user))
	if a == nil || !a.User().Accepts(password) {
		s.logRefusal(auth.Refusal{Reason: auth.DeniedLogin, Context: s.context(), Object: string(word), Username: string(user), Client: s.described()})
		return errWrongPass
	}
	s.account.Store(a)
	if a.Ended() { // whoever ends it has not seen this session
		s.closing = true
		return errWrongPass
	}
	s.authenticated = true
	return nil
}

// begin makes the session one of the default user, as new ones are.
func (s *session) begin() {
	a := s.srv.users.Default()
	s.account.Store(a)
	s.authenticated = a.User().Open()
}

// context is where calls of clients come from.
func (s *session) context() string {
	if s.multi.open {
		return fromMulti
	}
	return fromClient
}

// loggedIn reports whether the session may use commands that need a login.
func (s *session) loggedIn() bool {
	return s.authenticated || s.srv.users.Default().User().Open()
}

// ShareUsers makes the server's users those that are stored in its database, and keeps up with
// changes. It is called before Serve. The server's password, if there is one, becomes the default
// user's.
func (s *Server) ShareUsers() error {
	users, err := auth.Open(s.db, s.users.Commands(), s.o.Password, s.usersChanged)
	if err != nil {
		return err
	}
	s.users = users
	s.own(func() {
		users.Watch(s.stopped, func(err error) { s.log.Error("users not refreshed", slog.Any("error", err)) })
		users.Close()
	})
	return nil
}

// errUsersFixed is Redis's error for a server whose users are stored nowhere.
const errUsersFixed command.Error = "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the " +
	"ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users " +
	"in the Redis configuration."

// changeUsers changes users in a transaction of its own.
func (s *session) changeUsers(fn func(e *auth.Edit) error) error {
	return s.users(func(u *auth.Users) error { return u.Change(fn) })
}

// users does something that may change users, and be its own user's end: then the session ends
// behind the reply.
func (s *session) users(fn func(u *auth.Users) error) error {
	if !s.srv.users.Stored() {
		return errUsersFixed
	}
	s.changing.Store(true)
	err := fn(s.srv.users)
	s.changing.Store(false)
	s.closing = s.closing || s.over()
	return err
}

// over reports whether the session has to end because of what has become of its user.
func (s *session) over() bool {
	if s.account.Load().Ended() {
		return true
	}
	for kind := range s.subs.of {
		for n := range s.subs.of[kind] {
			if !s.mayHear(pubsub.Kind(kind), n.text) {
				return true
			}
		}
	}
	return false
}

// usersChanged ends the connections of users that were deleted, and of those that are subscribed to
// what they may not hear any more. A session that changes users looks after itself.
func (s *Server) usersChanged([]auth.Change) {
	lost := map[*session]bool{}
	for _, sess := range s.clients() {
		if sess.account.Load().Ended() {
			lost[sess] = true
		}
	}
	s.broker.Each(func(sub pubsub.Subscriber, kind pubsub.Kind, text string) {
		if sess, ok := sub.(*session); ok && sess.srv == s && !sess.mayHear(kind, text) {
			lost[sess] = true
		}
	})
	for sess := range lost {
		if !sess.changing.Load() {
			sess.kill()
		}
	}
}

// mayHear reports whether the session's user may be subscribed to a name.
func (s *session) mayHear(kind pubsub.Kind, text string) bool {
	limits := s.account.Load().Limits()
	return limits == nil || limits.AllowsChannel([]byte(text), kind == pubsub.Pattern)
}

package acl

import (
	"slices"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/auth"
)

// Refused is the error of a call that the session's user may not make.
type Refused struct {
	Denial auth.Denial
	User   string
	Object string // a command, a key or a channel
}

// Error is the reply, without its code.
func (r *Refused) Error() string {
	switch r.Denial {
	case auth.DeniedKey:
		return "No permissions to access a key"
	case auth.DeniedChannel:
		return "No permissions to access a channel"
	}
	return r.Detail()
}

// Detail names the object, too.
func (r *Refused) Detail() string {
	switch r.Denial {
	case auth.DeniedKey:
		return "User " + r.User + " has no permissions to access the '" + r.Object + "' key"
	case auth.DeniedChannel:
		return "User " + r.User + " has no permissions to access the '" + r.Object + "' channel"
	}
	return "User " + r.User + " has no permissions to run the '" + r.Object + "' command"
}

// Since words the error for a queued command that was allowed when it was queued.
func (r *Refused) Since() error {
	reason := map[auth.Denial]string{
		auth.DeniedCommand: "no permission to execute the command or subcommand",
		auth.DeniedKey:     "no permission to touch the specified keys",
		auth.DeniedChannel: "no permission to access one of the channels used as arguments to the command",
	}[r.Denial]
	return command.Error("NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. " +
		"This command is no longer allowed for the following reason: " + reason)
}

// CommandsOf is the table as rules see it. Numbers are those of the commands.
func CommandsOf[C any](t *command.Table[C]) *auth.Commands {
	var list []auth.Command
	t.Each(func(cmd *command.Command[C]) {
		c := auth.Command{Name: cmd.FullName(), Categories: cmd.AllCategories(), Container: -1}
		if in := cmd.Container(); in != nil {
			c.Container = in.Number()
		}
		list = append(list, c)
	})
	return auth.NewCommands(list, command.CategoryNames)
}

// Permit is nil if a user may make a call.
func Permit[C any](user *auth.User, cmd *command.Command[C], args [][]byte) *Refused {
	var few [8]auth.Use
	call := CallOf(user, cmd, args, few[:0])
	denial, at := user.Check(&call)
	if denial == auth.Allowed {
		return nil
	}
	r := &Refused{Denial: denial, User: user.Name(), Object: cmd.FullName()}
	if denial != auth.DeniedCommand {
		r.Object = string(args[at])
	}
	return r
}

// CallOf is what a call is about. keys is where its keys may go.
func CallOf[C any](user *auth.User, cmd *command.Command[C], args [][]byte, keys []auth.Use) auth.Call {
	call := auth.Call{Command: cmd.Number(), Free: cmd.Flags&command.FlagNoAuth != 0, Args: args}
	first := 1
	if cmd.Container() != nil {
		first = 2
	}
	if len(args) > first {
		call.First = args[first]
	}
	if !user.AllKeys() {
		call.Keys, call.Whole = Keys(cmd, args, keys)
	}
	if cmd.Flags&command.FlagPubsub != 0 {
		call.Channels, call.Patterns = channels(cmd, args)
	}
	return call
}

// Keys appends the keys of a call. Commands on ranges of the ordered map use keys that nobody can
// list: whole says so.
func Keys[C any](cmd *command.Command[C], args [][]byte, to []auth.Use) (keys []auth.Use, whole bool) {
	if cmd.Group == command.GroupZMap {
		use := auth.Use{At: 1, Read: cmd.Flags&command.FlagReadonly != 0, Write: cmd.Flags&command.FlagWrite != 0}
		return append(to, use), slices.Contains(zmapRanges, cmd.Name)
	}
	return cmd.Uses(args, to), false
}

// zmapRanges are the commands of the ordered map that use ranges of keys.
var zmapRanges = []string{"zdelrange", "zgetrange", "zgetkey", "zgetrangesize"}

// channels are the arguments of a call that are channels, or patterns.
func channels[C any](cmd *command.Command[C], args [][]byte) (at []int, patterns bool) {
	last := len(args) - 1
	switch cmd.Name {
	case "publish", "spublish":
		last = 1
	case "subscribe", "ssubscribe", "psubscribe":
	default:
		return nil, false
	}
	for i := 1; i <= last; i++ {
		at = append(at, i)
	}
	return at, cmd.Name == "psubscribe"
}

package redis

import (
	"errors"

	"github.com/stratadb/strata/internal/api/redis/acl"
	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/auth"
)

func aclCommands() []Command {
	const (
		open  = command.FlagNoScript | command.FlagLoading | command.FlagStale
		admin = open | command.FlagAdmin
		// Users are changed in a transaction of their own.
		change = admin | command.FlagUnqueued
	)
	sub := func(name, summary, since string, arity int, flags command.Flags, h func(c *Call) error) Command {
		return Command{Name: name, Summary: summary, Since: since, Group: command.GroupServer, Arity: arity, Flags: flags, Kind: command.KindConnection, Handler: h}
	}
	return []Command{{
		Name: "acl", Summary: "A container for Access List Control commands.", Since: "6.0.0", Group: command.GroupServer, Arity: -2,
		Subcommands: []Command{
			sub("cat", "Lists the ACL categories, or the commands inside a category.", "6.0.0", -2, open, func(c *Call) error { return acl.Cat(&c.Call, c.s.srv.users.Commands()) }),
			sub("deluser", "Deletes ACL users, and terminates their connections.", "6.0.0", -3, change, aclDeluser),
			sub("dryrun", "Simulates the execution of a command by a user, without executing the command.", "7.0.0", -4, admin, aclDryrun),
			sub("genpass", "Generates a pseudorandom, secure password that can be used to identify ACL users.", "6.0.0", -2, open, func(c *Call) error { return acl.Genpass(&c.Call) }),
			sub("getuser", "Lists the ACL rules of a user.", "6.0.0", 3, admin, func(c *Call) error { return acl.Getuser(&c.Call, c.s.srv.users) }),
			sub("list", "Dumps the effective rules in ACL file format.", "6.0.0", 2, admin, func(c *Call) error { return acl.List(&c.Call, c.s.srv.users) }),
			sub("load", "Reloads the rules from the configured ACL file.", "6.0.0", 2, change, aclLoad),
			sub("log", "Lists recent security events generated due to ACL rules.", "6.0.0", -2, admin, func(c *Call) error { return acl.Log(&c.Call, &c.s.srv.refusals, c.s.srv.now()) }),
			sub("save", "Saves the effective ACL rules in the configured ACL file.", "6.0.0", 2, change, aclSave),
			sub("setuser", "Creates and modifies an ACL user and its rules.", "6.0.0", -3, change, aclSetuser),
			sub("users", "Lists all ACL users.", "6.0.0", 2, admin, func(c *Call) error { return acl.Users(&c.Call, c.s.srv.users) }),
			sub("whoami", "Returns the authenticated username of the current connection.", "6.0.0", 2, open, aclWhoami),
			helpFor("acl", "6.0.0", command.GroupServer,
				"CAT [<category>]", "    List all commands that belong to <category>, or all command categories", "    when no category is specified.",
				"DELUSER <username> [<username> ...]", "    Delete a list of users.",
				"DRYRUN <username> <command> [<arg> ...]", "    Returns whether the user can execute the given command without executing the command.",
				"GETUSER <username>", "    Get the user's details.",
				"GENPASS [<bits>]", "    Generate a secure 256-bit user password. The optional `bits` argument can", "    be used to specify a different size.",
				"LIST", "    Show users details in config file format.",
				"LOAD", "    Reload users from the ACL file.",
				"LOG [<count> | RESET]", "    Show the ACL log entries.",
				"SAVE", "    Save the current config to the ACL file.",
				"SETUSER <username> <attribute> [<attribute> ...]", "    Create or modify a user with the specified attributes.",
				"USERS", "    List all the registered usernames.",
				"WHOAMI", "    Return the current connection username."),
		},
	}}
}

// ruleError words why a change of users was refused.
func ruleError(err error) error {
	var r *auth.RefusedError
	if errors.As(err, &r) {
		return command.Error("ERR Error in ACL SETUSER modifier '" + command.OneLine(r.Rule) + "': " + r.Why.Error())
	}
	return err
}

func aclSetuser(c *Call) error {
	name := string(c.Args[2])
	if !auth.ValidName(name) {
		return command.Error("ERR Usernames can't contain spaces or null characters")
	}
	var rules []string
	for _, a := range c.Args[3:] {
		rules = append(rules, string(a))
	}
	merged, unmatched, ok := auth.Merge(rules)
	if !ok {
		return command.Error("ERR Unmatched parenthesis in acl selector starting at '" + command.OneLine(rules[unmatched]) + "'.")
	}
	return c.OK(ruleError(c.s.changeUsers(func(e *auth.Edit) error { return e.Set(name, merged...) })))
}

func aclDeluser(c *Call) error {
	for _, name := range c.Args[2:] {
		if string(name) == auth.Default {
			return command.Error("ERR The 'default' user cannot be removed")
		}
	}
	deleted := int64(0)
	err := c.s.changeUsers(func(e *auth.Edit) error {
		deleted = 0
		for _, name := range c.Args[2:] {
			found, err := e.Delete(string(name))
			if err != nil {
				return err
			}
			if found {
				deleted++
			}
		}
		return nil
	})
	return c.Integer(deleted, err)
}

func aclWhoami(c *Call) error {
	c.W.BulkString(c.s.account.Load().Name())
	return nil
}

// aclSave has nothing to do: users are always stored.
func aclSave(c *Call) error { return c.OK(c.stored()) }

// aclLoad makes sure that the newest users are in force.
func aclLoad(c *Call) error {
	if err := c.stored(); err != nil {
		return err
	}
	return c.OK(c.s.users((*auth.Users).Refresh))
}

// stored refuses what can only be done where users are stored.
func (c *Call) stored() error {
	if !c.s.srv.users.Stored() {
		return errUsersFixed
	}
	return nil
}

// aclDryrun tells what would become of a call of a user.
func aclDryrun(c *Call) error {
	srv, args := c.s.srv, c.Args[3:]
	a := srv.users.Find(string(c.Args[2]))
	if a == nil {
		return command.Error("ERR User '" + command.OneLine(string(c.Args[2])) + "' not found")
	}
	cmd := srv.table.Resolve(args)
	switch {
	case cmd == nil:
		return command.Error("ERR Command '" + command.OneLine(string(command.Truncated(args[0], command.EchoedBytes))) + "' not found")
	case !cmd.ArityFits(len(args)):
		return command.ArityError(cmd.FullName())
	}
	r := acl.Permit(a.User(), cmd, args)
	if r == nil {
		c.W.OK()
		return nil
	}
	c.W.BulkString(r.Detail())
	return nil
}

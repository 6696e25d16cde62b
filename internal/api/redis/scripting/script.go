package scripting

import (
	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/data"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/script"
)

// Command is a row of the table.
type Command = command.Command[*Call]

// Call is one execution of a command about scripts.
type Call struct {
	*data.Call
	Store     *Store
	Namespace keyspace.NamespaceID
	// Prompt says that it is to fail with base.ErrWouldWait rather than run code.
	Prompt bool
}

// The bounds of what a namespace keeps.
const (
	storedScripts   = 10_000
	storedLibraries = 1000
)

const (
	errNotBusy command.Error = "NOTBUSY No scripts in execution right now."
	errDebug   command.Error = "ERR SCRIPT DEBUG is not supported: scripts do not stop while others wait"
)

const aboutScripts = command.FlagNoScript

func row(name, summary, since string, arity int, flags command.Flags, kind command.Kind, handler func(c *Call) error) Command {
	return Command{Name: name, Summary: summary, Since: since, Group: command.GroupScripting, Arity: arity, Flags: flags, Kind: kind,
		Categories: []string{"scripting"}, Handler: handler}
}

// help is a row of Package data as one of this package.
func help(container, since string, lines ...string) Command {
	h := data.Help(container, since, command.GroupScripting, lines...)
	return Command{Name: h.Name, Summary: h.Summary, Since: h.Since, Group: h.Group, Arity: h.Arity, Flags: h.Flags, Kind: h.Kind,
		Categories: []string{"scripting"}, Handler: func(c *Call) error { return h.Handler(c.Call) }}
}

// Scripts are the rows of SCRIPT.
func Scripts() []Command {
	return []Command{{Name: "script", Summary: "A container for Lua scripts management commands.", Since: "2.6.0", Group: command.GroupScripting, Arity: -2,
		Subcommands: []Command{
			row("debug", "Sets the debug mode of server-side Lua scripts.", "3.2.0", 3, aboutScripts, command.KindConnection, scriptDebug),
			row("exists", "Determines whether server-side Lua scripts exist in the script cache.", "2.6.0", -3, aboutScripts, command.KindData, scriptExists),
			row("flush", "Removes all server-side Lua scripts from the script cache.", "2.6.0", -2, aboutScripts, command.KindData, scriptFlush),
			row("kill", "Terminates a server-side Lua script during execution.", "2.6.0", 2, aboutScripts|command.FlagAllowBusy, command.KindConnection, scriptKill),
			row("load", "Loads a server-side Lua script to the script cache.", "2.6.0", 3, aboutScripts|command.FlagStale, command.KindData, scriptLoad),
			help("script", "5.0.0",
				"DEBUG (YES|SYNC|NO)", "    Set the debug mode for subsequent scripts executed.",
				"EXISTS <sha1> [<sha1> ...]", "    Return information about the existence of the scripts in the script cache.",
				"FLUSH [ASYNC|SYNC]", "    Flush the Lua scripts cache. Very dangerous on replicas.",
				"    When called without the optional mode argument, the behavior is determined by the",
				"    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
				"    * ASYNC: Asynchronously flush the scripts cache.", "    * SYNC: Synchronously flush the scripts cache.",
				"KILL", "    Kill the currently executing Lua script.",
				"LOAD <script>", "    Load a script into the scripts cache without executing it."),
		}}}
}

func scriptDebug(c *Call) error {
	if !command.Is(c.Args[2], "no") {
		return errDebug
	}
	c.W.OK()
	return nil
}

// ParseDigest reads the name of a script, in any case.
func ParseDigest(arg []byte) (digest [40]byte, ok bool) {
	if len(arg) != len(digest) {
		return digest, false
	}
	for i, b := range arg {
		if b >= 'A' && b <= 'Z' {
			b += 'a' - 'A'
		}
		digest[i] = b
	}
	return digest, true
}

func scriptExists(c *Call) error {
	c.W.Array(len(c.Args) - 2)
	for _, arg := range c.Args[2:] {
		digest, ok := ParseDigest(arg)
		if ok && c.Store.Engine.Script(uint64(c.Namespace), digest) == nil {
			body, err := catalog.ReadScript(c.Txn, c.Namespace, digest)
			if err != nil {
				return err
			}
			ok = body != nil
		}
		if ok {
			c.W.Int(1)
		} else {
			c.W.Int(0)
		}
	}
	return nil
}

// flushing reads SYNC and ASYNC, which are the same.
func flushing(args [][]byte, refusal command.Error) error {
	if len(args) > 3 || len(args) == 3 && !command.Is(args[2], "sync") && !command.Is(args[2], "async") {
		return refusal
	}
	return nil
}

func scriptFlush(c *Call) error {
	if err := flushing(c.Args, "ERR SCRIPT FLUSH only support SYNC|ASYNC option"); err != nil {
		return err
	}
	n, err := catalog.CountScripts(c.Txn, c.Namespace)
	if err != nil {
		return err
	}
	if n > 0 {
		catalog.FlushScripts(c.Txn, c.Namespace)
	}
	c.Store.Engine.Forget(uint64(c.Namespace))
	c.W.OK()
	return nil
}

func scriptKill(c *Call) error { return c.kill(false) }

func (c *Call) kill(function bool) error {
	if !c.Store.Kill(function) {
		return errNotBusy
	}
	c.W.OK()
	return nil
}

// promptBytes is how long a text may be that is compiled while others wait.
const promptBytes = 16 << 10

func scriptLoad(c *Call) error {
	digest := script.Digest(c.Args[2])
	if _, err := c.Store.Script(c.Namespace, digest, c.Args[2], c.Prompt); err != nil {
		return err
	}
	n, err := catalog.WriteScript(c.Txn, c.Namespace, digest, c.Args[2])
	if err != nil {
		return err
	}
	if n > storedScripts {
		return command.Error("ERR too many scripts are loaded: SCRIPT FLUSH removes them")
	}
	c.W.BulkString(string(digest[:]))
	return nil
}

// Script is a script with its text, compiled now if it was not.
func (st *Store) Script(ns keyspace.NamespaceID, digest [40]byte, body []byte, prompt bool) (*script.Script, error) {
	if s := st.Engine.Script(uint64(ns), digest); s != nil {
		return s, nil
	}
	if prompt && len(body) > promptBytes {
		return nil, base.ErrWouldWait
	}
	return st.Engine.Compile(uint64(ns), body)
}

// Loaded is a script that a node has stored; nil if there is none.
func (st *Store) Loaded(t kv.Reader, ns keyspace.NamespaceID, digest [40]byte, prompt bool) (*script.Script, error) {
	body, err := catalog.ReadScript(t, ns, digest)
	if err != nil || body == nil {
		return nil, err
	}
	return st.Script(ns, digest, body, prompt)
}

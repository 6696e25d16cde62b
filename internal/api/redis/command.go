package redis

import (
	"strings"

	"github.com/stratadb/strata/internal/kv"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/wire/resp"
)

// Kind says how a command's handler is run.
type Kind uint8

// Kinds.
const (
	// KindData runs inside a transaction: Call.Txn is set and the handler may
	// run several times.
	KindData Kind = iota
	// KindConnection runs once, on the connection, without a transaction.
	KindConnection
	// KindPaged runs once and makes its own transactions with Call.Transact, so
	// that long work does not keep others out. Inside EXEC and interactive
	// transactions they are all the same one.
	KindPaged
)

// Flags are properties of a command.
type Flags uint32

// Flags, named after those that COMMAND replies.
const (
	FlagWrite Flags = 1 << iota
	FlagReadonly
	FlagDenyOOM
	FlagAdmin
	FlagPubsub
	FlagNoScript
	FlagBlocking
	FlagLoading
	FlagStale
	FlagFast
	FlagNoAuth
	FlagNoMulti
	FlagMovableKeys
	// flagImmediate commands are executed between MULTI and EXEC.
	flagImmediate
	// flagDangerous puts a command into the category of that name.
	flagDangerous
	// flagPrompt marks commands that are no data commands and still never wait, so
	// that a connection loop executes them.
	flagPrompt
	// flagSole marks those of them that wait where there are several ranges.
	flagSole
	// flagUnpaused commands are executed during CLIENT PAUSE.
	flagUnpaused
)

var flagNames = []struct {
	flag Flags
	name string
}{
	{FlagWrite, "write"}, {FlagReadonly, "readonly"}, {FlagDenyOOM, "denyoom"}, {FlagAdmin, "admin"},
	{FlagPubsub, "pubsub"}, {FlagNoScript, "noscript"}, {FlagBlocking, "blocking"}, {FlagLoading, "loading"},
	{FlagStale, "stale"}, {FlagFast, "fast"}, {FlagNoAuth, "no_auth"}, {FlagNoMulti, "no_multi"},
	{FlagMovableKeys, "movablekeys"},
}

// names lists the flags as COMMAND does.
func (f Flags) names() (names []string) {
	for _, x := range flagNames {
		if f&x.flag != 0 {
			names = append(names, x.name)
		}
	}
	return names
}

// Group is the family of a command, named as in COMMAND DOCS.
type Group string

// Groups.
const (
	GroupString       Group = "string"
	GroupHash         Group = "hash"
	GroupList         Group = "list"
	GroupGeneric      Group = "generic"
	GroupTransactions Group = "transactions"
	GroupConnection   Group = "connection"
	GroupServer       Group = "server"
	GroupCluster      Group = "cluster"
	GroupZMap         Group = "zmap"
	GroupNamespace    Group = "namespace"
	GroupSession      Group = "session"
	GroupAdmin        Group = "admin"
)

// groupCategory is the ACL category that all commands of a group have.
var groupCategory = map[Group]string{
	GroupString: "string", GroupHash: "hash", GroupList: "list", GroupGeneric: "keyspace",
	GroupTransactions: "transaction", GroupConnection: "connection",
}

// Keys says which arguments are keys: from First to Last in steps of Step; a
// negative Last counts from the end. Find, if set, decides instead. A command
// without keys has the zero value.
type Keys struct {
	First, Last, Step int
	Find              func(args [][]byte) []int
}

var (
	oneKey  = Keys{First: 1, Last: 1, Step: 1}
	twoKeys = Keys{First: 1, Last: 2, Step: 1}
	allKeys = Keys{First: 1, Last: -1, Step: 1}
	pairs   = Keys{First: 1, Last: -1, Step: 2}
	subKey  = Keys{First: 2, Last: 2, Step: 1}
)

// positions appends the indexes of the keys among args to at.
func (k Keys) positions(args [][]byte, at []int) []int {
	if k.Find != nil {
		return append(at, k.Find(args)...)
	}
	if k.First == 0 {
		return at
	}
	last := k.Last
	if last < 0 {
		last += len(args)
	}
	for i := k.First; i <= last && i < len(args); i += k.Step {
		at = append(at, i)
	}
	return at
}

// Command is one row of the table.
type Command struct {
	// Name is in lower case, without that of the container.
	Name    string
	Summary string
	// Since is the version of Redis that introduced it, or of Strata for its own.
	Since string
	Group Group
	// Arity counts the arguments, name (and container's name) included; a
	// negative one is a minimum.
	Arity int
	Flags Flags
	// Categories are ACL categories beyond those that follow from Group and Flags.
	Categories []string
	Keys       Keys
	Kind       Kind
	// Subcommands makes the command a container.
	Subcommands []Command
	// Unknown, if set, words the error for a subcommand that does not exist.
	Unknown func(name []byte) error
	// Handler writes the reply to Call.W. The error that it returns becomes the
	// reply instead of what it wrote.
	Handler func(c *Call) error

	full  string // "client|setname"
	upper string
	sub   map[string]*Command
	stats commandStats
}

// FullName is the name with the container's: "client|setname".
func (cmd *Command) FullName() string { return cmd.full }

// categories are all ACL categories, sorted as ACL CAT does not care.
func (cmd *Command) categories() []string {
	var c []string
	add := func(on bool, names ...string) {
		if on {
			c = append(c, names...)
		}
	}
	add(cmd.Flags&FlagWrite != 0, "write")
	add(cmd.Flags&FlagReadonly != 0, "read")
	if name, ok := groupCategory[cmd.Group]; ok {
		c = append(c, name)
	}
	add(cmd.Flags&FlagPubsub != 0, "pubsub")
	add(cmd.Flags&FlagAdmin != 0, "admin")
	add(cmd.Flags&(FlagAdmin|flagDangerous) != 0, "dangerous")
	add(cmd.Flags&FlagBlocking != 0, "blocking")
	add(cmd.Flags&FlagFast != 0, "fast")
	add(cmd.Flags&FlagFast == 0, "slow")
	return append(c, cmd.Categories...)
}

// arityFits reports whether a call with n arguments, name included, is allowed.
func (cmd *Command) arityFits(n int) bool {
	if cmd.Arity < 0 {
		return n >= -cmd.Arity
	}
	return n == cmd.Arity
}

// nameMaxBytes is longer than any command's name.
const nameMaxBytes = 32

// table finds commands by name, in any case, without allocating.
type table struct {
	byName map[string]*Command
	sorted []*Command // top-level commands by name
	total  int        // with subcommands
	nobody *Command   // stands for names that are not in the table
}

func (t *table) lookup(name []byte) *Command { return lookupIn(t.byName, name) }

func lookupIn(m map[string]*Command, name []byte) *Command {
	if len(name) > nameMaxBytes {
		return nil
	}
	var buf [nameMaxBytes]byte
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	return m[string(buf[:len(name)])]
}

// resolve finds the command that args call, subcommand included; nil if there is none.
func (t *table) resolve(args [][]byte) *Command {
	cmd := t.lookup(args[0])
	if cmd != nil && cmd.sub != nil && len(args) > 1 {
		return lookupIn(cmd.sub, args[1])
	}
	return cmd
}

func (t *table) add(rows []Command) {
	for i := range rows {
		cmd := &rows[i]
		cmd.full, cmd.upper = cmd.Name, strings.ToUpper(cmd.Name)
		t.byName[cmd.Name] = cmd
		t.sorted = append(t.sorted, cmd)
		t.total++
		if cmd.Subcommands == nil {
			continue
		}
		cmd.sub = make(map[string]*Command, len(cmd.Subcommands))
		for j := range cmd.Subcommands {
			sub := &cmd.Subcommands[j]
			sub.full = cmd.Name + "|" + sub.Name
			sub.upper = strings.ToUpper(sub.full)
			cmd.sub[sub.Name] = sub
			t.total++
		}
	}
}

// Call is one execution of a command. It is reused; a handler keeps nothing of it.
type Call struct {
	// Args are the command's words, name first. They live until the handler returns.
	Args [][]byte
	// W receives the reply.
	W *resp.Writer
	// Txn is the transaction of a KindData command.
	Txn kv.Txn
	// DB is the session's database.
	DB *model.DB

	cmd  *Command
	s    *session
	x    *executor
	keys [][]byte
	ints []int64
	fvs  []model.FieldValue
}

// wrongArity is Redis's error for a wrong number of arguments, which handlers
// use where the arity of the table cannot tell.
func (c *Call) wrongArity() error { return arityError(c.cmd) }

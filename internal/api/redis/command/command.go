package command

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/stratadb/strata/internal/redisnum"
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
	// FlagUnqueued commands are refused between MULTI and EXEC, as those with FlagNoMulti
	// are, and COMMAND does not say so, because Redis executes them.
	FlagUnqueued
	// FlagImmediate commands are executed between MULTI and EXEC.
	FlagImmediate
	// FlagDangerous puts a command into the category of that name.
	FlagDangerous
	// FlagPrompt marks commands that are no data commands and still never wait, so
	// that a connection loop executes them.
	FlagPrompt
	// FlagSole marks those of them that wait where there are several ranges.
	FlagSole
	// FlagSubscribed commands are all that a RESP2 client may use that is subscribed.
	FlagSubscribed
	// FlagSkipMonitor, FlagNoMandatoryKeys and FlagAllowBusy are what COMMAND says of
	// commands about scripts.
	FlagSkipMonitor
	FlagNoMandatoryKeys
	FlagAllowBusy
	// FlagUnpaused commands are executed during CLIENT PAUSE.
	FlagUnpaused
	// FlagBrief commands are over in less time than it takes to ask for it.
	FlagBrief
)

var flagNames = []struct {
	flag Flags
	name string
}{
	{FlagWrite, "write"}, {FlagReadonly, "readonly"}, {FlagDenyOOM, "denyoom"}, {FlagAdmin, "admin"},
	{FlagPubsub, "pubsub"}, {FlagNoScript, "noscript"}, {FlagBlocking, "blocking"}, {FlagLoading, "loading"},
	{FlagStale, "stale"}, {FlagSkipMonitor, "skip_monitor"}, {FlagNoMandatoryKeys, "no_mandatory_keys"}, {FlagAllowBusy, "allow_busy"}, {FlagFast, "fast"}, {FlagNoAuth, "no_auth"}, {FlagNoMulti, "no_multi"},
	{FlagMovableKeys, "movablekeys"},
}

// Names lists the flags as COMMAND does.
func (f Flags) Names() (names []string) {
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
	GroupBitmap       Group = "bitmap"
	GroupHash         Group = "hash"
	GroupList         Group = "list"
	GroupSet          Group = "set"
	GroupSortedSet    Group = "sorted-set"
	GroupStream       Group = "stream"
	GroupGeo          Group = "geo"
	GroupHyperLogLog  Group = "hyperloglog"
	GroupGeneric      Group = "generic"
	GroupPubsub       Group = "pubsub"
	GroupTransactions Group = "transactions"
	GroupConnection   Group = "connection"
	GroupServer       Group = "server"
	GroupCluster      Group = "cluster"
	GroupZMap         Group = "zmap"
	GroupNamespace    Group = "namespace"
	GroupSession      Group = "session"
	GroupAdmin        Group = "admin"
	GroupScripting    Group = "scripting"
)

// groupCategory is the ACL category that all commands of a group have.
var groupCategory = map[Group]string{
	GroupString: "string", GroupBitmap: "bitmap", GroupStream: "stream", GroupGeo: "geo", GroupHyperLogLog: "hyperloglog", GroupHash: "hash", GroupList: "list", GroupSet: "set", GroupSortedSet: "sortedset", GroupGeneric: "keyspace",
	GroupTransactions: "transaction", GroupConnection: "connection", GroupZMap: "zmap",
}

// Keys says which arguments are keys: from First to Last in steps of Step; a
// negative Last counts from the end. Find, if set, decides instead. A command
// without keys has the zero value.
type Keys struct {
	First, Last, Step int
	Find              func(args [][]byte) []int
}

var (
	OneKey  = Keys{First: 1, Last: 1, Step: 1}
	TwoKeys = Keys{First: 1, Last: 2, Step: 1}
	AllKeys = Keys{First: 1, Last: -1, Step: 1}
	Pairs   = Keys{First: 1, Last: -1, Step: 2}
	SubKey  = Keys{First: 2, Last: 2, Step: 1}
)

// Several reports whether a command may have more than one key.
func (k Keys) Several() bool { return k.Find != nil || k.Last != k.First }

// Positions appends the indexes of the keys among args to at.
func (k Keys) Positions(args [][]byte, at []int) []int {
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
type Command[C any] struct {
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
	// Apart says that the group's category is none of the command's.
	Apart bool
	Keys  Keys
	// Element is the argument that names the first field or member of the key that is looked
	// for; zero: none.
	Element int
	Kind    Kind
	// Subcommands makes the command a container.
	Subcommands []Command[C]
	// Unknown, if set, words the error for a subcommand that does not exist.
	Unknown func(name []byte) error
	// Handler writes the reply to Call.W. The error that it returns becomes the
	// reply instead of what it wrote.
	Handler func(c C) error

	// Stats counts the calls of one that is in a table.
	Stats Stats

	number    int
	container *Command[C]
	specs     []Spec
	full      string // "client|setname"
	upper     string
	sub       map[string]*Command[C]
}

// Stats counts the calls of one command. The time of some is extrapolated from a sample.
type Stats struct {
	Calls, Nanos, Rejected, Failed atomic.Int64
}

// Reset begins anew.
func (st *Stats) Reset() {
	for _, n := range []*atomic.Int64{&st.Calls, &st.Nanos, &st.Rejected, &st.Failed} {
		n.Store(0)
	}
}

// FullName is the name with the container's: "client|setname".
func (cmd *Command[C]) FullName() string { return cmd.full }

// Upper is the full name in capitals.
func (cmd *Command[C]) Upper() string { return cmd.upper }

// Number is the command's place among all of its table, subcommands behind their container.
func (cmd *Command[C]) Number() int { return cmd.number }

// Container is the command that a subcommand belongs to; nil for others.
func (cmd *Command[C]) Container() *Command[C] { return cmd.container }

// CategoryNames are all ACL categories, as ACL CAT lists them.
var CategoryNames = []string{"keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo", "stream", "pubsub",
	"admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting", "zmap"}

// AllCategories are all ACL categories, sorted as ACL CAT does not care.
func (cmd *Command[C]) AllCategories() []string {
	var c []string
	add := func(on bool, names ...string) {
		if on {
			c = append(c, names...)
		}
	}
	add(cmd.Flags&FlagWrite != 0, "write")
	add(cmd.Flags&FlagReadonly != 0 && cmd.Group != GroupScripting, "read")
	if name, ok := groupCategory[cmd.Group]; ok && !cmd.Apart && (cmd.Subcommands == nil || cmd.Handler != nil) {
		c = append(c, name)
	}
	add(cmd.Flags&FlagPubsub != 0, "pubsub")
	add(cmd.Flags&FlagAdmin != 0, "admin")
	add(cmd.Flags&(FlagAdmin|FlagDangerous) != 0, "dangerous")
	add(cmd.Flags&FlagBlocking != 0, "blocking")
	add(cmd.Flags&FlagFast != 0, "fast")
	add(cmd.Flags&FlagFast == 0, "slow")
	return append(c, cmd.Categories...)
}

// ArityFits reports whether a call with n arguments, name included, is allowed.
func (cmd *Command[C]) ArityFits(n int) bool {
	if cmd.Arity < 0 {
		return n >= -cmd.Arity
	}
	return n == cmd.Arity
}

// NameMaxBytes is longer than any command's name.
const NameMaxBytes = 32

// Table finds commands by name, in any case, without allocating.
type Table[C any] struct {
	byName map[string]*Command[C]
	// Sorted are the commands by name.
	Sorted []*Command[C]
	// Nobody stands for names that are not in the table.
	Nobody *Command[C]
}

// NewTable is a table of rows.
func NewTable[C any](rows []Command[C]) *Table[C] {
	t := &Table[C]{byName: map[string]*Command[C]{}, Nobody: &Command[C]{Name: "unknown", full: "unknown"}}
	t.add(rows)
	slices.SortFunc(t.Sorted, func(a, b *Command[C]) int { return strings.Compare(a.Name, b.Name) })
	n := 0
	t.Each(func(cmd *Command[C]) {
		cmd.number, cmd.specs = n, cmd.makeSpecs()
		n++
	})
	return t
}

// Each visits all commands, subcommands behind their container.
func (t *Table[C]) Each(visit func(cmd *Command[C])) {
	for _, cmd := range t.Sorted {
		visit(cmd)
		for i := range cmd.Subcommands {
			visit(&cmd.Subcommands[i])
		}
	}
}

// Lookup finds a command that is no subcommand; nil if there is none.
func (t *Table[C]) Lookup(name []byte) *Command[C] { return lookupIn(t.byName, name) }

func lookupIn[C any](m map[string]*Command[C], name []byte) *Command[C] {
	if len(name) > NameMaxBytes {
		return nil
	}
	var buf [NameMaxBytes]byte
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	return m[string(buf[:len(name)])]
}

// Resolve finds the command that args call, subcommand included; nil if there is none.
func (t *Table[C]) Resolve(args [][]byte) *Command[C] {
	cmd := t.Lookup(args[0])
	if cmd != nil && cmd.sub != nil && len(args) > 1 {
		return lookupIn(cmd.sub, args[1])
	}
	return cmd
}

func (t *Table[C]) add(rows []Command[C]) {
	for i := range rows {
		cmd := &rows[i]
		cmd.full, cmd.upper = cmd.Name, strings.ToUpper(cmd.Name)
		t.byName[cmd.Name] = cmd
		t.Sorted = append(t.Sorted, cmd)
		if cmd.Subcommands == nil {
			continue
		}
		cmd.sub = make(map[string]*Command[C], len(cmd.Subcommands))
		for j := range cmd.Subcommands {
			sub := &cmd.Subcommands[j]
			sub.full = cmd.Name + "|" + sub.Name
			sub.upper, sub.container = strings.ToUpper(sub.full), cmd
			cmd.sub[sub.Name] = sub
		}
	}
}

// ByFullName finds "get" and "client|setname".
func (t *Table[C]) ByFullName(name []byte) *Command[C] {
	container, sub, nested := strings.Cut(string(name), "|")
	cmd := t.Lookup([]byte(container))
	if cmd == nil || !nested {
		return cmd
	}
	return lookupIn(cmd.sub, []byte(sub))
}

// CountedKeys finds keys behind the argument that counts them.
func CountedKeys(at int) func(args [][]byte) []int {
	return func(args [][]byte) (found []int) {
		if len(args) <= at {
			return nil
		}
		n, ok := redisnum.ParseInt(args[at])
		if !ok || n < 1 || n > int64(len(args)-at-1) {
			return nil
		}
		for i := range int(n) {
			found = append(found, at+1+i)
		}
		return found
	}
}

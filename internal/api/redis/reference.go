package redis

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/stratadb/strata/internal/api/redis/command"
)

// Reference is the support table of the documentation, in Markdown: every
// command by group, with the version of Redis that introduced it.
func Reference() []byte {
	t := newTable()
	byGroup := map[command.Group][]*Command{}
	t.Each(func(cmd *Command) {
		if cmd.Subcommands == nil || cmd.Handler != nil {
			byGroup[cmd.Group] = append(byGroup[cmd.Group], cmd)
		}
	})
	groups := make([]command.Group, 0, len(byGroup))
	for g := range byGroup {
		groups = append(groups, g)
	}
	slices.Sort(groups)
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Redis commands\n\nGenerated from the table of commands. Replies are those of Redis %s.\n", RedisVersion)
	for _, g := range groups {
		fmt.Fprintf(&b, "\n## %s%s\n\n| command | since | categories | summary |\n| --- | --- | --- | --- |\n",
			strings.ToUpper(string(g[:1])), g[1:])
		for _, cmd := range byGroup[g] {
			name := strings.ReplaceAll(cmd.Upper(), "|", " ")
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, cmd.Since, strings.Join(cmd.AllCategories(), " "), cmd.Summary)
		}
	}
	b.WriteString("\n## Differences\n\n")
	for _, d := range differences {
		fmt.Fprintf(&b, "- %s\n", d)
	}
	return b.Bytes()
}

// differences from Redis that are on purpose.
var differences = []string{
	"Keys are at most 16 KiB long; a field, a member or an element with its value at most 1 MiB.",
	"`OBJECT ENCODING` says what Redis's default settings would have led to. A list that was a quicklist stays one when it becomes short.",
	"Clients that block are served in the order in which they began to wait, on whatever nodes of a cluster. While another node becomes the leader " +
		"of their key, two of them may be served in the other order.",
	"What BITOP stores may hold at most 64 MiB that is not zeros.",
	"An entry of a stream is at most 1 MiB long. Trimming with `~` goes by the number of entries: up to 99 more may stay. What XINFO STREAM " +
		"says of a radix tree is what Redis would have with 100 entries in each node.",
	"Of a thousand distances that STOREDIST stores one has another last digit, since other libraries compute sines.",
	"PFCOUNT stores nothing: the string of a HyperLogLog does not change when it is counted.",
	"SORT with ALPHA compares bytes, whatever the locale.",
	"DUMP writes values plainly, in a format that 7.0 and later read: the bytes are not those of Redis. RESTORE keeps no IDLETIME and no FREQ.",
	"A script, or a function, is one transaction: an error that it does not catch takes back all that it has done, where Redis keeps it. So does its end by " +
		"SCRIPT KILL or FUNCTION KILL, which end scripts of one node that have written, too, and by its budgets: `lua-time-limit` (at most 5 s), 64 MiB of memory, 512 KiB of text.",
	"Nobody is answered BUSY: a script that runs for long reads a snapshot and keeps nobody waiting. It is tried again when what it has read was changed meanwhile.",
	"Scripts that SCRIPT LOAD was given, and libraries of functions, are stored in the database: all nodes know them, also after a restart. A namespace has its own, up to 10,000 and 1000. What EVAL ran " +
		"is known to its node. SCRIPT FLUSH forgets what is stored and what its node knows.",
	"The local variables of a library's functions live on one of several threads of a node, and not for long. What a script changes of the settings of cjson ends with it.",
	"`pairs` visits keys in the order in which they were set. SCRIPT DEBUG is refused. `string.dump` is an error. `os` has `clock` only.",
	"COMMAND gives no tips about which nodes to ask and how to put their answers together: every node answers for all.",
	"A client blocks on at most 10,000 keys.",
	"Channels belong to a namespace. PUBLISH counts the receivers of its own node, also for shard channels; those of other nodes hear it, too, and it is " +
		"not tried again when they cannot be reached, or when the message is longer than 64 MiB. What EXEC, or COMMIT, publishes is sent after the commit, " +
		"and not at all if its outcome is unknown. SUBSCRIBE and its kin are refused in MULTI.",
	"notify-keyspace-events is a setting of one node, about the commands that it is sent and the keys whose end it finds; the events are heard on all nodes, " +
		"and none comes twice, whoever leads. Those of what a node did just before it was killed may be lost, and so may those of a command whose outcome is unknown because the leader was. " +
		"Of class m there are also events of commands that block, and none of commands that fail.",
	"A subscriber that leaves more than 32 MiB unread is disconnected, and one may be subscribed to names of 16 MiB in total.",
	"`CLIENT UNBLOCK`, `CLIENT KILL`, `CLIENT LIST`, `MONITOR`, `SLOWLOG`, `LATENCY`, `ACL LOG`, `INFO` and `CONFIG` are about one node and its clients.",
	"Users are stored in the database and are those of all nodes: there is no ACL file, `ACL SAVE` answers OK, and `ACL LOAD` reads them again. `ACL SETUSER`, `DELUSER`, " +
		"`SAVE` and `LOAD` and `CONFIG SET requirepass` are refused in MULTI. A rule with a blank in it is a syntax error, and so is a parenthesis within another one.",
	"`EXEC` is one entry of the slow log, not its commands. Of commands that are brief one in 16 is measured where they come in a pipeline.",
	"A client that has asked for MONITOR and leaves more than 32 MiB unread is disconnected. What a transaction did is told when it has committed.",
	"`DEBUG` is for clients on the same machine, and knows a few subcommands; `DEBUG SLEEP` suspends the connection and nobody else.",
	"`maxmemory` bounds what keys and values take on disk, by an estimate, and not the memory of the process. `OBJECT IDLETIME` is 0 while no policy asks for it.",
	"`SAVE` and `BGSAVE` write the databases and functions of the client's namespace, of all nodes, into a file on the node that is asked: `CONFIG GET dir`, which is `rdb` in the data " +
		"directory and cannot be changed, and `dbfilename`, with `namespace-` and a number in front for other namespaces than the first. `SAVE` keeps nobody else waiting. Nothing is loaded from there. " +
		"`BGREWRITEAOF` has nothing to do, and says that it has begun.",
	"`SYNC` answers with such a file, unless who asks for it is going to wait for what comes behind it, having sent `REPLCONF` without `rdb-only 1`: so `redis-cli --rdb`, `--functions-rdb` and `--cluster backup` " +
		"work. There are no replicas of Redis's kind: `PSYNC` is refused, and so is `redis-cli --replica`. " +
		"Of its other modes `--ldb` is refused, since scripts do not stop while others wait, as are those of `--cluster` that change a cluster (`create`, `add-node`, `del-node`, `reshard`, " +
		"`set-timeout`), which Strata does by itself; the others work.",
	"`CLIENT TRACKING` knows keys by their databases: a change of a key in another database invalidates nothing, where Redis goes by names alone. In broadcasting mode the changes of all databases of the namespace are told. " +
		"`SWAPDB`, `FUNCTION LOAD` and its kin, and changes of the namespace invalidate everything. So does the loss of a leader: whatever other nodes write is told, and when news may be missing, everything is invalidated. " +
		"Of a script the keys are tracked that it was given, as in 7.0. `CLIENT TRACKING` is refused in MULTI.",
	"An invalidation comes behind the reply to the command that has caused it, and behind the replies to what was sent in one go with that. One that goes to another connection is behind that connection's own replies. " +
		"A script that fails has written nothing, and invalidates nothing. With `NOLOOP` a client is not told what its scripts do either, and goes on being told of what others do to a key that it has written itself; " +
		"what it writes in several ranges at once it is told all the same.",
	"What a tracking client reads in an interactive transaction, or with a bounded staleness, or where nobody tells for now what is written (while there is no leader; in more than 32 namespaces whose clients track), is invalidated right behind the reply. " +
		"A client that leaves more than 32 MiB unread is disconnected, and one for which more than 10,000 keys are invalidated while it executes is told of everything.",
	"`SHUTDOWN` saves nothing, for there is nothing left to save, and `SHUTDOWN ABORT` finds nothing to abort. `CONFIG REWRITE` writes the settings that the file of a node knows.",
}

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
	"COMMAND gives no tips about which nodes to ask and how to put their answers together: every node answers for all.",
	"A client blocks on at most 10,000 keys.",
	"Channels belong to a namespace. PUBLISH counts the receivers of its own node, also for shard channels; those of other nodes hear it, too, and it is " +
		"not tried again when they cannot be reached, or when the message is longer than 64 MiB. What EXEC, or COMMIT, publishes is sent after the commit, " +
		"and not at all if its outcome is unknown. SUBSCRIBE and its kin are refused in MULTI.",
	"notify-keyspace-events is a setting of one node, about the commands that it is sent and the keys whose end it finds; the events are heard on all nodes. " +
		"Of class m there are also events of commands that block, and none of commands that fail.",
	"A subscriber that leaves more than 32 MiB unread is disconnected, and one may be subscribed to names of 16 MiB in total.",
	"`CLIENT UNBLOCK`, `CLIENT KILL` and `CLIENT LIST` are about the clients of one node.",
}

package command

// unordered are the commands whose replies are the same but for their order, nondeterministic
// those that may answer another thing each time.
var (
	unordered        = set("command", "command|docs", "command|info", "command|list", "function|list", "hgetall", "hkeys", "hvals", "keys", "module|list", "sdiff", "sinter", "smembers", "sunion")
	nondeterministic = set("client|info", "client|list", "cluster|count-failure-reports", "cluster|getkeysinslot", "cluster|info", "cluster|links", "cluster|nodes", "cluster|shards",
		"cluster|slots", "dump", "function|stats", "hrandfield", "hscan", "info", "lastsave", "latency|doctor", "latency|graph", "latency|histogram", "latency|history", "latency|latest", "memory|doctor", "memory|malloc-stats", "memory|stats", "slowlog|get", "slowlog|len", "object|encoding", "object|freq", "object|idletime", "object|refcount", "pttl", "randomkey",
		"scan", "spop", "srandmember", "sscan", "time", "ttl", "xadd", "xautoclaim", "xclaim", "xinfo|consumers", "xpending", "xtrim", "zrandmember", "zscan")
)

func set(names ...string) map[string]bool {
	s := map[string]bool{}
	for _, name := range names {
		s[name] = true
	}
	return s
}

// Tips are what COMMAND tells clients about a command. Redis also tells them which nodes to
// ask and how to put their answers together: here every node answers for all.
func (cmd *Command[C]) Tips() []string {
	switch {
	case unordered[cmd.full]:
		return []string{"nondeterministic_output_order"}
	case nondeterministic[cmd.full]:
		return []string{"nondeterministic_output"}
	}
	return nil
}

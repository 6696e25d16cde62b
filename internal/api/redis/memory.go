package redis

import (
	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/data"
	"github.com/stratadb/strata/internal/api/redis/info"
	"github.com/stratadb/strata/internal/kv"
	model "github.com/stratadb/strata/internal/model/redis"
)

func memoryCommands() []Command {
	return []Command{
		{Name: "memory", Summary: "A container for memory diagnostics commands.", Since: "4.0.0", Group: command.GroupServer, Arity: -2,
			Subcommands: []Command{
				{Name: "usage", Summary: "Estimates the memory usage of a key.", Since: "4.0.0", Group: command.GroupServer, Arity: -3,
					Flags: command.FlagReadonly, Keys: command.SubKey, Handler: func(c *Call) error { return data.MemoryUsage(&c.Call) }},
				{Name: "doctor", Summary: "Outputs a memory problems report.", Since: "4.0.0", Group: command.GroupServer, Arity: 2,
					Kind: command.KindConnection, Handler: memoryDoctor},
				{Name: "malloc-stats", Summary: "Returns the allocator statistics.", Since: "4.0.0", Group: command.GroupServer, Arity: 2,
					Kind: command.KindConnection, Handler: func(c *Call) error { return info.Malloc(&c.Call) }},
				{Name: "purge", Summary: "Asks the allocator to release memory.", Since: "4.0.0", Group: command.GroupServer, Arity: 2,
					Kind: command.KindConnection, Handler: func(c *Call) error { return info.Purge(&c.Call) }},
				{Name: "stats", Summary: "Returns details about memory usage.", Since: "4.0.0", Group: command.GroupServer, Arity: 2,
					Kind: command.KindPaged, Handler: memoryStats},
				helpFor("memory", "4.0.0", command.GroupServer,
					"DOCTOR", "    Return memory problems reports.",
					"MALLOC-STATS", "    Return internal statistics report from the memory allocator.",
					"PURGE", "    Attempt to purge dirty pages for reclamation by the allocator.",
					"STATS", "    Return information about the memory usage of the server.",
					"USAGE <key> [SAMPLES <count>]", "    Return memory in bytes used by <key> and its value. Nested values are",
					"    sampled up to <count> times (default: 5, 0 means sample all)."),
			}},
	}
}

// memoryStats tells of the process, and of the keys of the session's namespace.
func memoryStats(c *Call) error {
	var keys int64
	err := c.Transact(kv.Func(func(t kv.Txn) error {
		keys = 0
		for n := range uint8(model.Databases) {
			st, err := model.DBStats(t, c.s.srv.handle(c.s.ns, n))
			if err != nil {
				return err
			}
			keys += int64(st.Keys)
		}
		return nil
	}))
	if err == nil {
		c.s.srv.memory.Stats(&c.Call, c.s.srv.clientBytes(), keys)
	}
	return err
}

func memoryDoctor(c *Call) error {
	c.W.Verbatim("txt", []byte("No memory problem was found.\n"))
	return nil
}

package redis

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/kv"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/pubsub"
)

// infoSection writes one section of INFO.
type infoSection struct {
	name      string
	byDefault bool
	write     func(c *Call, b *bytes.Buffer) error
}

func infoSections() []infoSection {
	return []infoSection{
		{"server", true, infoServer}, {"clients", true, infoClients}, {"memory", true, infoMemory},
		{"persistence", true, infoPersistence}, {"stats", true, infoStats}, {"replication", true, infoReplication},
		{"cpu", true, infoCPU}, {"modules", true, infoNothing}, {"commandstats", false, infoCommandstats},
		{"errorstats", true, infoErrorstats}, {"cluster", true, infoCluster}, {"keyspace", true, infoKeyspace},
	}
}

func infoCommand(c *Call) error {
	var b bytes.Buffer
	for _, section := range infoSections() {
		wanted := len(c.Args) == 1 && section.byDefault
		for _, a := range c.Args[1:] {
			wanted = wanted || command.Is(a, section.name) || command.Is(a, "all") || command.Is(a, "everything") || command.Is(a, "default") && section.byDefault
		}
		if !wanted {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\r\n")
		}
		fmt.Fprintf(&b, "# %s%s\r\n", strings.ToUpper(section.name[:1]), section.name[1:])
		if err := section.write(c, &b); err != nil {
			return err
		}
	}
	c.W.Verbatim("txt", b.Bytes())
	return nil
}

// field writes a line of INFO.
func field(b *bytes.Buffer, name string, value any) { fmt.Fprintf(b, "%s:%v\r\n", name, value) }

func infoNothing(*Call, *bytes.Buffer) error { return nil }

func infoServer(c *Call, b *bytes.Buffer) error {
	s := c.s.srv
	up := s.now().Sub(s.started)
	field(b, "redis_version", RedisVersion)
	field(b, "redis_git_sha1", "00000000")
	field(b, "redis_git_dirty", 0)
	field(b, "redis_build_id", 0)
	field(b, "strata_version", s.o.Version)
	field(b, "redis_mode", word(s.o.Topology != nil, "standalone", "cluster"))
	field(b, "os", runtime.GOOS+" "+runtime.GOARCH)
	field(b, "arch_bits", 32<<(^uint(0)>>63))
	field(b, "multiplexing_api", "go")
	field(b, "process_id", os.Getpid())
	field(b, "run_id", s.runID)
	field(b, "tcp_port", s.port())
	field(b, "server_time_usec", s.now().UnixMicro())
	field(b, "uptime_in_seconds", int64(up/time.Second))
	field(b, "uptime_in_days", int64(up/(24*time.Hour)))
	field(b, "hz", int(time.Second/housekeepEvery))
	field(b, "configured_hz", int(time.Second/housekeepEvery))
	field(b, "executable", "")
	field(b, "config_file", "")
	return nil
}

func infoClients(c *Call, b *bytes.Buffer) error {
	all := c.s.srv.clients()
	in, out, watching, subscribed := 0, 0, 0, 0
	for _, s := range all {
		unsent, _ := s.out.Pending()
		in, out = max(in, int(s.inSize.Load())), max(out, unsent)
		if s.subscribed() {
			subscribed++
		}
		if s.watching.Load() > 0 {
			watching++
		}
	}
	field(b, "connected_clients", len(all))
	field(b, "cluster_connections", 0)
	field(b, "maxclients", c.s.srv.settings.maxClients.Load())
	field(b, "client_recent_max_input_buffer", in)
	field(b, "client_recent_max_output_buffer", out)
	field(b, "blocked_clients", c.s.srv.waiting.Load())
	field(b, "tracking_clients", 0)
	field(b, "pubsub_clients", subscribed)
	field(b, "watching_clients", watching)
	field(b, "clients_in_timeout_table", 0)
	field(b, "total_blocking_keys", c.s.srv.lines.Len())
	field(b, "total_blocking_keys_on_nokey", 0)
	return nil
}

// human prints a number of bytes as Redis does.
func human(n uint64) string {
	units := []string{"B", "K", "M", "G", "T"}
	f, u := float64(n), 0
	for f >= 1024 && u < len(units)-1 {
		f, u = f/1024, u+1
	}
	if u == 0 {
		return fmt.Sprintf("%dB", n)
	}
	return fmt.Sprintf("%.2f%s", f, units[u])
}

// memoryUse is the process's memory: what is in use, and what the system gave.
func memoryUse() (used, system uint64) {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	total, free, released := samples[0].Value.Uint64(), samples[1].Value.Uint64(), samples[2].Value.Uint64()
	return total - free - released, total - released
}

func infoMemory(c *Call, b *bytes.Buffer) error {
	used, rss := memoryUse()
	field(b, "used_memory", used)
	field(b, "used_memory_human", human(used))
	field(b, "used_memory_rss", rss)
	field(b, "used_memory_rss_human", human(rss))
	field(b, "used_memory_peak", rss)
	field(b, "used_memory_peak_human", human(rss))
	field(b, "used_memory_lua", 0)
	field(b, "used_memory_scripts", 0)
	field(b, "total_system_memory", c.s.srv.o.Memory)
	field(b, "total_system_memory_human", human(c.s.srv.o.Memory))
	field(b, "maxmemory", 0)
	field(b, "maxmemory_human", "0B")
	field(b, "maxmemory_policy", "noeviction")
	field(b, "mem_fragmentation_ratio", fmt.Sprintf("%.2f", float64(rss)/float64(max(used, 1))))
	field(b, "mem_allocator", "go")
	field(b, "active_defrag_running", 0)
	field(b, "lazyfree_pending_objects", 0)
	return nil
}

// infoPersistence: every acknowledged write is on disk, so there is nothing to
// save and nothing in flight.
func infoPersistence(c *Call, b *bytes.Buffer) error {
	field(b, "loading", 0)
	field(b, "async_loading", 0)
	field(b, "rdb_changes_since_last_save", 0)
	field(b, "rdb_bgsave_in_progress", 0)
	field(b, "rdb_last_save_time", c.s.srv.now().Unix())
	field(b, "rdb_last_bgsave_status", "ok")
	field(b, "rdb_last_bgsave_time_sec", -1)
	field(b, "rdb_current_bgsave_time_sec", -1)
	field(b, "aof_enabled", 1)
	field(b, "aof_rewrite_in_progress", 0)
	field(b, "aof_rewrite_scheduled", 0)
	field(b, "aof_last_rewrite_time_sec", -1)
	field(b, "aof_last_bgrewrite_status", "ok")
	field(b, "aof_last_write_status", "ok")
	return nil
}

func infoStats(c *Call, b *bytes.Buffer) error {
	s := c.s.srv
	_, commands := s.Traffic()
	_, errs := s.stats.errorCounts()
	s.stats.mu.Lock()
	in, out := s.stats.mu.inPerSec, s.stats.mu.outPerSec
	s.stats.mu.Unlock()
	field(b, "total_connections_received", s.stats.accepted.Load())
	field(b, "total_commands_processed", commands)
	field(b, "total_net_input_bytes", s.stats.received.Load())
	field(b, "total_net_output_bytes", s.stats.sent.Load())
	field(b, "instantaneous_input_kbps", fmt.Sprintf("%.2f", in/1024))
	field(b, "instantaneous_output_kbps", fmt.Sprintf("%.2f", out/1024))
	field(b, "rejected_connections", s.stats.refused.Load())
	field(b, "sync_full", 0)
	field(b, "sync_partial_ok", 0)
	field(b, "sync_partial_err", 0)
	field(b, "expired_keys", s.stats.expired.Load())
	field(b, "evicted_keys", 0)
	field(b, "evicted_clients", 0)
	field(b, "keyspace_hits", s.lookups.Hits.Load())
	field(b, "keyspace_misses", s.lookups.Misses.Load())
	names := s.broker.Counts()
	field(b, "pubsub_channels", names[pubsub.Channel])
	field(b, "pubsub_patterns", names[pubsub.Pattern])
	field(b, "pubsubshard_channels", names[pubsub.Shard])
	field(b, "latest_fork_usec", 0)
	field(b, "total_forks", 0)
	field(b, "total_error_replies", errs)
	near, far := s.db.StaleReads()
	field(b, "stale_reads_here", near)
	field(b, "stale_reads_at_leaders", far)
	return nil
}

func infoReplication(c *Call, b *bytes.Buffer) error {
	field(b, "role", "master")
	field(b, "connected_slaves", 0)
	field(b, "master_failover_state", "no-failover")
	field(b, "master_replid", c.s.srv.runID)
	field(b, "master_repl_offset", 0)
	field(b, "second_repl_offset", -1)
	field(b, "repl_backlog_active", 0)
	return nil
}

func infoCPU(_ *Call, b *bytes.Buffer) error {
	for _, who := range []struct {
		id     int
		suffix string
	}{{syscall.RUSAGE_SELF, ""}, {syscall.RUSAGE_CHILDREN, "_children"}} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who.id, &u); err != nil {
			return err
		}
		field(b, "used_cpu_sys"+who.suffix, fmt.Sprintf("%d.%06d", u.Stime.Sec, u.Stime.Usec))
		field(b, "used_cpu_user"+who.suffix, fmt.Sprintf("%d.%06d", u.Utime.Sec, u.Utime.Usec))
	}
	return nil
}

func infoCommandstats(c *Call, b *bytes.Buffer) error {
	c.s.srv.table.Each(func(cmd *Command) {
		calls, rejected := cmd.Stats.Calls.Load(), cmd.Stats.Rejected.Load()
		if calls+rejected == 0 {
			return
		}
		micros := cmd.Stats.Micros.Load()
		field(b, "cmdstat_"+cmd.FullName(), fmt.Sprintf("calls=%d,usec=%d,usec_per_call=%.2f,rejected_calls=%d,failed_calls=%d",
			calls, micros, float64(micros)/float64(max(calls, 1)), rejected, cmd.Stats.Failed.Load()))
	})
	return nil
}

func infoErrorstats(c *Call, b *bytes.Buffer) error {
	counts, _ := c.s.srv.stats.errorCounts()
	codes := make([]string, 0, len(counts))
	for code := range counts {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	for _, code := range codes {
		field(b, "errorstat_"+code, fmt.Sprintf("count=%d", counts[code]))
	}
	return nil
}

func infoCluster(c *Call, b *bytes.Buffer) error {
	field(b, "cluster_enabled", word(c.s.srv.o.Topology != nil, "0", "1"))
	return nil
}

func infoKeyspace(c *Call, b *bytes.Buffer) error {
	mark := b.Len()
	return c.Transact(func(t kv.Txn) error {
		b.Truncate(mark)
		for n := range uint8(model.Databases) {
			st, err := model.DBStats(t, c.s.srv.handle(c.s.ns, n))
			if err != nil {
				return err
			}
			if st.Keys > 0 {
				field(b, fmt.Sprintf("db%d", n), fmt.Sprintf("keys=%d,expires=%d,avg_ttl=%d", st.Keys, st.Expiring, st.AverageTTLMillis))
			}
		}
		return nil
	})
}

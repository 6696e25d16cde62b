// Package info writes what INFO and MEMORY tell of the process. Where Redis tells of something that
// is not here, like a process that saves, the answer is what it is for one that never does.
package info

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/stratadb/strata/internal/api/redis/data"
)

// Field writes a line.
func Field(b *bytes.Buffer, name string, value any) { fmt.Fprintf(b, "%s:%v\r\n", name, value) }

// zeros writes lines of things that there are none of.
func zeros(b *bytes.Buffer, names ...string) {
	for _, name := range names {
		Field(b, name, 0)
	}
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

func bytesOf(b *bytes.Buffer, name string, n uint64) {
	Field(b, name, n)
	Field(b, name+"_human", human(n))
}

// Memory is that of the process, in bytes. Make one with NewMemory.
type Memory struct {
	system  uint64 // the machine's; zero: not known
	startup uint64
	peak    atomic.Uint64
}

// NewMemory is called when the process starts.
func NewMemory(system uint64) *Memory {
	m := &Memory{system: system}
	m.startup = m.Sample().used
	return m
}

// use is the process's memory: what is in use, what the runtime has for it, and what the system gave.
type use struct{ used, active, resident uint64 }

// Sample looks at the memory, for the peak.
func (m *Memory) Sample() use {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"}}
	metrics.Read(samples)
	n := func(i int) uint64 { return samples[i].Value.Uint64() }
	u := use{resident: n(0) - n(2), active: n(0) - n(2) - n(1)}
	u.used = u.active - n(3)
	for old := m.peak.Load(); u.used > old && !m.peak.CompareAndSwap(old, u.used); old = m.peak.Load() {
	}
	return u
}

func ratio(a, b uint64) float64 { return float64(a) / float64(max(b, 1)) }

// Scripts is how many scripts a node has compiled, the bytes of their texts, and what functions
// there are.
type Scripts struct{ Cached, Bytes, Functions, Libraries int }

// Write is the section "memory". clients is what is held for their input and output,
// limit and policy those of the eviction.
func (m *Memory) Write(b *bytes.Buffer, clients uint64, scripts Scripts, limit int64, policy string) {
	u := m.Sample()
	bytesOf(b, "used_memory", u.used)
	bytesOf(b, "used_memory_rss", u.resident)
	bytesOf(b, "used_memory_peak", m.peak.Load())
	Field(b, "used_memory_peak_perc", fmt.Sprintf("%.2f%%", 100*ratio(u.used, m.peak.Load())))
	overhead := m.startup + clients
	dataset := u.used - min(u.used, overhead)
	Field(b, "used_memory_overhead", overhead)
	Field(b, "used_memory_startup", m.startup)
	Field(b, "used_memory_dataset", dataset)
	Field(b, "used_memory_dataset_perc", fmt.Sprintf("%.2f%%", 100*ratio(dataset, u.used-min(u.used, m.startup))))
	Field(b, "allocator_allocated", u.used)
	Field(b, "allocator_active", u.active)
	Field(b, "allocator_resident", u.resident)
	bytesOf(b, "total_system_memory", m.system)
	zeros(b, "used_memory_lua", "used_memory_vm_eval")
	Field(b, "used_memory_lua_human", "0B")
	Field(b, "used_memory_scripts_eval", scripts.Bytes)
	Field(b, "number_of_cached_scripts", scripts.Cached)
	Field(b, "number_of_functions", scripts.Functions)
	Field(b, "number_of_libraries", scripts.Libraries)
	zeros(b, "used_memory_vm_functions", "used_memory_vm_total")
	Field(b, "used_memory_vm_total_human", "0B")
	zeros(b, "used_memory_functions")
	bytesOf(b, "used_memory_scripts", uint64(scripts.Bytes))
	bytesOf(b, "maxmemory", uint64(limit))
	Field(b, "maxmemory_policy", policy)
	Field(b, "allocator_frag_ratio", fmt.Sprintf("%.2f", ratio(u.active, u.used)))
	Field(b, "allocator_frag_bytes", u.active-u.used)
	Field(b, "allocator_rss_ratio", fmt.Sprintf("%.2f", ratio(u.resident, u.active)))
	Field(b, "allocator_rss_bytes", u.resident-u.active)
	Field(b, "rss_overhead_ratio", "1.00")
	zeros(b, "rss_overhead_bytes")
	Field(b, "mem_fragmentation_ratio", fmt.Sprintf("%.2f", ratio(u.resident, u.used)))
	Field(b, "mem_fragmentation_bytes", u.resident-u.used)
	zeros(b, "mem_not_counted_for_evict", "mem_replication_backlog", "mem_total_replication_buffers", "mem_clients_slaves")
	Field(b, "mem_clients_normal", clients)
	zeros(b, "mem_cluster_links", "mem_aof_buffer")
	Field(b, "mem_allocator", "go")
	zeros(b, "active_defrag_running", "lazyfree_pending_objects", "lazyfreed_objects")
}

// Stats is MEMORY STATS. keys is how many there are.
func (m *Memory) Stats(c *data.Call, clients uint64, keys int64) {
	u, w := m.Sample(), c.W
	overhead := m.startup + clients
	dataset := u.used - min(u.used, overhead)
	ints := func(pairs ...any) {
		for i := 0; i < len(pairs); i += 2 {
			w.BulkString(pairs[i].(string))
			switch n := pairs[i+1].(type) {
			case uint64:
				w.Int(int64(n))
			case int:
				w.Int(int64(n))
			case int64:
				w.Int(n)
			case float64:
				w.Double(n)
			}
		}
	}
	const fields = 27
	w.Map(fields)
	ints("peak.allocated", m.peak.Load(), "total.allocated", u.used, "startup.allocated", m.startup, "replication.backlog", 0, "clients.slaves", 0,
		"clients.normal", clients, "cluster.links", 0, "aof.buffer", 0, "lua.caches", 0, "functions.caches", 0, "overhead.total", overhead,
		"keys.count", keys, "keys.bytes-per-key", int64(dataset)/max(keys, 1), "dataset.bytes", dataset,
		"dataset.percentage", 100*ratio(dataset, u.used-min(u.used, m.startup)), "peak.percentage", 100*ratio(u.used, m.peak.Load()),
		"allocator.allocated", u.used, "allocator.active", u.active, "allocator.resident", u.resident,
		"allocator-fragmentation.ratio", ratio(u.active, u.used), "allocator-fragmentation.bytes", u.active-u.used,
		"allocator-rss.ratio", ratio(u.resident, u.active), "allocator-rss.bytes", u.resident-u.active,
		"rss-overhead.ratio", 1.0, "rss-overhead.bytes", 0, "fragmentation", ratio(u.resident, u.used), "fragmentation.bytes", u.resident-u.used)
}

// Purge gives memory that is not used back to the system: MEMORY PURGE.
func Purge(c *data.Call) error {
	debug.FreeOSMemory()
	c.W.OK()
	return nil
}

// Malloc is MEMORY MALLOC-STATS: what the runtime tells of its memory.
func Malloc(c *data.Call) error {
	var names []metrics.Sample
	for _, d := range metrics.All() {
		if d.Kind == metrics.KindUint64 && (bytes.HasPrefix([]byte(d.Name), []byte("/memory/")) || bytes.HasPrefix([]byte(d.Name), []byte("/gc/"))) {
			names = append(names, metrics.Sample{Name: d.Name})
		}
	}
	metrics.Read(names)
	var b bytes.Buffer
	for _, s := range names {
		fmt.Fprintf(&b, "%s %d\n", s.Name, s.Value.Uint64())
	}
	c.W.Verbatim("txt", b.Bytes())
	return nil
}

// CPU is the section of that name.
func CPU(b *bytes.Buffer) error {
	for _, who := range []struct {
		id     int
		suffix string
	}{{syscall.RUSAGE_SELF, ""}, {syscall.RUSAGE_CHILDREN, "_children"}} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who.id, &u); err != nil {
			return err
		}
		Field(b, "used_cpu_sys"+who.suffix, fmt.Sprintf("%d.%06d", u.Stime.Sec, u.Stime.Usec))
		Field(b, "used_cpu_user"+who.suffix, fmt.Sprintf("%d.%06d", u.Utime.Sec, u.Utime.Usec))
	}
	return nil
}

// Saves are the files that were saved.
type Saves struct {
	Since time.Time // when the one that is being written was begun; zero: there is none
	Last  time.Time // when the last one was finished, or the server began
	OK    bool      // so did the last one end
	Took  time.Duration
	Count int
	// Moments is of how many states of the database the last one is made.
	Moments int
}

// Persistence is the section of that name: every acknowledged write is on disk, so nothing is lost
// that was changed since a file was saved.
func Persistence(b *bytes.Buffer, now time.Time, s Saves) {
	zeros(b, "loading", "async_loading", "current_cow_peak", "current_cow_size", "current_cow_size_age")
	Field(b, "current_fork_perc", "0.00")
	zeros(b, "current_save_keys_processed", "current_save_keys_total", "rdb_changes_since_last_save")
	status, running, current := "ok", 0, int64(-1)
	if !s.OK {
		status = "err"
	}
	if !s.Since.IsZero() {
		running, current = 1, int64(now.Sub(s.Since)/time.Second)
	}
	took := int64(-1)
	if s.Took >= 0 {
		took = int64(s.Took / time.Second)
	}
	Field(b, "rdb_bgsave_in_progress", running)
	Field(b, "rdb_last_save_time", s.Last.Unix())
	Field(b, "rdb_last_bgsave_status", status)
	Field(b, "rdb_last_bgsave_time_sec", took)
	Field(b, "rdb_current_bgsave_time_sec", current)
	Field(b, "rdb_saves", s.Count)
	Field(b, "rdb_last_save_moments", s.Moments)
	zeros(b, "rdb_last_cow_size", "rdb_last_load_keys_expired", "rdb_last_load_keys_loaded")
	Field(b, "aof_enabled", 1)
	zeros(b, "aof_rewrite_in_progress", "aof_rewrite_scheduled")
	Field(b, "aof_last_rewrite_time_sec", -1)
	Field(b, "aof_current_rewrite_time_sec", -1)
	Field(b, "aof_last_bgrewrite_status", "ok")
	zeros(b, "aof_rewrites", "aof_rewrites_consecutive_failures")
	Field(b, "aof_last_write_status", "ok")
	zeros(b, "aof_last_cow_size", "module_fork_in_progress", "module_fork_last_cow_size", "aof_current_size", "aof_base_size", "aof_pending_rewrite",
		"aof_buffer_length", "aof_pending_bio_fsync", "aof_delayed_fsync")
}

// Replication is the section of that name: copies are made by consensus, which has no replicas.
func Replication(b *bytes.Buffer, id string) {
	Field(b, "role", "master")
	zeros(b, "connected_slaves")
	Field(b, "master_failover_state", "no-failover")
	Field(b, "master_replid", id)
	Field(b, "master_replid2", "0000000000000000000000000000000000000000")
	zeros(b, "master_repl_offset")
	Field(b, "second_repl_offset", -1)
	zeros(b, "repl_backlog_active", "repl_backlog_size", "repl_backlog_first_byte_offset", "repl_backlog_histlen")
}

// Nothing are the counters of the section "stats" for what is not here.
func Nothing(b *bytes.Buffer) {
	zeros(b, "total_net_repl_input_bytes", "total_net_repl_output_bytes")
	Field(b, "instantaneous_input_repl_kbps", "0.00")
	Field(b, "instantaneous_output_repl_kbps", "0.00")
	zeros(b, "sync_full", "sync_partial_ok", "sync_partial_err", "expired_time_cap_reached_count", "evicted_clients", "total_eviction_exceeded_time",
		"current_eviction_exceeded_time", "latest_fork_usec", "total_forks", "migrate_cached_sockets", "slave_expires_tracked_keys", "active_defrag_hits",
		"active_defrag_misses", "active_defrag_key_hits", "active_defrag_key_misses", "total_active_defrag_time", "current_active_defrag_time",
		"unexpected_error_replies", "dump_payload_sanitizations",
		"io_threaded_reads_processed", "io_threaded_writes_processed")
	Field(b, "expired_stale_perc", "0.00")
}

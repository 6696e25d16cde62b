package redis

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/info"
	"github.com/stratadb/strata/internal/auth"
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
		{"cpu", true, infoCPU}, {"modules", true, infoNothing}, {"commandstats", false, infoCommandstats}, {"latencystats", false, infoLatencystats},
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
		title := strings.ToUpper(section.name[:1]) + section.name[1:]
		if section.name == "cpu" {
			title = "CPU"
		}
		fmt.Fprintf(&b, "# %s\r\n", title)
		if err := section.write(c, &b); err != nil {
			return err
		}
	}
	c.W.Verbatim("txt", b.Bytes())
	return nil
}

func infoNothing(*Call, *bytes.Buffer) error { return nil }

func infoServer(c *Call, b *bytes.Buffer) error {
	s := c.s.srv
	up := s.now().Sub(s.started)
	info.Field(b, "redis_version", RedisVersion)
	info.Field(b, "redis_git_sha1", "00000000")
	info.Field(b, "redis_git_dirty", 0)
	info.Field(b, "redis_build_id", 0)
	info.Field(b, "strata_version", s.o.Version)
	info.Field(b, "redis_mode", word(s.o.Topology != nil, "standalone", "cluster"))
	info.Field(b, "os", runtime.GOOS+" "+runtime.GOARCH)
	info.Field(b, "arch_bits", 32<<(^uint(0)>>63))
	info.Field(b, "multiplexing_api", "go")
	info.Field(b, "process_id", os.Getpid())
	info.Field(b, "run_id", s.runID)
	info.Field(b, "tcp_port", s.port())
	info.Field(b, "server_time_usec", s.now().UnixMicro())
	info.Field(b, "uptime_in_seconds", int64(up/time.Second))
	info.Field(b, "uptime_in_days", int64(up/(24*time.Hour)))
	info.Field(b, "hz", int(time.Second/housekeepEvery))
	info.Field(b, "configured_hz", int(time.Second/housekeepEvery))
	info.Field(b, "executable", s.o.Executable)
	info.Field(b, "config_file", s.o.ConfigFile)
	info.Field(b, "io_threads_active", 0)
	return nil
}

func infoClients(c *Call, b *bytes.Buffer) error {
	all := c.s.srv.clients()
	in, out, watching, keys, subscribed := 0, 0, 0, 0, 0
	for _, s := range all {
		unsent, _ := s.out.Pending()
		in, out = max(in, int(s.inSize.Load())), max(out, unsent)
		if s.subscribed() {
			subscribed++
		}
		if n := int(s.watching.Load()); n > 0 {
			watching, keys = watching+1, keys+n
		}
	}
	info.Field(b, "connected_clients", len(all))
	info.Field(b, "cluster_connections", 0)
	info.Field(b, "maxclients", c.s.srv.settings.maxClients.Load())
	info.Field(b, "client_recent_max_input_buffer", in)
	info.Field(b, "client_recent_max_output_buffer", out)
	info.Field(b, "blocked_clients", c.s.srv.waiting.Load())
	info.Field(b, "tracking_clients", c.s.srv.tracking.Stats().Clients)
	info.Field(b, "pubsub_clients", subscribed)
	info.Field(b, "watching_clients", watching)
	info.Field(b, "total_watched_keys", keys)
	info.Field(b, "clients_in_timeout_table", 0)
	info.Field(b, "total_blocking_keys", c.s.srv.lines.Len())
	info.Field(b, "total_blocking_keys_on_nokey", 0)
	return nil
}

// clientBytes is what is held for the clients.
func (s *Server) clientBytes() (n uint64) {
	for _, c := range s.clients() {
		unsent, _ := c.out.Pending()
		n += uint64(unsent) + uint64(c.inSize.Load())
	}
	return n
}

func infoMemory(c *Call, b *bytes.Buffer) error {
	var scripts info.Scripts
	scripts.Cached, scripts.Bytes = c.s.srv.scripts.Engine.Cached()
	err := c.Transact(func(t kv.Txn) error {
		all, err := c.s.srv.scripts.Read(t, c.s.ns.ID, c.x.kvs.Prompt)
		if err == nil {
			scripts.Libraries, scripts.Functions = len(all.All), all.Functions()
		}
		return err
	})
	limit := c.s.srv.settings.cacheLimit()
	c.s.srv.memory.Write(b, c.s.srv.clientBytes(), scripts, limit.Bytes, limit.Policy.String())
	return err
}

func infoPersistence(c *Call, b *bytes.Buffer) error {
	info.Persistence(b, c.s.srv.now(), c.s.srv.saver.State())
	return nil
}

func infoReplication(c *Call, b *bytes.Buffer) error {
	info.Replication(b, *c.s.srv.replID.Load())
	return nil
}

func infoCPU(_ *Call, b *bytes.Buffer) error { return info.CPU(b) }

func infoStats(c *Call, b *bytes.Buffer) error {
	s := c.s.srv
	_, commands := s.Traffic()
	_, errs := s.stats.errorCounts()
	s.stats.mu.Lock()
	in, out, ops := s.stats.mu.inPerSec, s.stats.mu.outPerSec, s.stats.mu.opsPerSec
	s.stats.mu.Unlock()
	info.Field(b, "total_connections_received", s.stats.accepted.Load())
	info.Field(b, "total_commands_processed", commands)
	info.Field(b, "instantaneous_ops_per_sec", int64(ops))
	info.Field(b, "total_net_input_bytes", s.stats.received.Load())
	info.Field(b, "total_net_output_bytes", s.stats.sent.Load())
	info.Field(b, "instantaneous_input_kbps", fmt.Sprintf("%.2f", in/1024))
	info.Field(b, "instantaneous_output_kbps", fmt.Sprintf("%.2f", out/1024))
	info.Field(b, "rejected_connections", s.stats.refused.Load())
	info.Field(b, "expired_keys", s.stats.expired.Load())
	info.Field(b, "evicted_keys", s.stats.evicted.Load())
	info.Field(b, "keyspace_hits", s.lookups.Hits.Load())
	info.Field(b, "keyspace_misses", s.lookups.Misses.Load())
	names := s.broker.Counts()
	info.Field(b, "pubsub_channels", names[pubsub.Channel])
	info.Field(b, "pubsub_patterns", names[pubsub.Pattern])
	info.Field(b, "pubsubshard_channels", names[pubsub.Shard])
	tracked := s.tracking.Stats()
	info.Field(b, "tracking_total_keys", tracked.Keys)
	info.Field(b, "tracking_total_items", tracked.Items)
	info.Field(b, "tracking_total_prefixes", tracked.Prefixes)
	info.Field(b, "total_error_replies", errs)
	info.Field(b, "acl_access_denied_auth", s.refusals.Refused(auth.DeniedLogin))
	info.Field(b, "acl_access_denied_cmd", s.refusals.Refused(auth.DeniedCommand))
	info.Field(b, "acl_access_denied_key", s.refusals.Refused(auth.DeniedKey))
	info.Field(b, "acl_access_denied_channel", s.refusals.Refused(auth.DeniedChannel))
	near, far := s.db.StaleReads()
	info.Nothing(b)
	info.Field(b, "stale_reads_here", near)
	info.Field(b, "stale_reads_at_leaders", far)
	return nil
}

func infoCommandstats(c *Call, b *bytes.Buffer) error {
	c.s.srv.table.Each(func(cmd *Command) {
		calls, rejected := cmd.Stats.Calls.Load(), cmd.Stats.Rejected.Load()
		if calls+rejected == 0 {
			return
		}
		micros := cmd.Stats.Nanos.Load() / 1000
		info.Field(b, "cmdstat_"+cmd.FullName(), fmt.Sprintf("calls=%d,usec=%d,usec_per_call=%.2f,rejected_calls=%d,failed_calls=%d",
			calls, micros, float64(micros)/float64(max(calls, 1)), rejected, cmd.Stats.Failed.Load()))
	})
	return nil
}

// percentiles are what latencystats tells.
var percentiles = []float64{50, 99, 99.9}

func infoLatencystats(c *Call, b *bytes.Buffer) error {
	c.s.srv.table.Each(func(cmd *Command) {
		h := &c.s.srv.times[cmd.Number()]
		if h.Count() == 0 {
			return
		}
		var list []string
		for _, p := range percentiles {
			list = append(list, fmt.Sprintf("p%g=%.3f", p, float64(h.Percentile(p).Nanoseconds())/1000))
		}
		info.Field(b, "latency_percentiles_usec_"+cmd.FullName(), strings.Join(list, ","))
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
		info.Field(b, "errorstat_"+code, fmt.Sprintf("count=%d", counts[code]))
	}
	return nil
}

func infoCluster(c *Call, b *bytes.Buffer) error {
	info.Field(b, "cluster_enabled", word(c.s.srv.o.Topology != nil, "0", "1"))
	return nil
}

func infoKeyspace(c *Call, b *bytes.Buffer) error {
	mark := b.Len()
	c.s.srv.counting.Lock()
	defer c.s.srv.counting.Unlock()
	return c.Transact(func(t kv.Txn) error {
		b.Truncate(mark)
		for n := range uint8(model.Databases) {
			st, err := model.DBStats(t, c.s.srv.handle(c.s.ns, n))
			if err != nil {
				return err
			}
			if st.Keys > 0 {
				info.Field(b, fmt.Sprintf("db%d", n), fmt.Sprintf("keys=%d,expires=%d,avg_ttl=%d", st.Keys, st.Expiring, st.AverageTTLMillis))
			}
		}
		return nil
	})
}

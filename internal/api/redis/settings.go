package redis

import (
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stratadb/strata/internal/auth"
	"github.com/stratadb/strata/internal/limits"
	model "github.com/stratadb/strata/internal/model/redis"
)

// denied is Redis's answer to a client that protected mode keeps out.
const denied = "DENIED Redis is running in protected mode because protected mode is enabled and no password is set for " +
	"the default user. In this mode connections are only accepted from the loopback interface. If you want to connect " +
	"from external computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode " +
	"sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the same " +
	"host the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do so. Use " +
	"CONFIG REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode by editing " +
	"the Redis configuration file, and setting the protected mode option to 'no', and then restarting the server. 3) If " +
	"you started the server manually just for testing, restart it with the '--protected-mode no' option. 4) Setup a an " +
	"authentication password for the default user. NOTE: You only need to do one of the above things in order for the " +
	"server to start accepting connections from the outside."

const (
	defaultKeepAlive = 300 * time.Second
	defaultACLLogMax = 128
	defaultSlow      = 10 * time.Millisecond
	defaultSlowMax   = 128
	defaultSamples   = 5
	// defaultTrackingKeys is tracking-table-max-keys.
	defaultTrackingKeys = 1_000_000
)

// settings are what CONFIG SET may change while the server runs.
type settings struct {
	pass       atomic.Pointer[string]
	protected  atomic.Bool
	maxClients atomic.Int64
	timeout    atomic.Int64 // seconds
	keepSecs   atomic.Int64

	readonlyStaleness atomic.Int64 // milliseconds
	events            atomic.Uint32
	luaMillis         atomic.Int64
	aclLogMax         atomic.Int64
	slowlogMicros     atomic.Int64 // slowlog-log-slower-than
	slow              atomic.Int64 // the same in nanoseconds, never reached where nothing is logged
	slowMax           atomic.Int64
	latencyThreshold  atomic.Int64 // milliseconds; 0: none
	latencyTracking   atomic.Bool
	maxMemory         atomic.Int64
	evictionPolicy    atomic.Int64
	evictionSamples   atomic.Int64
	trackingKeys      atomic.Int64 // 0: any number
}

func (c *settings) init(o *Options) {
	c.pass.Store(&o.Password)
	c.protected.Store(!o.Unprotected)
	c.maxClients.Store(int64(o.MaxClients))
	if o.MaxClients <= 0 {
		c.maxClients.Store(limits.Connections)
	}
	c.timeout.Store(int64(o.IdleTimeout / time.Second))
	keep := o.KeepAlive
	if keep == 0 {
		keep = defaultKeepAlive
	}
	c.keepSecs.Store(int64(keep / time.Second))
	c.luaMillis.Store(limits.TransactionMaxAge.Milliseconds())
	c.readonlyStaleness.Store(o.ReadonlyStaleness.Milliseconds())
	c.aclLogMax.Store(defaultACLLogMax)
	c.slowlogMicros.Store(int64(defaultSlow / time.Microsecond))
	c.slow.Store(int64(defaultSlow))
	c.slowMax.Store(defaultSlowMax)
	c.latencyTracking.Store(true)
	c.evictionSamples.Store(defaultSamples)
	c.trackingKeys.Store(defaultTrackingKeys)
}

// protects reports whether only loopback clients are served.
func (s *Server) protects() bool {
	return s.settings.protected.Load() && s.users.Default().User().Open()
}

func (c *settings) keepAlive() net.KeepAliveConfig {
	d := time.Duration(c.keepSecs.Load()) * time.Second
	if d == 0 {
		return net.KeepAliveConfig{}
	}
	return net.KeepAliveConfig{Enable: true, Idle: d, Interval: max(d/3, time.Second), Count: 3}
}

// setting is a row of CONFIG. One without a parse function is read-only.
type setting struct {
	name string
	get  func(s *Server) string
	// parse answers why it does not accept a value, or what makes it the setting's.
	parse func(s *Server, v string) (apply func(), refused string)
	// file is the name and the value in the node's configuration file; nil: it has none there.
	file func(s *Server) (name string, value any)
	// users is what the value changes of the users; nil for nothing.
	users func(e *auth.Edit, v string) error
}

func parsed(apply func()) (func(), string) { return apply, "" }

func fixed(name, value string) setting {
	return setting{name: name, get: func(*Server) string { return value }}
}

func intSetting(name string, least int64, at func(s *Server) *atomic.Int64) setting {
	return setting{
		name: name,
		get:  func(s *Server) string { return strconv.FormatInt(at(s).Load(), 10) },
		parse: func(s *Server, v string) (func(), string) {
			n, err := strconv.ParseInt(v, 10, 64)
			switch {
			case err != nil:
				return nil, "argument couldn't be parsed into an integer"
			case n < least || n > math.MaxInt32:
				return nil, fmt.Sprintf("argument must be between %d and %d inclusive", least, math.MaxInt32)
			}
			return parsed(func() { at(s).Store(n) })
		},
	}
}

func yesNo(on bool) string {
	if on {
		return "yes"
	}
	return "no"
}

// filed is the setting with its own value in the configuration file.
func (row setting) filed(value func(s *Server) any) setting {
	row.file = func(s *Server) (string, any) { return row.name, value(s) }
	return row
}

// then does something when the setting has changed.
func (row setting) then(do func(s *Server)) setting {
	parse := row.parse
	row.parse = func(s *Server, v string) (func(), string) {
		apply, refused := parse(s, v)
		if refused != "" {
			return nil, refused
		}
		return parsed(func() {
			apply()
			do(s)
		})
	}
	return row
}

func boolSetting(name string, at func(s *Server) *atomic.Bool) setting {
	return setting{
		name: name,
		get:  func(s *Server) string { return yesNo(at(s).Load()) },
		parse: func(s *Server, v string) (func(), string) {
			v = strings.ToLower(v)
			if v != "yes" && v != "no" {
				return nil, "argument must be 'yes' or 'no'"
			}
			return parsed(func() { at(s).Store(v == "yes") })
		},
	}
}

func readonlyStaleness() setting {
	row := intSetting("readonly-staleness-ms", 0, func(s *Server) *atomic.Int64 { return &s.settings.readonlyStaleness })
	row.file = func(s *Server) (string, any) {
		return "readonly-staleness", (time.Duration(s.settings.readonlyStaleness.Load()) * time.Millisecond).String()
	}
	return row
}

// logSettings are those of what the server logs for clients to read.
func logSettings() []setting {
	return []setting{
		intSetting("acllog-max-len", 0, func(s *Server) *atomic.Int64 { return &s.settings.aclLogMax }).then(func(s *Server) {
			s.refusals.Trim(int(s.settings.aclLogMax.Load()))
		}),
		intSetting("slowlog-log-slower-than", -1, func(s *Server) *atomic.Int64 { return &s.settings.slowlogMicros }).then(func(s *Server) {
			slow := time.Duration(s.settings.slowlogMicros.Load()) * time.Microsecond
			if slow < 0 {
				slow = math.MaxInt64
			}
			s.settings.slow.Store(int64(slow))
			s.setSpecial(specialPrecise, slow < preciseBelow)
		}),
		intSetting("slowlog-max-len", 0, func(s *Server) *atomic.Int64 { return &s.settings.slowMax }).then(func(s *Server) {
			s.slowLog.Trim(int(s.settings.slowMax.Load()))
		}),
		intSetting("latency-monitor-threshold", 0, func(s *Server) *atomic.Int64 { return &s.settings.latencyThreshold }),
		boolSetting("latency-tracking", func(s *Server) *atomic.Bool { return &s.settings.latencyTracking }),
		fixed("latency-tracking-info-percentiles", "50 99 99.9"),
		fixed("enable-debug-command", "local"),
	}
}

// luaMillis is how long a script may run; zero: as long as a transaction.
func luaMillis(s *Server) *atomic.Int64 { return &s.settings.luaMillis }

// settingRows is what CONFIG knows: what has an effect, and what clients ask for
// and is true.
func settingRows() []setting {
	return append(append(logSettings(), cacheSettings()...), []setting{
		intSetting("maxclients", 1, func(s *Server) *atomic.Int64 { return &s.settings.maxClients }).filed(func(s *Server) any { return s.settings.maxClients.Load() }),
		intSetting("tracking-table-max-keys", 0, func(s *Server) *atomic.Int64 { return &s.settings.trackingKeys }),
		intSetting("timeout", 0, func(s *Server) *atomic.Int64 { return &s.settings.timeout }),
		readonlyStaleness(),
		intSetting("lua-time-limit", 0, luaMillis),
		intSetting("busy-reply-threshold", 0, luaMillis),
		intSetting("tcp-keepalive", 0, func(s *Server) *atomic.Int64 { return &s.settings.keepSecs }),
		{
			name:  "requirepass",
			get:   func(s *Server) string { return *s.settings.pass.Load() },
			parse: func(s *Server, v string) (func(), string) { return parsed(func() { s.settings.pass.Store(&v) }) },
			users: (*auth.Edit).SetDefaultPassword,
			file:  func(s *Server) (string, any) { return "requirepass", *s.settings.pass.Load() },
		},
		boolSetting("protected-mode", func(s *Server) *atomic.Bool { return &s.settings.protected }).filed(func(s *Server) any { return s.settings.protected.Load() }),
		{name: "proto-max-bulk-len", get: func(s *Server) string {
			if n := s.o.Limits.BulkBytes; n > 0 {
				return strconv.Itoa(n)
			}
			return strconv.Itoa(limits.RESPBulkBytes)
		}},
		fixed("aclfile", ""),
		fixed("acl-pubsub-default", "resetchannels"),
		fixed("databases", strconv.Itoa(model.Databases)),
		fixed("appendonly", "yes"),
		fixed("appendfsync", "always"),
		fixed("save", ""),
		{name: "dir", get: func(s *Server) string { return s.o.SaveDir }},
		{
			name:  "dbfilename",
			get:   func(s *Server) string { return s.saver.Name() },
			parse: func(s *Server, v string) (func(), string) { return s.saver.SetName(v) },
		},
		{name: "cluster-enabled", get: func(s *Server) string { return yesNo(s.o.Topology != nil) }},
		{
			name: "notify-keyspace-events",
			get:  func(s *Server) string { return model.EventClasses(s.settings.events.Load()).String() },
			parse: func(s *Server, v string) (func(), string) {
				f, ok := model.ParseEvents(v)
				if !ok {
					return nil, "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."
				}
				return parsed(func() { s.settings.events.Store(uint32(f)) })
			},
		},
	}...)
}

package redis

import (
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

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
	defaultUser      = "default"
	defaultKeepAlive = 300 * time.Second
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
	c.readonlyStaleness.Store(o.ReadonlyStaleness.Milliseconds())
}

func (c *settings) password() string { return *c.pass.Load() }

func (c *settings) protects() bool { return c.protected.Load() && c.password() == "" }

func (c *settings) keepAlive() net.KeepAliveConfig {
	d := time.Duration(c.keepSecs.Load()) * time.Second
	if d == 0 {
		return net.KeepAliveConfig{}
	}
	return net.KeepAliveConfig{Enable: true, Idle: d, Interval: max(d/3, time.Second), Count: 3}
}

// setting is a row of CONFIG. One without a set function is read-only.
type setting struct {
	name string
	get  func(s *Server) string
	// set answers why it did not accept the value; empty if it did.
	set func(s *Server, v string) (refused string)
}

func fixed(name, value string) setting {
	return setting{name: name, get: func(*Server) string { return value }}
}

func intSetting(name string, least int64, at func(s *Server) *atomic.Int64) setting {
	return setting{
		name: name,
		get:  func(s *Server) string { return strconv.FormatInt(at(s).Load(), 10) },
		set: func(s *Server, v string) string {
			n, err := strconv.ParseInt(v, 10, 64)
			switch {
			case err != nil:
				return "argument couldn't be parsed into an integer"
			case n < least || n > math.MaxInt32:
				return fmt.Sprintf("argument must be between %d and %d inclusive", least, math.MaxInt32)
			}
			at(s).Store(n)
			return ""
		},
	}
}

func yesNo(on bool) string {
	if on {
		return "yes"
	}
	return "no"
}

// settingRows is what CONFIG knows: what has an effect, and what clients ask for
// and is true.
func settingRows() []setting {
	return []setting{
		intSetting("maxclients", 1, func(s *Server) *atomic.Int64 { return &s.settings.maxClients }),
		intSetting("timeout", 0, func(s *Server) *atomic.Int64 { return &s.settings.timeout }),
		intSetting("readonly-staleness-ms", 0, func(s *Server) *atomic.Int64 { return &s.settings.readonlyStaleness }),
		intSetting("tcp-keepalive", 0, func(s *Server) *atomic.Int64 { return &s.settings.keepSecs }),
		{
			name: "requirepass",
			get:  func(s *Server) string { return s.settings.password() },
			set:  func(s *Server, v string) string { s.settings.pass.Store(&v); return "" },
		},
		{
			name: "protected-mode",
			get:  func(s *Server) string { return yesNo(s.settings.protected.Load()) },
			set: func(s *Server, v string) string {
				v = strings.ToLower(v)
				if v != "yes" && v != "no" {
					return "argument must be 'yes' or 'no'"
				}
				s.settings.protected.Store(v == "yes")
				return ""
			},
		},
		{name: "proto-max-bulk-len", get: func(s *Server) string {
			if n := s.o.Limits.BulkBytes; n > 0 {
				return strconv.Itoa(n)
			}
			return strconv.Itoa(limits.RESPBulkBytes)
		}},
		fixed("databases", strconv.Itoa(model.Databases)),
		fixed("maxmemory", "0"),
		fixed("maxmemory-policy", "noeviction"),
		fixed("appendonly", "yes"),
		fixed("appendfsync", "always"),
		fixed("save", ""),
		{name: "cluster-enabled", get: func(s *Server) string { return yesNo(s.o.Topology != nil) }},
		{
			name: "notify-keyspace-events",
			get:  func(s *Server) string { return eventFlags(s.settings.events.Load()).String() },
			set: func(s *Server, v string) string {
				f, ok := parseEvents(v)
				if !ok {
					return "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."
				}
				s.settings.events.Store(uint32(f))
				return ""
			},
		},
	}
}

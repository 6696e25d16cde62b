// Package config is the one table of the server's settings. Flags, environment
// variables (STRATA_*), the configuration file and the documentation come from it.
// A flag beats the environment, the environment beats the file, the file beats
// the default.
package config

import (
	"fmt"
	"math"
	"net"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/cockroachdb/errors"
	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/stratadb/strata/internal/limits"
)

// Config is what `strata start` runs with.
type Config struct {
	Data      string `koanf:"data" default:"strata-data" help:"data directory; made if it does not exist"`
	RESPAddr  string `koanf:"resp-addr" default:"127.0.0.1:5484" help:"address for RESP clients: host:port or off" addr:"true"`
	AdminAddr string `koanf:"admin-addr" default:"127.0.0.1:3320" help:"address for administration over RESP: host:port or off" addr:"true"`
	GRPCAddr  string `koanf:"grpc-addr" default:"127.0.0.1:50051" help:"address for gRPC clients: host:port or off" addr:"true"`

	ClusterAddr    string `koanf:"cluster-addr" default:"off" help:"address for other nodes of the cluster: host:port or off" addr:"true"`
	Join           string `koanf:"join" help:"administration addresses (host:port, separated by commas) of nodes whose cluster a new node joins"`
	ClusterTLSCert string `koanf:"cluster-tls-cert" help:"certificate (PEM) by which other nodes know this one; empty: no TLS between nodes"`
	ClusterTLSKey  string `koanf:"cluster-tls-key" help:"private key (PEM) of --cluster-tls-cert"`
	ClusterTLSCA   string `koanf:"cluster-tls-ca" help:"certificates (PEM) of the authorities that sign those of all nodes"`
	Replicas       int    `koanf:"replicas" default:"3" help:"how many copies a cluster keeps, as far as it has nodes: 1, 3, 5 or 7"`

	ReadMode string `koanf:"read-mode" default:"lease" help:"what proves to a leader that it may answer a read: lease, or quorum, which asks the others for every read and relies on no clock"`

	Locality string `koanf:"locality" help:"where the node is, from the widest failure domain to the narrowest: region=eu,zone=b; copies are kept apart"`

	DeadAfter time.Duration `koanf:"dead-after" default:"5m" help:"how long a node is silent before its copies are replaced on others"`

	RangeMaxBytes int64 `koanf:"range-max-bytes" default:"536870912" help:"size on disk, in bytes, above which a range is cut in two; 0: never"`
	RangeMaxOps   int   `koanf:"range-max-ops" default:"50000" help:"transactions per second above which a range of a cluster of several nodes is cut in two; 0: never"`

	RangeMergeAfter time.Duration `koanf:"range-merge-after" default:"5m" help:"how long ranges are left alone after a cut before neighbours that are small and idle become one; 0: for ever"`

	RequirePass   string `koanf:"requirepass" help:"password of the default user and of gRPC clients; empty: none"`
	ProtectedMode bool   `koanf:"protected-mode" default:"true" help:"without a password, serve loopback clients only"`
	MaxClients    int    `koanf:"maxclients" default:"10000" help:"most RESP clients at a time"`

	RedisCluster      bool          `koanf:"redis-cluster" default:"false" help:"cluster mode for RESP clients of a node that is alone: CLUSTER works; with --cluster-addr it always does, and clients that ask for it are redirected to the leader"`
	ReadonlyStaleness time.Duration `koanf:"readonly-staleness" default:"1s" help:"how old a state RESP clients in cluster mode may be served from that have said READONLY; 0: the newest"`

	AnnounceHost string `koanf:"announce-host" help:"host where RESP clients reach this node; empty: that of --resp-addr, or for a wildcard the one a client has connected to"`
	AnnouncePort int    `koanf:"announce-port" default:"0" help:"port where RESP clients reach this node; 0: that of --resp-addr"`

	WindowBytes   int64 `koanf:"window-bytes" default:"0" help:"memory for the writes of the last seconds, in bytes, all ranges together; 0: a sixteenth of the machine's or container's, at least 64 MiB and at most 1 GiB"`
	CacheBytes    int64 `koanf:"cache-bytes" default:"100663296" help:"block cache of the state on disk, in bytes; while memtables are small, up to 192 MiB more"`
	RowCacheBytes int64 `koanf:"row-cache-bytes" default:"0" help:"cache of single rows, in bytes; allocated as it fills; 0: a thirty-second of the machine's or container's memory, at least 64 MiB and at most 1 GiB"`
	ReserveBytes  int64 `koanf:"disk-reserve-bytes" default:"0" help:"free disk space kept for deletions, in bytes; 0: 256 MiB, or an eighth of a smaller disk"`

	LogLevel  string `koanf:"log-level" default:"info" help:"debug, info, warn or error"`
	LogFormat string `koanf:"log-format" default:"text" help:"text or json; logs go to standard error"`

	// File is the configuration file; empty: none. It is not a setting.
	File string `koanf:"-"`
}

// EnvPrefix begins the names of environment variables: STRATA_RESP_ADDR.
const EnvPrefix = "STRATA_"

// Off is the address of a listener that is not started.
const Off = "off"

// What --read-mode takes.
const (
	ReadLease  = "lease"
	ReadQuorum = "quorum"
)

// Setting is a row of the table.
type Setting struct {
	Name, Default, Help string
	Address             bool
	kind                reflect.Kind
	duration            bool
}

// Env is the setting's environment variable.
func (s Setting) Env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(s.Name, "-", "_"))
}

// Settings is the table.
func Settings() []Setting {
	t := reflect.TypeFor[Config]()
	out := make([]Setting, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("koanf") == "-" {
			continue
		}
		out = append(out, Setting{Name: f.Tag.Get("koanf"), Default: f.Tag.Get("default"), Help: f.Tag.Get("help"),
			Address: f.Tag.Get("addr") != "", kind: f.Type.Kind(),
			duration: f.Type == reflect.TypeFor[time.Duration]()})
	}
	return out
}

// Flags adds a flag for every setting, and --config for the file.
func Flags(fs *pflag.FlagSet) {
	fs.String("config", "", "configuration file (TOML, keys named as the flags) ["+EnvPrefix+"CONFIG]")
	for _, s := range Settings() {
		help := fmt.Sprintf("%s [%s]", s.Help, s.Env())
		switch {
		case s.duration:
			d, _ := time.ParseDuration(s.Default)
			fs.Duration(s.Name, d, help)
		case s.kind == reflect.Bool:
			fs.Bool(s.Name, s.Default == "true", help)
		case s.kind == reflect.Int || s.kind == reflect.Int64:
			var n int64
			_, _ = fmt.Sscan(s.Default, &n)
			fs.Int64(s.Name, n, help)
		default:
			fs.String(s.Name, s.Default, help)
		}
	}
}

// Load reads file, environment and flags.
func Load(fs *pflag.FlagSet, environ []string) (Config, error) {
	k := koanf.New("\x00") // names contain no path
	path, err := fs.GetString("config")
	if err != nil {
		return Config{}, err
	}
	if path == "" {
		path = lookup(environ, EnvPrefix+"CONFIG")
	}
	if path != "" {
		if err := k.Load(file.Provider(path), toml.Parser()); err != nil {
			return Config{}, errors.Wrapf(err, "configuration file %s", path)
		}
		if err := checkNames(k, path); err != nil {
			return Config{}, err
		}
	}
	known := map[string]string{}
	for _, s := range Settings() {
		known[s.Env()] = s.Name
	}
	if err := k.Load(env.Provider("\x00", env.Opt{
		Prefix:        EnvPrefix,
		EnvironFunc:   func() []string { return environ },
		TransformFunc: func(name, value string) (string, any) { return known[name], value },
	}), nil); err != nil {
		return Config{}, errors.Wrap(err, "environment")
	}
	if err := k.Load(posflag.Provider(fs, "\x00", k), nil); err != nil {
		return Config{}, errors.Wrap(err, "flags")
	}
	var c Config
	if err := k.Unmarshal("", &c); err != nil {
		return Config{}, errors.Wrap(err, "configuration")
	}
	if path != "" {
		if c.File, err = filepath.Abs(path); err != nil {
			return Config{}, errors.Wrap(err, "configuration file")
		}
	}
	return c, c.check()
}

func lookup(environ []string, name string) string {
	for _, e := range environ {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

func checkNames(k *koanf.Koanf, path string) error {
	known := map[string]bool{}
	for _, s := range Settings() {
		known[s.Name] = true
	}
	for _, name := range k.Keys() {
		if !known[name] {
			return errors.Newf("configuration file %s: unknown setting %q", path, name)
		}
	}
	return nil
}

func (c *Config) check() error {
	v := reflect.ValueOf(c).Elem()
	for i, s := range Settings() {
		if !s.Address {
			continue
		}
		addr := v.Field(i).String()
		if addr == Off {
			continue
		}
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return errors.Newf("--%s: %q is neither host:port nor off", s.Name, addr)
		}
	}
	switch {
	case c.Data == "":
		return errors.New("--data: the data directory has no name")
	case c.Replicas < 1 || c.Replicas > 7 || c.Replicas%2 == 0:
		return errors.New("--replicas: 1, 3, 5 or 7")
	case c.ReadMode != ReadLease && c.ReadMode != ReadQuorum:
		return errors.Newf("--read-mode: %q is neither lease nor quorum", c.ReadMode)
	case c.RangeMaxBytes != 0 && c.RangeMaxBytes < 1<<20:
		return errors.New("--range-max-bytes: 0, or at least 1048576")
	case c.RangeMaxOps < 0:
		return errors.New("--range-max-ops: cannot be negative")
	case c.RangeMergeAfter < 0:
		return errors.New("--range-merge-after: cannot be negative")
	case c.ReadonlyStaleness < 0:
		return errors.New("--readonly-staleness: cannot be negative")
	case c.DeadAfter < time.Second:
		return errors.New("--dead-after: must be at least a second")
	case c.Join != "" && c.ClusterAddr == Off:
		return errors.New("--join: a node of a cluster needs a --cluster-addr")
	case c.partialTLS():
		return errors.New("--cluster-tls-cert, --cluster-tls-key and --cluster-tls-ca: all three or none")
	case c.ClusterTLSCert != "" && c.ClusterAddr == Off:
		return errors.New("--cluster-tls-cert: there are no other nodes without a --cluster-addr")
	case c.MaxClients < 1:
		return errors.New("--maxclients: must be at least 1")
	case c.AnnouncePort < 0 || c.AnnouncePort > math.MaxUint16:
		return errors.New("--announce-port: must be between 0 and 65535")
	case c.WindowBytes < 0 || c.CacheBytes < 0 || c.RowCacheBytes < 0 || c.ReserveBytes < 0:
		return errors.New("--window-bytes, --cache-bytes, --row-cache-bytes and --disk-reserve-bytes cannot be negative")
	case c.WindowBytes > 0 && c.WindowBytes < limits.WindowBytesMin:
		return errors.Newf("--window-bytes: must be at least %d", limits.WindowBytesMin)
	case c.LogFormat != "text" && c.LogFormat != "json":
		return errors.Newf("--log-format: %q is neither text nor json", c.LogFormat)
	}
	return nil
}

// partialTLS reports whether some of what TLS between nodes needs is missing.
func (c *Config) partialTLS() bool {
	return (c.ClusterTLSCert == "") != (c.ClusterTLSKey == "") || (c.ClusterTLSCert == "") != (c.ClusterTLSCA == "")
}

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func load(t *testing.T, args, environ []string) (Config, error) {
	t.Helper()
	fs := pflag.NewFlagSet("start", pflag.ContinueOnError)
	Flags(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return Load(fs, environ)
}

func TestPrecedence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "strata.toml")
	if err := os.WriteFile(path, []byte("data = \"file\"\nmaxclients = 7\nresp-addr = \"off\"\nprotected-mode = false\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := load(t, []string{"--config", path, "--data", "flag"}, []string{"STRATA_DATA=env", "STRATA_MAXCLIENTS=8", "OTHER=1"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Data != "flag" || c.MaxClients != 8 || c.RESPAddr != "off" || c.ProtectedMode || c.AdminAddr != "127.0.0.1:3320" {
		t.Fatalf("%+v", c)
	}
	if c, err = load(t, nil, []string{"STRATA_CONFIG=" + path}); err != nil || c.Data != "file" {
		t.Fatalf("%+v, %v", c, err)
	}
	if c, err = load(t, nil, []string{"STRATA_DEAD_AFTER=90s"}); err != nil || c.DeadAfter != 90*time.Second {
		t.Fatalf("%+v, %v", c, err)
	}
	if c, err = load(t, []string{"--dead-after", "2m"}, []string{"STRATA_DEAD_AFTER=90s"}); err != nil || c.DeadAfter != 2*time.Minute {
		t.Fatalf("%+v, %v", c, err)
	}
	if c, err = load(t, nil, nil); err != nil || c.Data != "strata-data" || !c.ProtectedMode || c.DeadAfter != 5*time.Minute || c.CacheBytes != 96<<20 {
		t.Fatalf("%+v, %v", c, err)
	}
}

func TestRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bad.toml")
	if err := os.WriteFile(path, []byte("dta = \"x\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args, env []string
		want      string
	}{
		{[]string{"--config", path}, nil, `unknown setting "dta"`},
		{[]string{"--config", path + "x"}, nil, "configuration file"},
		{[]string{"--resp-addr", "nonsense"}, nil, "--resp-addr"},
		{[]string{"--readonly-staleness", "-1s"}, nil, "--readonly-staleness"},
		{[]string{"--cluster-addr", "127.0.0.1:0", "--cluster-tls-cert", "a", "--cluster-tls-ca", "b"}, nil, "all three or none"},
		{[]string{"--cluster-tls-cert", "a", "--cluster-tls-key", "b", "--cluster-tls-ca", "c"}, nil, "--cluster-addr"},
		{[]string{"--read-mode", "leader"}, nil, "--read-mode"},
		{[]string{"--dead-after", "10ms"}, nil, "--dead-after"},
		{nil, []string{"STRATA_DEAD_AFTER=soon"}, "invalid duration"},
		{[]string{"--maxclients", "0"}, nil, "--maxclients"},
		{[]string{"--announce-port", "65536"}, nil, "--announce-port"},
		{nil, []string{"STRATA_MAXCLIENTS=many"}, "maxclients"},
		{[]string{"--log-format", "xml"}, nil, "--log-format"},
	} {
		if _, err := load(t, c.args, c.env); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v %v: %v, want %q", c.args, c.env, err, c.want)
		}
	}
}

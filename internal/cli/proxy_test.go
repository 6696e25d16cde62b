package cli

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTwoDashes(t *testing.T) {
	for in, want := range map[string]string{
		"proxy -listen a:1 --primary b -tls": "proxy --listen a:1 --primary b --tls",
		"proxy sync -wait -h":                "proxy sync --wait -h",
		"proxy -queue-mb -5":                 "proxy --queue-mb -5",
		"bench -n 5 -pass x":                 "bench -n 5 -pass x",
		"":                                   "",
	} {
		args := strings.Fields(in)
		if got := strings.Join(twoDashes(args), " "); got != want || strings.Join(args, " ") != in {
			t.Errorf("%s: %s", in, got)
		}
	}
}

// TestServerFlags: a password on the command line beats the one in the environment.
func TestServerFlags(t *testing.T) {
	p := Process{Environ: []string{"STRATA_PRIMARY_PASSWORD=env", "STRATA_FROM_PASSWORD=from"}}
	s := serverFlags{addr: "a:1", user: "u", db: 3}
	got := s.server(p, "primary", time.Second)
	if got.Password != "env" || got.User != "u" || got.DB != 3 || got.Timeout != time.Second || got.TLS != nil {
		t.Errorf("%+v", got)
	}
	s.password, s.tls = "flag", true
	if got = s.server(p, "from", time.Second); got.Password != "flag" || got.TLS == nil {
		t.Errorf("%+v", got)
	}
}

func TestMigrationUsage(t *testing.T) {
	for args, want := range map[string]string{
		"import redis":                                        "either --from or --from-rdb",
		"import redis --from a --from-rdb b":                  "either --from or --from-rdb",
		"import redis --from a --existing no":                 "none of skip, replace, fail",
		"import redis --from a --from-db x":                   "a number or all",
		"import redis --from a --workers 0":                   "--workers",
		"import redis --from-rdb a --verify":                  "for a running server",
		"proxy -mode no":                                      "none of redis-only",
		"proxy --queue-mb 0":                                  "must be positive",
		"proxy mode strata-only --metrics 127.0.0.1:1 -force": "",
	} {
		code, _, stderr := run(t, "", strings.Fields(args)...)
		wantCode := ExitUsage
		if want == "" {
			wantCode = ExitFailed
		}
		if code != wantCode || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %s", args, code, stderr)
		}
	}
}

// TestStateFile: a file is replaced as a whole, and nothing is left beside it.
func TestStateFile(t *testing.T) {
	dir := t.TempDir()
	f := stateFile(filepath.Join(dir, "state"))
	if b, err := f.Load(); b != nil || err != nil {
		t.Errorf("before the first: %q %v", b, err)
	}
	for _, text := range []string{"one", "two"} {
		if err := f.Save([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if b, err := f.Load(); string(b) != text || err != nil {
			t.Errorf("%q %v", b, err)
		}
	}
	if names, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || !slices.Equal(names, []string{string(f)}) {
		t.Errorf("%v %v", names, err)
	}
	if err := stateFile(filepath.Join(dir, "none", "state")).Save(nil); err == nil {
		t.Error("a file was saved where there is no directory")
	}
}

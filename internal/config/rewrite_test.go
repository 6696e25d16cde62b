package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/pflag"
)

// TestRewrite: a file that was rewritten says the same but for what was changed, and is read as
// what was written.
func TestRewrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "strata.toml")
	const before = "# ours\nmaxclients = 7 # few\n\n\"requirepass\" = 'old'\nlog-level = \"warn\"\n"
	if err := os.WriteFile(path, []byte(before), 0o640); err != nil {
		t.Fatal(err)
	}
	secret := "a \"quoted\" \\ password\twith\x01 controls, ünïcode"
	if err := Rewrite(path, map[string]any{"requirepass": secret, "maxclients": int64(9), "protected-mode": false, "readonly-staleness": "1.5s"}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := "# ours\nmaxclients = 9\n\nrequirepass = \"a \\\"quoted\\\" \\\\ password\\u0009with\\u0001 controls, ünïcode\"\nlog-level = \"warn\"\n" +
		"protected-mode = false\nreadonly-staleness = \"1.5s\"\n"
	if string(text) != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	Flags(fs)
	if err := fs.Set("config", path); err != nil {
		t.Fatal(err)
	}
	c, err := Load(fs, nil)
	if err != nil || c.RequirePass != secret || c.MaxClients != 9 || c.ProtectedMode || c.ReadonlyStaleness.Milliseconds() != 1500 || c.LogLevel != "warn" || c.File != path {
		t.Errorf("%+v, %v", c, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Error(info, err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Rewrite(path, map[string]any{"maxclients": int64(1)}); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path); string(text) != "maxclients = 1\n" {
		t.Errorf("%q", text)
	}
	if err := Rewrite(path+".nope", nil); err == nil {
		t.Error("a file that is not there was rewritten")
	}
}

package lint

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// imported are the modules that the source imports, tests included.
func imported(t *testing.T) map[string]string {
	t.Helper()
	required := regexp.MustCompile(`(?m)^\s*(?:require )?([a-z][^\s]*\.[^\s]+) v[^\s]+`).FindAllStringSubmatch(read(t, "go.mod"), -1)
	used := map[string]string{}
	for _, s := range sources(t) {
		for _, spec := range s.file.Imports {
			path, best := strings.Trim(spec.Path.Value, `"`), ""
			for _, m := range required {
				if (path == m[1] || strings.HasPrefix(path, m[1]+"/")) && len(m[1]) > len(best) {
					best = m[1]
				}
			}
			if best != "" {
				used[best] = s.path
			}
		}
	}
	return used
}

// TestDependenciesAreExplained: each module that the source imports has a row in
// docs/dependencies.md, and each row there is of such a module.
func TestDependenciesAreExplained(t *testing.T) {
	page := read(t, "docs/dependencies.md")
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(page, -1) {
		rows[m[1]] = true
	}
	used := imported(t)
	for module, file := range used {
		if !rows[module] {
			t.Errorf("%s (imported by %s) has no row in docs/dependencies.md", module, file)
		}
	}
	for module := range rows {
		if used[module] == "" {
			t.Errorf("docs/dependencies.md has a row for %s, which nothing imports", module)
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)

// TestLinks: links between the documents lead somewhere.
func TestLinks(t *testing.T) {
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".md") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, m := range link.FindAllStringSubmatch(string(b), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s: a link leads to %s, which does not exist", path, m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

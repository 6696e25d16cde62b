package redis_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stratadb/strata/test/redistest"
)

// TestScenarios runs the scenarios in every layout. Those in testdata/redis hold
// the replies of a real server, see TestServerAgrees.
func TestScenarios(t *testing.T) {
	for name, o := range redistest.Layouts {
		t.Run(name, func(t *testing.T) {
			here, _ := filepath.Glob("testdata/strata/*")
			paths, _ := filepath.Glob("testdata/redis/*")
			if paths = append(paths, here...); len(paths) == 0 {
				t.Fatal("no scenarios")
			}
			for _, path := range paths {
				if name != "default" && filepath.Base(path) == "encoding" {
					continue // it says what the default layout answers
				}
				w := redistest.NewWorld(t, o)
				datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
					w.TB = t
					var out strings.Builder
					for line := range strings.Lines(d.Input) {
						out.WriteString(w.Do(redistest.Words(t, line)...) + "\n")
						w.Check()
					}
					return out.String()
				})
			}
		})
	}
}

// TestServerAgrees holds the scenarios of testdata/redis against a real server.
func TestServerAgrees(t *testing.T) {
	s := redistest.StartServer(t)
	paths, err := filepath.Glob("testdata/redis/*")
	if err != nil || len(paths) == 0 {
		t.Fatal(err, "no scenarios")
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			s.Do("FLUSHALL")
			s.Do("SELECT", "0")
			datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
				var out strings.Builder
				for line := range strings.Lines(d.Input) {
					out.WriteString(s.Do(redistest.Words(t, line)...) + "\n")
				}
				return out.String()
			})
		})
	}
}

// TestServerAgreesAtRandom runs the same random commands here and there, alone and in
// transactions, which read their own writes.
func TestServerAgreesAtRandom(t *testing.T) { redistest.ServerAgrees(t, redistest.Generator.Command) }

package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/stratadb/strata"

// layer is a row of the table: packages, what of this module they may import and
// which foreign modules nobody but they may. A path stands for itself and for
// everything below it; one that ends in "!" stands for itself only. Packages may
// import what lies below the same row entry (internal/kv and internal/kv/kvrange).
type layer struct {
	name     string
	packages []string
	imports  []string
}

// words may be imported by everybody.
var words = []string{"internal/base", "internal/keyspace", "internal/clock", "internal/limits", "internal/invariant", "internal/prefetch",
	"internal/obs", "internal/hashslot", "internal/redisnum", "internal/glob", "internal/turn", "internal/pubsub"}

// layers is the table of ARCHITECTURE.md, from the bottom to the top. The first
// row that matches a package counts.
var layers = []layer{
	{"0 words", words, nil},
	{"1 disk: filter", []string{"internal/storage/keyfilter"}, nil},
	{"1 disk", []string{"internal/storage/lsm", "internal/storage/raftlog", "internal/storage/identity",
		"internal/storage/rowcache", "internal/storage/volume"}, []string{"internal/storage/keyfilter"}},
	{"2 range", []string{"internal/rangestore"}, []string{"internal/storage"}},
	{"3 cluster", []string{"internal/cluster"}, []string{"internal/rangestore", "internal/storage"}},
	// The built-in engine adapts replicas to kv's interface; only the assembly names it.
	{"4 database: engine", []string{"internal/kv/kvrange"}, []string{"internal/kv!", "internal/rangestore/replica", "internal/cluster/feed", "internal/cluster/remote",
		"internal/cluster/coordinator", "internal/cluster/router"}},
	{"4 database: kv", []string{"internal/kv"}, nil},
	{"4 database: tuple", []string{"tuple"}, nil},
	{"4 database: catalog", []string{"internal/catalog"}, []string{"internal/kv!", "tuple"}},
	{"4 database: auth, jobs, change feed", []string{"internal/auth", "internal/jobs", "internal/changefeed"},
		[]string{"internal/kv!", "tuple", "internal/catalog"}},
	{"5 model: redis", []string{"internal/model/redis"}, models},
	{"5 model: zmap", []string{"internal/model/zmap"}, models},
	{"5 model: doc", []string{"internal/model/doc"}, models},
	{"5 model: item", []string{"internal/model/item"}, models},
	{"5 model: object", []string{"internal/model/object"}, models},
	{"6 wire: resp", []string{"internal/wire/resp"}, nil},
	{"6 wire: sigv4", []string{"internal/wire/sigv4"}, nil},
	{"6 wire: grpc", []string{"proto"}, nil},
	{"6 wire: sockets", []string{"internal/netloop"}, nil},
	{"6 script", []string{"internal/script"}, doors},
	// Redis data, ZMaps and documents are commands of one RESP server.
	{"6 door: redis", []string{"internal/api/redis"}, append([]string{"internal/script"}, doors...)},
	// Administration speaks RESP too, through the same server with another table of commands.
	{"6 door: admin", []string{"internal/api/admin"}, append([]string{"internal/api/redis!", "internal/api/redis/command"}, doors...)},
	{"6 door: kvgrpc", []string{"internal/api/kvgrpc"}, append([]string{"proto"}, doors...)},
	{"6 door: dynamo", []string{"internal/api/dynamo"}, doors},
	{"6 door: s3", []string{"internal/api/s3"}, doors},
	{"6 door: mongo", []string{"internal/api/mongo"}, doors},
	// The client is for the programs of others: it knows the protocol and nothing else of this module.
	{"7 client", []string{"client"}, []string{"proto"}},
	{"7 assembly: config", []string{"internal/config"}, nil},
	{"7 assembly: bench", []string{"internal/bench"}, []string{"internal/wire"}},
	{"7 assembly: check", []string{"internal/check"}, []string{"internal/storage", "internal/cluster", "internal/kv",
		"internal/catalog", "internal/auth", "internal/model"}},
	{"7 assembly: recovery", []string{"internal/recovery"}, []string{"internal/check", "internal/cluster/store", "internal/storage/identity"}},
	// Between two servers there is their protocol, and the table of commands that says where keys are.
	{"7 assembly: migration", []string{"internal/migrate", "internal/proxy", "internal/importer"}, []string{"internal/migrate", "internal/proxy",
		"internal/wire", "internal/api/redis!", "internal/api/redis/command", "internal/model/redis"}},
	{"7 assembly: node", []string{"internal/node", "internal/console", "."}, []string{"internal/config", "internal/storage",
		"internal/rangestore", "internal/cluster", "internal/kv", "internal/catalog", "internal/auth", "internal/jobs", "internal/changefeed",
		"internal/model", "internal/api", "internal/wire", "internal/netloop", "internal/script", "internal/console"}},
	{"7 assembly: cli", []string{"internal/cli"}, []string{"internal/config", "internal/node", "internal/bench", "internal/check",
		"internal/recovery", "internal/wire", "internal/storage/identity", "internal/migrate", "internal/proxy", "internal/importer"}},
	{"7 assembly: binary", []string{"cmd"}, []string{"internal/cli"}},
	{"7 assembly: programs for development", []string{"scripts"}, []string{"proto"}},
	{"tests", []string{"test"}, []string{"internal", "tuple", "proto", "client", "test", "."}},
}

var (
	models = []string{"internal/kv!", "internal/catalog", "tuple"}
	doors  = []string{"internal/kv!", "internal/catalog", "internal/auth", "tuple", "internal/model", "internal/wire",
		"internal/netloop"}
)

// foreign says which packages may import a module or package of others. The
// longest prefix counts; what is not listed is free.
var foreign = map[string][]string{
	"go.etcd.io/raft":                         {"internal/rangestore"},
	"github.com/cockroachdb/pebble/v2":        {"internal/storage"},
	"github.com/cockroachdb/pebble/v2/vfs":    {"internal/storage", "internal/cluster", "internal/check", "internal/recovery", "internal/node", "."},
	"google.golang.org/grpc":                  {"internal/api/kvgrpc", "proto", "client", "scripts"},
	"github.com/spf13":                        {"internal/cli", "internal/config"},
	"github.com/knadh/koanf":                  {"internal/config"},
	"net/http":                                {"internal/api", "internal/wire", "internal/node", "internal/console", "internal/proxy", "internal/cli", "internal/obs"},
	"net":                                     {"internal/api", "internal/wire", "internal/node", "internal/console", "internal/proxy", "internal/migrate", "internal/importer", "internal/cluster/transport", "internal/config", "internal/cli", "internal/bench", "internal/netloop", "scripts"},
	"os":                                      {"internal/cli", "internal/config", "internal/node", "internal/check", "cmd", "internal/storage/volume", "internal/script", "internal/api", "internal/netloop", "scripts", "."},
	"github.com/redis/go-redis":               {},
	"pgregory.net/rapid":                      {},
	"github.com/cockroachdb/datadriven":       {},
	"github.com/anishathalye/porcupine":       {},
	"testing":                                 {"internal/kv/kvtest"},
	"go.mongodb.org/mongo-driver":             {"internal/model/doc", "internal/model/zmap", "internal/api", "internal/wire"},
	"github.com/HdrHistogram/hdrhistogram-go": {"internal/bench"},
}

// listed is what `go list` says about a package.
type listed struct {
	ImportPath string
	Dir        string
	Doc        string
	GoFiles    []string
	Imports    []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,GoFiles,Imports", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// short is a package's path inside the module; "." is the module's root.
func short(path string) (name string, own bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

// covers reports whether the entry of a table stands for the package.
func covers(entry, name string) bool {
	if exact, ok := strings.CutSuffix(entry, "!"); ok {
		return exact == name
	}
	return entry == name || entry != "." && strings.HasPrefix(name, entry+"/")
}

func covered(entries []string, name string) bool {
	for _, e := range entries {
		if covers(e, name) {
			return true
		}
	}
	return false
}

func layerOf(name string) *layer {
	for i := range layers {
		if covered(layers[i].packages, name) {
			return &layers[i]
		}
	}
	return nil
}

// violation says why a package may not import another one; "" if it may.
func violation(importer, imported string) string {
	l := layerOf(importer)
	if l == nil {
		return importer + " is in no layer: add it to the table in test/lint/layers_test.go"
	}
	name, own := short(imported)
	if !own {
		return foreignViolation(l, importer, imported)
	}
	same := false
	for _, p := range l.packages {
		same = same || covers(p, importer) && covers(p, name)
	}
	if same || covered(words, name) || covered(l.imports, name) {
		return ""
	}
	to := "no layer"
	if other := layerOf(name); other != nil {
		to = "layer " + other.name
	}
	return importer + " (layer " + l.name + ") imports " + name + " (" + to + "), which is not below it"
}

func foreignViolation(l *layer, importer, imported string) string {
	best := ""
	for entry := range foreign {
		if covers(entry, imported) && len(entry) > len(best) {
			best = entry
		}
	}
	if best == "" || l.name == "tests" || covered(foreign[best], importer) {
		return ""
	}
	// A path of the standard library stands for itself: net is not net/netip.
	if !strings.Contains(best, ".") && best != imported {
		return ""
	}
	return importer + " (layer " + l.name + ") imports " + imported + ", which only " + strings.Join(foreign[best], ", ") + " may"
}

// TestLayers: imports only go down.
func TestLayers(t *testing.T) {
	for _, p := range packages(t) {
		importer, own := short(p.ImportPath)
		if !own {
			t.Errorf("%s is not of this module", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			if v := violation(importer, imported); v != "" {
				t.Error(v)
			}
		}
	}
}

// TestLayerTable shows that the table forbids what it is there to forbid.
func TestLayerTable(t *testing.T) {
	for _, c := range []struct {
		importer, imported string
		allowed            bool
	}{
		{"internal/kv", module + "/internal/model/redis", false},
		{"internal/kv", module + "/internal/rangestore/replica", false},
		{"internal/kv/kvrange", module + "/internal/rangestore/replica", true},
		{"internal/model/redis", module + "/internal/model/zmap", false},
		{"internal/model/redis", module + "/internal/kv", true},
		{"internal/model/redis", module + "/internal/kv/kvrange", false},
		{"internal/model/redis", module + "/internal/wire/resp", false},
		{"internal/model/zmap", "net", false},
		{"internal/api/redis", module + "/internal/model/zmap", true},
		{"internal/api/redis", module + "/internal/api/admin", false},
		{"internal/api/admin", module + "/internal/api/redis", true},
		{"internal/api/s3", module + "/internal/api/redis", false},
		{"internal/api/redis", module + "/internal/cluster/store", false},
		{"internal/api/kvgrpc", module + "/internal/cluster/store", false},
		{"internal/api/redis", module + "/proto", false},
		{"client", module + "/proto", true},
		{"client", module + "/internal/kv", false},
		{"internal/api/redis", module + "/internal/rangestore/replica", false},
		{"internal/storage/raftlog", module + "/internal/storage/lsm", false},
		{"internal/storage/raftlog", "go.etcd.io/raft/v3", false},
		{"internal/rangestore/replica", "go.etcd.io/raft/v3/raftpb", true},
		{"internal/cluster/store", "github.com/cockroachdb/pebble/v2", false},
		{"internal/cluster/store", "github.com/cockroachdb/pebble/v2/vfs", true},
		{"internal/base", module + "/internal/kv", false},
		{"internal/api/redis", module + "/internal/node", false},
		{"internal/newcomer", "fmt", false},
	} {
		if got := violation(c.importer, c.imported); (got == "") != c.allowed {
			t.Errorf("%s imports %s: %q, want allowed=%v", c.importer, c.imported, got, c.allowed)
		}
	}
}

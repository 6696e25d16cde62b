package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the module, seen from this package.
const root = "../.."

const (
	// fileLinesMax is the hard bound; about 500 is the goal.
	fileLinesMax = 800
	// functionLinesMax is the hard bound; 50 is usual and 70 the goal.
	functionLinesMax = 100
	mainLinesMax     = 60
	packageLinesMax  = 8000
)

// source is a parsed file.
type source struct {
	path  string // relative to the module
	fset  *token.FileSet
	file  *ast.File
	bytes []byte
}

func (s *source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

func (s *source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s.path, s.fset.Position(n.Pos()).Line)
}

func (s *source) lines(n ast.Node) int {
	return s.fset.Position(n.End()).Line - s.fset.Position(n.Pos()).Line + 1
}

// sources parses every Go file of the module that somebody wrote; generated ones
// follow their generator's rules.
func sources(t *testing.T) []*source {
	t.Helper()
	var all []*source
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && (strings.HasPrefix(name, ".") && path != root || name == "testdata" || name == "node_modules") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		s := &source{path: filepath.ToSlash(rel), fset: token.NewFileSet(), bytes: b}
		if s.file, err = parser.ParseFile(s.fset, path, b, parser.ParseComments|parser.SkipObjectResolution); err != nil {
			return err
		}
		if !ast.IsGenerated(s.file) {
			all = append(all, s)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 50 {
		t.Fatalf("only %d files were found: the tests look at the wrong place", len(all))
	}
	return all
}

// TestPackageComments: a package has one comment, and it begins with "Package name"
// (a command's with "Command name").
func TestPackageComments(t *testing.T) {
	comments := map[string][]*source{}
	names := map[string]string{}
	for _, s := range sources(t) {
		dir := filepath.Dir(s.path)
		if s.test() {
			continue
		}
		names[dir] = s.file.Name.Name
		if s.file.Doc == nil {
			continue
		}
		comments[dir] = append(comments[dir], s)
		want := "Package " + s.file.Name.Name + " "
		if s.file.Name.Name == "main" {
			want = "Command " + filepath.Base(dir) + " "
		}
		if !strings.HasPrefix(s.file.Doc.Text(), want) {
			t.Errorf("%s: the package comment does not begin with %q", s.path, want)
		}
	}
	for dir := range names {
		switch n := len(comments[dir]); {
		case n == 0:
			t.Errorf("%s: the package has no comment", dir)
		case n > 1:
			t.Errorf("%s: the package has %d comments, for example in %s and %s", dir, n, comments[dir][0].path, comments[dir][1].path)
		}
	}
}

// TestPackageNames: a package is a noun that says what is in it.
func TestPackageNames(t *testing.T) {
	for _, s := range sources(t) {
		switch name := s.file.Name.Name; name {
		case "util", "utils", "common", "helper", "helpers", "types", "misc", "shared":
			t.Errorf("%s: a package named %s says nothing", s.path, name)
		}
	}
}

// TestLengths: files and functions stay short; functions that are mostly a table
// or a switch are exempt.
func TestLengths(t *testing.T) {
	perPackage := map[string]int{}
	for _, s := range sources(t) {
		n := bytes.Count(s.bytes, []byte{'\n'})
		limit := fileLinesMax
		if s.file.Name.Name == "main" && strings.HasPrefix(s.path, "cmd/") {
			limit = mainLinesMax
		}
		if n > limit {
			t.Errorf("%s has %d lines, the limit is %d", s.path, n, limit)
		}
		if !s.test() {
			perPackage[filepath.Dir(s.path)] += n
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil && s.lines(f) > functionLinesMax && !s.tabular(f) {
				t.Errorf("%s: %s has %d lines, the limit is %d", s.at(f), f.Name.Name, s.lines(f), functionLinesMax)
			}
		}
	}
	for dir, n := range perPackage {
		if n > packageLinesMax {
			t.Errorf("%s has %d lines, the limit is %d", dir, n, packageLinesMax)
		}
	}
}

// tabular reports whether more than half of a function is one composite literal
// or one switch.
func (s *source) tabular(f *ast.FuncDecl) bool {
	largest := 0
	ast.Inspect(f.Body, func(n ast.Node) bool {
		switch n.(type) {
		case *ast.CompositeLit, *ast.SwitchStmt, *ast.TypeSwitchStmt:
			largest = max(largest, s.lines(n))
		}
		return true
	})
	return largest*2 > s.lines(f)
}

// TestFormatted: the source is as gofmt writes it.
func TestFormatted(t *testing.T) {
	for _, s := range sources(t) {
		if b, err := format.Source(s.bytes); err != nil {
			t.Errorf("%s: %v", s.path, err)
		} else if !bytes.Equal(b, s.bytes) {
			t.Errorf("%s: run gofmt -w", s.path)
		}
	}
}

// forbidden are functions and where they may be called nevertheless.
var forbidden = []struct {
	pkg, name string
	tests     bool // the rule is for tests, too
	except    []string
	why       string
}{
	{"os", "Getenv", false, []string{"internal/config/", "internal/cli/", "test/"}, "settings come from config"},
	{"os", "LookupEnv", false, []string{"internal/config/", "internal/cli/", "test/"}, "settings come from config"},
	{"os", "Environ", true, []string{"internal/config/", "cmd/", "test/"}, "settings come from config"},
	{"os", "Exit", false, []string{"cmd/", "scripts/"}, "return an error"},
	{"log", "Fatal", true, nil, "return an error"},
	{"log", "Printf", true, nil, "log through slog"},
	{"fmt", "Println", false, []string{"scripts/"}, "write to the writer that was handed in"},
	{"fmt", "Printf", false, []string{"scripts/"}, "write to the writer that was handed in"},
}

// TestForbiddenCalls: see the table.
func TestForbiddenCalls(t *testing.T) {
	for _, s := range sources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			pkg, name := selector(n)
			for _, f := range forbidden {
				if pkg == f.pkg && name == f.name && (f.tests || !s.test()) && !hasPrefix(s.path, f.except) {
					t.Errorf("%s: %s.%s: %s", s.at(n), pkg, name, f.why)
				}
			}
			return true
		})
	}
}

func selector(n ast.Node) (pkg, name string) {
	sel, ok := n.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	id, ok := sel.X.(*ast.Ident)
	if !ok {
		return "", ""
	}
	return id.Name, sel.Sel.Name
}

func hasPrefix(path string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}

// sleepers may call time.Sleep in tests: what they wait for is outside of the
// process, or is real time itself.
var sleepers = []string{"test/crash/", "test/e2e/", "internal/api/redis/", "internal/model/redis/server_test.go"}

// TestNoSleep: tests wait for what happens, not for time to pass. A bubble of
// testing/synctest has a clock of its own.
func TestNoSleep(t *testing.T) {
	for _, s := range sources(t) {
		if !s.test() || hasPrefix(s.path, sleepers) || bytes.Contains(s.bytes, []byte("synctest.Test(")) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if pkg, name := selector(n); pkg == "time" && name == "Sleep" {
				t.Errorf("%s: time.Sleep in a test", s.at(n))
			}
			return true
		})
	}
}

// immutable are the types of package variables that nobody changes: what they
// are made of is fixed when the program starts.
var immutable = regexp.MustCompile(`^(err|Err|_$)|^(un)?[a-z]+Table$`)

// TestNoMutableGlobals: assigning to a package's variable outside of its
// declaration makes it mutable state.
func TestNoMutableGlobals(t *testing.T) {
	globals := map[string]map[string]bool{}
	all := sources(t)
	for _, s := range all {
		if s.test() {
			continue
		}
		for _, d := range s.file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				for _, id := range spec.(*ast.ValueSpec).Names {
					dir := filepath.Dir(s.path)
					if globals[dir] == nil {
						globals[dir] = map[string]bool{}
					}
					globals[dir][id.Name] = !immutable.MatchString(id.Name)
				}
			}
		}
	}
	for _, s := range all {
		if s.test() || strings.HasPrefix(s.path, "test/") {
			continue
		}
		s.assignments(globals[filepath.Dir(s.path)], func(n ast.Node, name string) {
			t.Errorf("%s: %s, a variable of the package, is changed", s.at(n), name)
		})
	}
}

// assignments reports changes of the named package variables in functions. A
// local variable of the same name hides the global one.
func (s *source) assignments(globals map[string]bool, report func(n ast.Node, name string)) {
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil || f.Recv == nil && f.Name.Name == "init" {
			continue
		}
		local := map[string]bool{}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Field:
				for _, id := range n.Names {
					local[id.Name] = true
				}
			case *ast.AssignStmt:
				for _, e := range n.Lhs {
					id := rootIdent(e)
					if id == nil {
						continue
					}
					if n.Tok == token.DEFINE {
						local[id.Name] = true
					} else if globals[id.Name] && !local[id.Name] {
						report(n, id.Name)
					}
				}
			case *ast.ValueSpec:
				for _, id := range n.Names {
					local[id.Name] = true
				}
			case *ast.RangeStmt:
				for _, e := range []ast.Expr{n.Key, n.Value} {
					if id, ok := e.(*ast.Ident); ok && n.Tok == token.DEFINE {
						local[id.Name] = true
					}
				}
			case *ast.IncDecStmt:
				if id := rootIdent(n.X); id != nil && globals[id.Name] && !local[id.Name] {
					report(n, id.Name)
				}
			}
			return true
		})
	}
}

// rootIdent is x of x, x.y and x[i].
func rootIdent(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		default:
			return nil
		}
	}
}

package catalog

import "strings"

// NameBytes bounds a segment of a path.
const NameBytes = 255

// Names with a meaning.
const (
	// DefaultName is the namespace that exists always, in the root.
	DefaultName = "global"
	// reservedName is not allowed anywhere in a path.
	reservedName = "__internal__"
)

// Path is a namespace's path, split at its dots.
type Path []string

// String joins the segments.
func (p Path) String() string { return strings.Join(p, ".") }

// IsDefault reports whether the path is that of the default namespace.
func (p Path) IsDefault() bool { return len(p) == 1 && p[0] == DefaultName }

// within reports whether p is q or lies below it.
func (p Path) within(q Path) bool {
	if len(p) < len(q) {
		return false
	}
	for i := range q {
		if p[i] != q[i] {
			return false
		}
	}
	return true
}

// maxPathDepth bounds what a path that is looked up may have: no existing one is
// deeper than limits.NamespaceDepth.
const maxPathDepth = 64

// ParsePath splits a dotted path. It does not limit the depth to that of
// existing namespaces: Create and Move do.
func ParsePath(s string) (Path, error) {
	if len(s) > maxPathDepth*(NameBytes+1) {
		return nil, ErrName
	}
	p := Path(strings.Split(s, "."))
	if len(p) > maxPathDepth {
		return nil, ErrDepth
	}
	for _, name := range p {
		if name == "" || len(name) > NameBytes {
			return nil, ErrName
		}
		if name == reservedName {
			return nil, errReserved(p)
		}
	}
	return p, nil
}

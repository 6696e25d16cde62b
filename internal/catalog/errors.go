package catalog

import (
	"strconv"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
)

// Code is the first word of an error reply.
type Code string

// Codes.
const (
	CodeGeneric       Code = "ERR"
	CodeNoSuch        Code = "NOSUCHNAMESPACE"
	CodeAlreadyExists Code = "NAMESPACEALREADYEXISTS"
	CodeBeingRemoved  Code = "NAMESPACEBEINGREMOVED"
)

// Error is a mistake of the caller. Its text is a whole reply, code included.
type Error struct {
	Code Code
	text string
}

// Error is the full text of the reply.
func (e *Error) Error() string { return string(e.Code) + " " + e.text }

// Is makes errors comparable by their text.
func (e *Error) Is(target error) bool {
	o, ok := target.(*Error)
	return ok && *o == *e
}

// Mistake is an error without a code of its own.
func Mistake(text string) *Error { return &Error{CodeGeneric, text} }

// NoSuchNamespace: the path leads nowhere.
func NoSuchNamespace(p Path) *Error {
	return &Error{CodeNoSuch, "No such namespace: '" + p.String() + "'"}
}

// AlreadyExists: the path is taken.
func AlreadyExists(p Path) *Error {
	return &Error{CodeAlreadyExists, "Namespace already exists: " + p.String()}
}

// BeingRemoved: the path was removed and not yet purged.
func BeingRemoved(p Path) *Error {
	return &Error{CodeBeingRemoved, "Namespace '" + p.String() + "' is being removed"}
}

func errReserved(p Path) *Error {
	return Mistake("Namespace '" + p.String() + "' is reserved for internal use")
}

func errNotRemoved(p Path) *Error {
	return Mistake("Namespace '" + p.String() + "' must be logically removed before purge")
}

func errDefault(verb string) *Error {
	return Mistake("Cannot " + verb + " the default namespace: '" + DefaultName + "'")
}

var (
	// ErrDepth: a path has more segments than limits.NamespaceDepth.
	ErrDepth = Mistake("Namespace depth exceeds maximum allowed depth of " + strconv.Itoa(limits.NamespaceDepth))
	// ErrName: a segment is empty or longer than NameBytes.
	ErrName = Mistake("Namespace names must have between 1 and " + strconv.Itoa(NameBytes) + " bytes")
	// ErrMoveIntoItself: the destination lies below the source.
	ErrMoveIntoItself = Mistake("Cannot move a namespace into itself")
	// ErrMoveTooLarge: whether the subtree would become too deep takes too long to find out.
	ErrMoveTooLarge = Mistake("Namespace has too many descendants to be moved deeper")
)

func corrupt(format string, args ...any) error {
	return errors.Wrapf(base.ErrCorruption, "catalog: "+format, args...)
}

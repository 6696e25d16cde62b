package command

import (
	"fmt"
	"strings"

	"github.com/stratadb/strata/internal/redisnum"
)

// Error is a mistake of the caller with its full text, code included.
type Error string

func (e Error) Error() string { return string(e) }

// The errors of many commands, in Redis's words.
const (
	ErrSyntax      Error = "ERR syntax error"
	ErrReplyTooBig Error = "ERR reply exceeds the size limit"
	ErrNotInteger  Error = "ERR value is not an integer or out of range"
	ErrOutOfRange  Error = "ERR value is out of range"
	ErrTimeout     Error = "ERR timeout is not an integer or out of range"
)

// ArityError is the one of a command that was called with a wrong number of arguments.
func ArityError(fullName string) error {
	return Error(fmt.Sprintf("ERR wrong number of arguments for '%s' command", fullName))
}

// EchoedBytes is how much of a wrong argument a reply repeats.
const EchoedBytes = 128

// Truncated is up to n bytes of b.
func Truncated(b []byte, n int) []byte { return b[:min(len(b), max(n, 0))] }

// OneLine is text without what would end an error's line.
func OneLine(text string) string {
	return strings.NewReplacer("\r", " ", "\n", " ").Replace(text)
}

// Is reports whether an argument is a word, given in lower case, in any case.
func Is(arg []byte, word string) bool {
	if len(arg) != len(word) {
		return false
	}
	for i := range arg {
		c := arg[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// ParseInt reads a 64-bit argument.
func ParseInt(b []byte) (int64, error) {
	n, ok := redisnum.ParseInt(b)
	if !ok {
		return 0, ErrNotInteger
	}
	return n, nil
}

// AtLeast reads a number; whatever is wrong with it, refusal says so.
func AtLeast(arg []byte, least int64, refusal Error) (int64, error) {
	n, ok := redisnum.ParseInt(arg)
	if !ok || n < least {
		return 0, refusal
	}
	return n, nil
}

package script

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/stratadb/strata/internal/script/lua"
)

// Flags say what a script or function may do, as it declares.
type Flags uint8

// Flags.
const (
	NoWrites Flags = 1 << iota
	AllowOOM
	AllowStale
	NoCluster
	AllowCrossSlot
	// Undeclared is that of scripts without a first line that says so: they may write, and
	// be run read-only.
	Undeclared
)

var flagTable = []struct {
	name string
	flag Flags
}{{"no-writes", NoWrites}, {"allow-oom", AllowOOM}, {"allow-stale", AllowStale}, {"no-cluster", NoCluster}, {"allow-cross-slot-keys", AllowCrossSlot}}

func parseFlag(name string) (Flags, bool) {
	for _, f := range flagTable {
		if f.name == name {
			return f.flag, true
		}
	}
	return 0, false
}

// Names lists flags as FUNCTION LIST does.
func (f Flags) Names() (names []string) {
	for _, x := range flagTable {
		if f&x.flag != 0 {
			names = append(names, x.name)
		}
	}
	return names
}

// Error is the reply to a script that failed, code included.
type Error string

func (e Error) Error() string { return string(e) }

// Stop is why a Host ends a script; the reply says so, and where it was.
type Stop string

func (e Stop) Error() string { return string(e) }

// Script is a compiled script.
type Script struct {
	Digest string // hexadecimal SHA1 of Body
	Body   string
	Flags  Flags
	proto  *lua.Proto
}

// Digest names a script.
func Digest(body []byte) (hex40 [40]byte) {
	sum := sha1.Sum(body)
	hex.Encode(hex40[:], sum[:])
	return hex40
}

// The names of programs in messages.
const (
	scriptChunk   = "user_script"
	functionChunk = "user_function"
)

// compileScript makes a script of its text.
func compileScript(body string) (*Script, error) {
	digest := Digest([]byte(body))
	s := &Script{Digest: string(digest[:]), Body: body, Flags: Undeclared}
	text := body
	if strings.HasPrefix(body, "#!") {
		line, rest, found := strings.Cut(body, "\n")
		if !found {
			return nil, Error("ERR Invalid script shebang")
		}
		if err := s.shebang(line); err != nil {
			return nil, err
		}
		text = "\n" + rest
	}
	var err error
	if s.proto, err = lua.Compile(text, scriptChunk); err != nil {
		return nil, Error("ERR Error compiling script (new function): " + err.Error())
	}
	return s, nil
}

// shebang reads the first line of a script.
func (s *Script) shebang(line string) error {
	words := strings.Fields(line)
	if words[0] != "#!lua" {
		return Error("ERR Unexpected engine in script shebang: " + words[0])
	}
	s.Flags = 0
	for _, word := range words[1:] {
		list, ok := strings.CutPrefix(word, "flags=")
		if !ok {
			return Error("ERR Unknown lua shebang option: " + word)
		}
		for name := range strings.SplitSeq(list, ",") {
			f, ok := parseFlag(name)
			if !ok && name != "" {
				return Error("ERR Unexpected flag in script shebang: " + name)
			}
			s.Flags |= f
		}
	}
	return nil
}

// located appends where a program was to a message.
func located(text, name, chunk string, line int) Error {
	if chunk == "" {
		return Error(text)
	}
	return Error(fmt.Sprintf("%s script: %s, on @%s:%d.", text, name, chunk, line))
}

package script

import (
	"container/list"
	"sync"

	"github.com/stratadb/strata/internal/wire/resp"
)

// What an engine keeps.
const (
	// MemoryBytes is how much a program may keep alive.
	MemoryBytes = 64 << 20
	// BodyBytes bounds the text of a script or library.
	BodyBytes = 512 << 10
	// cachedScripts and cachedBytes bound the scripts that are kept compiled.
	cachedScripts = 4096
	cachedBytes   = 32 << 20
	// TickSteps is how many steps a program makes between two questions to its host.
	TickSteps = 1000
)

// Host executes what a program asks for.
type Host interface {
	// Call executes a command and answers its reply, in RESP of a version. It lives until the
	// next call. An error ends the program.
	Call(args [][]byte, proto int) (reply []byte, err error)
	// Tick is asked after every TickSteps steps whether the program goes on: the error
	// ends it.
	Tick() error
	// Allowed reports whether the user may execute a command; known is false if it is none.
	Allowed(args [][]byte) (allowed, known bool)
	// Log writes to the server's log; level is one of Redis's, from 0 (debug) to 3 (warning).
	Log(level int, text string)
}

// Run is one execution.
type Run struct {
	Host Host
	// Keys and Args stay as they are until the transaction ends.
	Keys, Args [][]byte
	// W gets the reply, in its version of the protocol.
	W *resp.Writer
}

// Engine keeps compiled scripts and the machines that run them. It is safe for concurrent
// use.
type Engine struct {
	version  string // of Redis
	machines sync.Pool
	mu       struct {
		sync.Mutex
		scripts map[key]*list.Element
		order   list.List // of cached, the most recently used first
		bytes   int
	}
}

// key is a script in somebody's space.
type key struct {
	space  uint64
	digest [40]byte
}

type cached struct {
	key    key
	script *Script
}

// NewEngine makes an engine. version is that of Redis which programs are told.
func NewEngine(version string) *Engine {
	e := &Engine{version: version}
	e.mu.scripts = map[key]*list.Element{}
	e.machines.New = func() any { return newMachine(version) }
	return e
}

// Script is a script that is kept, nil if it is not. digest is in lower case.
func (e *Engine) Script(space uint64, digest [40]byte) *Script {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := e.mu.scripts[key{space, digest}]
	if at == nil {
		return nil
	}
	e.mu.order.MoveToFront(at)
	return at.Value.(*cached).script
}

// Compile makes a script and keeps it. The text may change afterwards.
func (e *Engine) Compile(space uint64, body []byte) (*Script, error) {
	if len(body) > BodyBytes {
		return nil, Error("ERR script exceeds the size limit")
	}
	s, err := compileScript(string(body))
	if err != nil {
		return nil, err
	}
	k := key{space: space}
	copy(k.digest[:], s.Digest)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.scripts[k] == nil {
		e.mu.scripts[k] = e.mu.order.PushFront(&cached{k, s})
		e.mu.bytes += len(body)
	}
	for e.mu.order.Len() > cachedScripts || e.mu.bytes > cachedBytes {
		e.dropLocked(e.mu.order.Back())
	}
	return s, nil
}

func (e *Engine) dropLocked(at *list.Element) {
	c := at.Value.(*cached)
	e.mu.order.Remove(at)
	delete(e.mu.scripts, c.key)
	e.mu.bytes -= len(c.script.Body)
}

// Forget drops the scripts of a space.
func (e *Engine) Forget(space uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for at := e.mu.order.Front(); at != nil; {
		next := at.Next()
		if at.Value.(*cached).key.space == space {
			e.dropLocked(at)
		}
		at = next
	}
}

// Cached is how many scripts are kept, and the bytes of their texts.
func (e *Engine) Cached() (n, bytes int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mu.order.Len(), e.mu.bytes
}

// Eval runs a script. The error is an Error, or what its host gave.
func (e *Engine) Eval(s *Script, r *Run) error {
	m := e.machines.Get().(*machine)
	err, whole := m.eval(s, r)
	if whole {
		e.machines.Put(m)
	}
	return err
}

// Call runs a function of a library. The error is an Error, or what its host gave.
func (e *Engine) Call(l *Library, name string, r *Run) error {
	m := e.machines.Get().(*machine)
	err, whole := m.function(l, name, r)
	if whole {
		e.machines.Put(m)
	}
	return err
}

package scripting

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/redisnum"
	"github.com/stratadb/strata/internal/script"
)

// The errors of scripts, in Redis's words.
const (
	ErrNoScript     command.Error = "NOSCRIPT No matching script. Please use EVAL."
	ErrNoFunction   command.Error = "ERR Function not found"
	errKeysNumber   command.Error = "ERR Bad number of keys provided"
	errKeysNegative command.Error = "ERR Number of keys can't be negative"
	errKeysTooMany  command.Error = "ERR Number of keys can't be greater than number of args"
	errWriting      command.Error = "ERR Can not execute a script with write flag using *_ro command."
	errUnknown      command.Error = "ERR Unknown Redis command called from script"
	errArity        command.Error = "ERR Wrong number of args calling Redis command from script"
	errRefused      command.Error = "ERR This Redis command is not allowed from script"
	errReadonly     command.Error = "ERR Write commands are not allowed from read-only scripts."
)

const (
	errKilled  script.Stop = "ERR Script killed by user with SCRIPT KILL..."
	errTimeout             = "ERR Error running script: it ran for more than "
)

// commandsPerTick is how often a program that calls commands is asked whether it goes on.
const commandsPerTick = 8

// ErrLong says that a script has more to do than others should wait for.
var ErrLong = errors.New("the script runs for long")

// Way is how a script is tried: each one allows for more work than the one before.
type Way uint8

// Ways.
const (
	// OnLoop is while other connections wait: ErrWouldWait ends it.
	OnLoop Way = iota
	// Short is while other writers may wait: ErrLong ends it.
	Short
	// Long is in nobody's way: it ends when its time is over, or somebody kills it.
	Long
)

// effort is how much a script may do before it is tried another way.
type effort struct {
	ticks, commands int
	time            time.Duration
	over            error
}

var effortTable = [...]effort{
	OnLoop: {ticks: 20, commands: 256, time: 2 * time.Millisecond, over: base.ErrWouldWait},
	Short:  {ticks: 100, commands: 2000, time: 20 * time.Millisecond, over: ErrLong},
}

// Program is a script or a function that runs, as an answer to a command.
type Program struct {
	Store    *Store
	Run      script.Run
	Script   *script.Script
	Library  *script.Library
	Function string
	Epoch    uint64 // that the library was read at
	Readonly bool
	Words    [][]byte  // of the command
	Began    time.Time // of all tries
	// Limit is how long it may run in all, and Closing whether the server ends.
	Limit   func() time.Duration
	Closing func() bool

	tried    time.Time // when this try has begun
	ticks    int
	commands int
	running  *Running
}

// Read reads the words of a command.
func (p *Program) Read(words [][]byte, readonly bool) error {
	p.Words, p.Readonly, p.Began, p.Script, p.Library = words, readonly, p.Store.now(), nil, nil
	n, ok := redisnum.ParseInt(words[2])
	switch {
	case !ok && strings.EqualFold(string(words[0][:1]), "f"):
		return errKeysNumber
	case !ok:
		return command.ErrNotInteger
	case n > int64(len(words)-3):
		return errKeysTooMany
	case n < 0:
		return errKeysNegative
	}
	p.Run.Keys, p.Run.Args = words[3:3+n], words[3+n:]
	return nil
}

// Declare takes note of what the program declares of itself.
func (p *Program) Declare(flags script.Flags) error {
	if p.Readonly && flags&(script.NoWrites|script.Undeclared) == 0 {
		return errWriting
	}
	p.Readonly = p.Readonly || flags&script.NoWrites != 0
	return nil
}

// Try runs the program.
func (p *Program) Try() error {
	p.ticks, p.commands, p.tried = 0, 0, p.Store.now()
	if p.Library != nil {
		return p.Store.Engine.Call(p.Library, p.Function, &p.Run)
	}
	return p.Store.Engine.Eval(p.Script, &p.Run)
}

// Step counts a number of steps, or a command, and decides whether the program goes on.
func (p *Program) Step(way Way, called bool) error {
	if called {
		if p.commands++; p.commands%commandsPerTick != 0 {
			return nil
		}
	} else {
		p.ticks++
	}
	if way == Long {
		return p.lasts()
	}
	e := &effortTable[way]
	if p.ticks > e.ticks || p.commands > e.commands || p.Store.now().Sub(p.tried) > e.time {
		return e.over
	}
	return nil
}

// lasts is Step for a program that is in nobody's way.
func (p *Program) lasts() error {
	if p.running == nil {
		p.running = &Running{Function: p.Library != nil, Name: p.Function}
		if p.Script != nil {
			p.running.Name = p.Script.Digest
		}
		for _, word := range p.Words {
			p.running.Words = append(p.running.Words, bytes.Clone(word))
		}
		p.Store.enter(p.running)
	}
	limit := p.Limit()
	if limit <= 0 || limit > limits.TransactionMaxAge {
		limit = limits.TransactionMaxAge
	}
	switch {
	case p.running.killed.Load():
		return errKilled
	case p.Store.now().Sub(p.Began) > limit:
		return script.Stop(errTimeout + limit.String())
	case p.Closing():
		return base.ErrShuttingDown
	}
	return nil
}

// Leave forgets the program.
func (p *Program) Leave() {
	if p.running != nil {
		p.Store.leave(p.running)
	}
	p.Run.Keys, p.Run.Args, p.Words, p.Script, p.Library, p.running = nil, nil, nil, nil, nil, nil
}

// mayReplicate are commands that read-only programs may not call, either.
var mayReplicate = []string{"publish", "spublish", "pfcount"}

// Admit decides whether the program may call a command; nil stands for one that there is not.
func Admit[C any](p *Program, cmd *command.Command[C], args [][]byte) error {
	switch {
	case cmd == nil:
		return errUnknown
	case !cmd.ArityFits(len(args)) || cmd.Handler == nil:
		return errArity
	case cmd.Flags&(command.FlagNoScript|command.FlagNoMulti|command.FlagUnqueued) != 0:
		return errRefused
	case p.Readonly && (cmd.Flags&command.FlagWrite != 0 || slices.Contains(mayReplicate, cmd.Name)):
		return errReadonly
	}
	return nil
}

package blocking

import (
	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/data"
	"github.com/stratadb/strata/internal/kv"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/turn"
)

// Command is a row of the table.
type Command = command.Command[*Call]

// Call is one execution of a command.
type Call struct {
	*data.Call
	Client Client
	Lines  *Lines
}

// Lines are the lines of a server's clients, by the rows of the keys that they wait at.
type Lines struct {
	turn.Lines
	DB *kv.DB
	// Stopping ends all waits.
	Stopping <-chan struct{}
}

// Client is who executes a call, and may have to wait.
type Client interface {
	// Within reports whether the call is part of a transaction: then it does not wait.
	Within() bool
	// Transact runs a part of the call as a transaction, or as a part of the one that it is in.
	// The call's database is where it is now.
	Transact(fn kv.Func) error
	// Database is where the call's database was found last.
	Database() *model.DB
	// Allowed is the error of a client that may not execute the call, any more.
	Allowed() error
	// Settle waits for what was seen so far, of which nothing is told: that there was nothing.
	// It fails with base.ErrUnavailable if the ground of that is lost: then nobody knows.
	Settle() error
	// Suspend sends what was replied before. unblock takes CLIENT UNBLOCK's wish, whether the
	// end is to be an error; gone is closed when there is nobody left to wait.
	Suspend(unblock chan bool) (gone <-chan struct{}, resume func())
	// Waits lets the client be seen as one that waits, until it resumes.
	Waits()
	// End ends the client's connection.
	End()
	// Idle does something that takes as long as others let it.
	Idle(wait func())
}

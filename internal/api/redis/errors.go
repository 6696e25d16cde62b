package redis

import (
	stderrors "errors"
	"fmt"
	"log/slog"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/catalog"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/zmap"
	"github.com/stratadb/strata/internal/script"
)

// The door's own errors, in Redis's words.
const (
	errInternal   command.Error = "ERR internal error"
	errNoAuth     command.Error = "NOAUTH Authentication required."
	errWrongPass  command.Error = "WRONGPASS invalid username-password pair or user is disabled."
	errExecAbort  command.Error = "EXECABORT Transaction discarded because of previous errors."
	errMaxClients command.Error = "ERR max number of clients reached"
	errQueueFull  command.Error = "ERR commands queued by MULTI exceed the size limit"
)

// unknownOutcome is what a client is told before its connection ends, because
// the fate of a write that it may have sent is not known.
const unknownOutcome = "UNKNOWN the outcome of a write is not known: it may or may not have happened"

// translations is the one table from the errors of the layers below to replies.
// The caller's errors of the model carry their text themselves.
var translations = []struct {
	err  error
	text string
}{
	{base.ErrUnknownOutcome, unknownOutcome},
	{base.ErrConflict, "CONFLICT transaction conflicts with another one; try again"},
	{base.ErrTooOld, "CONFLICT transaction is too old; try again"},
	{base.ErrTransactionTooLarge, "ERR transaction exceeds the size limit"},
	{base.ErrTransactionTimedOut, "ERR transaction exceeded its time limit"},
	{base.ErrKeyTooLarge, "ERR key exceeds the size limit"},
	{base.ErrValueTooLarge, "ERR value exceeds the size limit"},
	{base.ErrUnreadable, "ERR key was written with a versionstamp in this transaction"},
	{base.ErrDiskFull, "MISCONF no space left on the store's disk: writes that add data are refused"},
	{base.ErrUnavailable, "CLUSTERDOWN the range that holds the key is not available"},
	{base.ErrWrongRange, "TRYAGAIN the range that holds the key is moving"},
	{base.ErrShuttingDown, "ERR server is shutting down"},
	{base.ErrClosed, "ERR already closed"},
}

// replyText is the reply for err; known is false for one that is nobody's
// mistake and belongs in the log.
func replyText(err error) (text string, known bool) {
	switch e := err.(type) { // the common cases, without walking a chain
	case *model.Error:
		return e.Error(), true
	case command.Error:
		return string(e), true
	case script.Error:
		return string(e), true
	case *zmap.Error:
		return e.Error(), true
	case *catalog.Error:
		return e.Error(), true
	}
	var m *model.Error
	if stderrors.As(err, &m) {
		return m.Error(), true
	}
	var r command.Error
	if stderrors.As(err, &r) {
		return string(r), true
	}
	for _, t := range translations {
		if errors.Is(err, t.err) {
			return t.text, true
		}
	}
	return string(errInternal), false
}

// callers reports whether err is the caller's mistake in one command, so that an
// EXEC goes on with the next one.
func callers(err error) bool {
	var m *model.Error
	var r command.Error
	var s script.Error
	return stderrors.As(err, &m) || stderrors.As(err, &r) || stderrors.As(err, &s)
}

// fail makes err the reply of the running command.
func (x *executor) fail(s *session, err error) {
	text, known := replyText(err)
	if !known {
		s.srv.log.Error("command failed", slog.String("command", x.call.cmd.FullName()), slog.Any("error", err))
	}
	x.w.Buf = x.w.Buf[:x.mark]
	x.w.Error(text)
	s.srv.stats.countError(text)
}

// unknownCommand words the error for a name that is not in the table.
func unknownCommand(t *command.Table[*Call], args [][]byte) error {
	if cmd := t.Lookup(args[0]); cmd != nil && cmd.Unknown != nil {
		return cmd.Unknown(command.Truncated(args[1], command.EchoedBytes))
	} else if cmd != nil {
		return command.Error(fmt.Sprintf("ERR unknown subcommand '%s'. Try %s HELP.", command.Truncated(args[1], command.EchoedBytes), cmd.Upper()))
	}
	var echoed []byte
	for _, a := range args[1:] {
		if len(echoed) >= command.EchoedBytes {
			break
		}
		echoed = fmt.Appendf(echoed, "'%s' ", command.Truncated(a, command.EchoedBytes-len(echoed)))
	}
	return command.Error(fmt.Sprintf("ERR unknown command '%s', with args beginning with: %s", command.Truncated(args[0], command.EchoedBytes), echoed))
}

package resp

import (
	"bytes"

	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/redisnum"
)

// ProtocolError says that the client does not speak the protocol. The
// connection is closed after Error has been sent as the reply.
type ProtocolError struct{ Reason string }

// Error is the reply as Redis words it, code included and without the leading
// minus sign.
func (e *ProtocolError) Error() string { return "ERR Protocol error: " + e.Reason }

// Limits bounds what a client may send.
type Limits struct {
	// BulkBytes bounds an argument.
	BulkBytes int
	// Arguments bounds the elements of a command.
	Arguments int
	// InlineBytes bounds an inline command, and the lines that announce a length.
	InlineBytes int
	// CommandBytes bounds a whole command with its framing.
	CommandBytes int
	// LoginBulkBytes and LoginArguments replace BulkBytes and Arguments while
	// Parser.Unauthenticated is set, if they are lower.
	LoginBulkBytes int
	LoginArguments int
}

// DefaultLimits is what package limits prescribes. A command may be twice as
// long as its longest argument.
func DefaultLimits() Limits {
	return Limits{
		BulkBytes:      limits.RESPBulkBytes,
		Arguments:      limits.RESPArguments,
		InlineBytes:    limits.RESPInlineBytes,
		CommandBytes:   2 * limits.RESPBulkBytes,
		LoginBulkBytes: limits.RESPBulkBytesBeforeLogin,
		LoginArguments: limits.RESPArgumentsBeforeLogin,
	}
}

// keptArguments is how many argument slots a parser keeps for the next command.
const keptArguments = 1024

// Parser splits a client's bytes into commands. It is made by NewParser, holds
// the progress of one half-received command and must not be copied in use.
type Parser struct {
	// Unauthenticated selects the limits before login. It may be changed
	// between two calls of Next.
	Unauthenticated bool

	limits Limits
	failed *ProtocolError

	args    [][]byte // the result of the last call, reused
	used    int      // how many slots of args may hold pointers
	scratch []byte   // unescaped arguments of an inline command

	// The progress of a command of which a part has arrived. The offsets count
	// from its first byte, so the bytes may move between calls. All are zero,
	// and spans empty, between commands.
	started   bool   // the array header was read
	remaining int    // arguments still to come
	bulk      int    // length of the argument whose header was read, or -1
	pos       int    // first byte that is not parsed
	scanned   int    // the line that begins at pos has no end before here
	spans     []span // the arguments that are complete
}

type span struct{ start, end int }

// NewParser returns a parser with the given limits; a zero field means the default.
func NewParser(l Limits) Parser {
	def := DefaultLimits()
	for _, f := range []struct{ dst, def *int }{
		{&l.BulkBytes, &def.BulkBytes},
		{&l.Arguments, &def.Arguments},
		{&l.InlineBytes, &def.InlineBytes},
		{&l.CommandBytes, &def.CommandBytes},
		{&l.LoginBulkBytes, &def.LoginBulkBytes},
		{&l.LoginArguments, &def.LoginArguments},
	} {
		if *f.dst == 0 {
			*f.dst = *f.def
		}
	}
	return Parser{limits: l}
}

// Next takes one command from the start of buf. It returns the command's
// arguments, at least one, and the number of bytes that the caller must drop
// from the front of buf before the next call. The arguments alias buf or the
// parser and are valid until the next call or until buf changes.
//
// No arguments and no error means that more bytes are needed; n may be positive
// all the same, because empty commands are skipped. The caller then calls again
// with the rest of the old bytes followed by new ones, at any address. What was
// parsed is not parsed again.
//
// An error is a *ProtocolError and final.
func (p *Parser) Next(buf []byte) (args [][]byte, n int, err error) {
	if p.failed != nil {
		return nil, 0, p.failed
	}
	for n < len(buf) {
		args, m, err := p.next(buf[n:])
		n += m
		if err != nil {
			p.failed = err
			p.release()
			return nil, n, err
		}
		if len(args) > 0 {
			p.used = max(p.used, len(args))
			return args, n, nil
		}
		if m == 0 {
			break
		}
	}
	p.release()
	return nil, n, nil
}

// Ahead visits the commands at the front of buf that have arrived as a whole, until
// visit returns false, and forgets them again: Next will return them, unless the caller
// drops them. end is how many bytes of buf they are, that one included. It must not be
// called while the arguments of the last command are needed; each one's live until
// buf changes, but not the slice of them.
func (p *Parser) Ahead(buf []byte, visit func(args [][]byte, end int) bool) {
	if p.failed != nil || p.Partial() || p.started {
		return
	}
	for end := 0; end < len(buf) && buf[end] == '*'; {
		args, n := p.whole(buf[end:])
		p.used = max(p.used, len(args))
		if end += n; n == 0 || !visit(args, end) {
			return
		}
	}
}

// Partial reports whether a part of a command has been parsed, so that the
// connection is not idle.
func (p *Parser) Partial() bool { return p.pos > 0 || p.scanned > 0 }

// release forgets the last command, so that an idle parser pins no buffer.
func (p *Parser) release() {
	if cap(p.args) > keptArguments {
		p.args = nil
	} else {
		clear(p.args[:p.used])
	}
	p.used = 0
	if cap(p.scratch) > keptArguments {
		p.scratch = nil
	}
	if !p.started && cap(p.spans) > keptArguments {
		p.spans = nil
	}
}

// next takes one command or skips an empty one: then n > 0 without arguments.
func (p *Parser) next(buf []byte) (args [][]byte, n int, err *ProtocolError) {
	if p.started {
		return p.arguments(buf)
	}
	if buf[0] != '*' {
		return p.inline(buf)
	}
	if p.scanned == 0 {
		if args, n := p.whole(buf); n > 0 {
			return args, n, nil
		}
	}
	line, err := p.line(buf, "too big mbulk count string")
	if line == nil {
		return nil, 0, err
	}
	count, ok := redisnum.ParseInt(line[1:])
	switch {
	case !ok || count > int64(p.limits.Arguments):
		return nil, 0, &ProtocolError{"invalid multibulk length"}
	case p.Unauthenticated && count > int64(p.limits.LoginArguments):
		return nil, 0, &ProtocolError{"unauthenticated multibulk length"}
	case count <= 0:
		n, p.pos, p.scanned = p.pos, 0, 0
		return nil, n, nil
	}
	p.started, p.remaining, p.bulk = true, int(count), -1
	return p.arguments(buf)
}

// whole is the short way for a command of which every byte is there and
// nothing is unusual. Otherwise it returns n = 0 and changes nothing.
func (p *Parser) whole(buf []byte) (args [][]byte, n int) {
	count, i := plainLength(buf, 1)
	maxArguments, maxBulk := p.limits.Arguments, p.limits.BulkBytes
	if p.Unauthenticated {
		maxArguments = min(maxArguments, p.limits.LoginArguments)
		maxBulk = min(maxBulk, p.limits.LoginBulkBytes)
	}
	if i == 0 || count == 0 || count > maxArguments {
		return nil, 0
	}
	args = p.args[:0]
	for ; count > 0; count-- {
		if i >= len(buf) || buf[i] != '$' {
			return nil, 0
		}
		var size int
		size, i = plainLength(buf, i+1)
		end := i + size
		if i == 0 || size > maxBulk || end > len(buf)-2 || end > p.limits.CommandBytes {
			p.used = max(p.used, len(args))
			p.args = args
			return nil, 0
		}
		args = append(args, buf[i:end:end])
		i = end + 2
	}
	p.args = args
	return args, i
}

// plainLength reads a decimal number of one to nine digits at buf[i:] and the
// two bytes that end its line, of which the first is a carriage return. It
// returns the offset behind them, or 0 if the line is not there or not plain.
func plainLength(buf []byte, i int) (value, next int) {
	if len(buf)-i < 3 {
		return 0, 0
	}
	if buf[i+1] == '\r' { // one digit, the common case
		if d := buf[i] - '0'; d <= 9 {
			return int(d), i + 3
		}
		return 0, 0
	}
	if buf[i] == '0' {
		return 0, 0
	}
	for end := min(i+9, len(buf)-2); i < end; i++ {
		d := buf[i] - '0'
		if d > 9 {
			return 0, 0
		}
		value = value*10 + int(d)
		if buf[i+1] == '\r' {
			return value, i + 3
		}
	}
	return 0, 0
}

// arguments goes on with a command whose array header was read.
func (p *Parser) arguments(buf []byte) (args [][]byte, n int, err *ProtocolError) {
	for p.remaining > 0 {
		if p.bulk < 0 {
			ok, err := p.bulkHeader(buf)
			if !ok {
				return nil, 0, err
			}
		}
		end := p.pos + p.bulk
		if len(buf)-2 < end {
			return nil, 0, nil
		}
		p.spans = append(p.spans, span{p.pos, end})
		p.pos, p.bulk = end+2, -1
		p.scanned = p.pos
		p.remaining--
	}
	args = p.args[:0]
	for _, s := range p.spans {
		args = append(args, buf[s.start:s.end:s.end])
	}
	n = p.pos
	p.args, p.spans = args, p.spans[:0]
	p.started, p.pos, p.scanned = false, 0, 0
	return args, n, nil
}

// bulkHeader reads the line that announces the next argument into p.bulk.
func (p *Parser) bulkHeader(buf []byte) (ok bool, err *ProtocolError) {
	line, err := p.line(buf, "too big bulk count string")
	if line == nil {
		return false, err
	}
	if len(line) == 0 || line[0] != '$' {
		first := byte(' ') // Redis sees the line's end here and sanitises it
		if len(line) > 0 && line[0] != '\n' {
			first = line[0]
		}
		return false, &ProtocolError{"expected '$', got '" + string([]byte{first}) + "'"}
	}
	size, ok := redisnum.ParseInt(line[1:])
	switch {
	case !ok || size < 0 || size > int64(p.limits.BulkBytes):
		return false, &ProtocolError{"invalid bulk length"}
	case p.Unauthenticated && size > int64(p.limits.LoginBulkBytes):
		return false, &ProtocolError{"unauthenticated bulk length"}
	case p.pos+int(size) > p.limits.CommandBytes:
		return false, &ProtocolError{"too big command"}
	}
	p.bulk = int(size)
	return true, nil
}

// line returns the line that begins at p.pos, without the carriage return and
// the byte behind it, and moves p.pos and p.scanned past them. A nil line means
// an error, which has the reason tooBig, or that more bytes are needed.
func (p *Parser) line(buf []byte, tooBig string) ([]byte, *ProtocolError) {
	from := max(p.pos, p.scanned)
	i := bytes.IndexByte(buf[from:], '\r')
	end := from + i
	if i < 0 {
		end = len(buf)
	}
	if end-p.pos > p.limits.InlineBytes {
		return nil, &ProtocolError{tooBig}
	}
	if len(buf)-end < 2 {
		p.scanned = end
		return nil, nil
	}
	line := buf[p.pos:end]
	p.pos = end + 2
	p.scanned = p.pos
	return line, nil
}

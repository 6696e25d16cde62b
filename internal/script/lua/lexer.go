package lua

import (
	"fmt"
	"strings"
)

// token is a word of a program: a symbol or keyword stands for itself.
type token struct {
	kind tokenKind
	text string // of names, strings, symbols and keywords
	raw  string // as it is written
	num  float64
	line int
}

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenName
	tokenString
	tokenNumber
	tokenSymbol // also keywords
)

var keywordTable = map[string]bool{
	"and": true, "break": true, "do": true, "else": true, "elseif": true, "end": true, "false": true, "for": true,
	"function": true, "if": true, "in": true, "local": true, "nil": true, "not": true, "or": true, "repeat": true,
	"return": true, "then": true, "true": true, "until": true, "while": true,
}

// SyntaxError says what is wrong with a program's text, and where.
type SyntaxError string

func (e SyntaxError) Error() string { return string(e) }

// lexer cuts a program into tokens. It panics with a SyntaxError.
type lexer struct {
	chunk string
	src   string
	at    int
	line  int
}

func (l *lexer) fail(line int, format string, args ...any) {
	panic(SyntaxError(fmt.Sprintf("%s:%d: %s", l.chunk, line, fmt.Sprintf(format, args...))))
}

// near fails at a piece of text.
func (l *lexer) near(what, text string) { l.fail(l.line, "%s near '%s'", what, text) }

func letter(c byte) bool { return c == '_' || c|32 >= 'a' && c|32 <= 'z' }
func digit(c byte) bool  { return c >= '0' && c <= '9' }

// peek is the byte that is n further on, zero behind the end.
func (l *lexer) peek(n int) byte {
	if l.at+n < len(l.src) {
		return l.src[l.at+n]
	}
	return 0
}

// next is the next token.
func (l *lexer) next() token {
	l.skip()
	t := token{line: l.line}
	if l.at >= len(l.src) {
		t.text, t.raw = "<eof>", "<eof>"
		return t
	}
	from, c := l.at, l.src[l.at]
	switch {
	case letter(c):
		for l.at < len(l.src) && (letter(l.src[l.at]) || digit(l.src[l.at])) {
			l.at++
		}
		t.kind, t.text = tokenName, l.src[from:l.at]
		if keywordTable[t.text] {
			t.kind = tokenSymbol
		}
	case digit(c) || c == '.' && digit(l.peek(1)):
		t.kind, t.num = tokenNumber, l.number()
	case c == '"' || c == '\'':
		t.kind, t.text = tokenString, l.quoted(c)
		t.line = l.line
	case c == '[' && l.level() >= 0:
		t.kind, t.text = tokenString, l.long(l.level(), "string")
		t.line = l.line
	default:
		t.kind, t.text = tokenSymbol, l.symbol()
	}
	t.raw = l.src[from:l.at]
	return t
}

// symbol is the longest symbol here.
func (l *lexer) symbol() string {
	for _, s := range []string{"...", "..", "==", "~=", "<=", ">="} {
		if strings.HasPrefix(l.src[l.at:], s) {
			l.at += len(s)
			return s
		}
	}
	l.at++
	return l.src[l.at-1 : l.at]
}

// newline steps over the end of a line, of one byte or two.
func (l *lexer) newline() {
	c := l.src[l.at]
	l.at++
	if next := l.peek(0); (next == '\n' || next == '\r') && next != c {
		l.at++
	}
	l.line++
}

// skip steps over blanks and comments.
func (l *lexer) skip() {
	for l.at < len(l.src) {
		switch c := l.src[l.at]; {
		case c == '\n' || c == '\r':
			l.newline()
		case c == ' ' || c == '\t' || c == '\v' || c == '\f':
			l.at++
		case c == '-' && l.peek(1) == '-':
			l.at += 2
			if l.peek(0) == '[' {
				if level := l.level(); level >= 0 {
					l.long(level, "comment")
					continue
				}
			}
			for l.at < len(l.src) && l.src[l.at] != '\n' && l.src[l.at] != '\r' {
				l.at++
			}
		default:
			return
		}
	}
}

// level is the number of = in a long bracket that begins here, -1 if none does.
func (l *lexer) level() int {
	n := 1
	for l.peek(n) == '=' {
		n++
	}
	if l.peek(n) != '[' {
		if n > 1 && l.peek(0) == '[' {
			l.near("invalid long string delimiter", l.src[l.at:l.at+n])
		}
		return -1
	}
	return n - 1
}

// long reads a long string or comment.
func (l *lexer) long(level int, what string) string {
	l.at += level + 2
	if c := l.peek(0); l.at < len(l.src) && (c == '\n' || c == '\r') {
		l.newline()
	}
	end := "]" + strings.Repeat("=", level) + "]"
	from := l.at
	var b strings.Builder
	for l.at < len(l.src) {
		switch c := l.src[l.at]; {
		case c == ']' && strings.HasPrefix(l.src[l.at:], end):
			b.WriteString(l.src[from:l.at])
			l.at += len(end)
			return b.String()
		case c == '\n' || c == '\r':
			b.WriteString(l.src[from:l.at])
			l.newline()
			b.WriteByte('\n')
			from = l.at
		default:
			l.at++
		}
	}
	l.near("unfinished long "+what, "<eof>")
	return ""
}

// quoted reads a string in quotes.
func (l *lexer) quoted(quote byte) string {
	begin := l.at
	l.at++
	var b strings.Builder
	for {
		if l.at >= len(l.src) {
			l.near("unfinished string", "<eof>")
		}
		c := l.src[l.at]
		switch {
		case c == quote:
			l.at++
			return b.String()
		case c == '\n' || c == '\r':
			l.near("unfinished string", l.src[begin:l.at])
		case c != '\\':
			b.WriteByte(c)
			l.at++
		default:
			l.at++
			l.escape(&b, begin)
		}
	}
}

// escape reads what follows a backslash.
func (l *lexer) escape(b *strings.Builder, begin int) {
	if l.at >= len(l.src) {
		l.near("unfinished string", "<eof>")
	}
	c := l.src[l.at]
	if i := strings.IndexByte("abfnrtv", c); i >= 0 {
		b.WriteByte("\a\b\f\n\r\t\v"[i])
		l.at++
		return
	}
	switch {
	case c == '\n' || c == '\r':
		l.newline()
		b.WriteByte('\n')
	case digit(c):
		n, from := 0, l.at-1
		for i := 0; i < 3 && digit(l.peek(0)); i++ {
			n = 10*n + int(l.src[l.at]-'0')
			l.at++
		}
		if n > 255 {
			l.near("escape sequence too large", l.src[begin:from])
		}
		b.WriteByte(byte(n))
	default:
		b.WriteByte(c)
		l.at++
	}
}

// number reads a number.
func (l *lexer) number() float64 {
	from := l.at
	for l.at < len(l.src) && (digit(l.src[l.at]) || l.src[l.at] == '.') {
		l.at++
	}
	if c := l.peek(0) | 32; c == 'e' {
		l.at++
		if s := l.peek(0); s == '+' || s == '-' {
			l.at++
		}
	}
	for l.at < len(l.src) && (letter(l.src[l.at]) || digit(l.src[l.at])) {
		l.at++
	}
	text := l.src[from:l.at]
	f, ok := ParseNumber(text)
	if !ok {
		l.near("malformed number", text)
	}
	return f
}

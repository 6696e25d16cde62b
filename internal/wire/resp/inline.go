package resp

import "bytes"

// inline takes a command that a person typed: words on one line that ends with
// a line feed. Empty lines are skipped.
func (p *Parser) inline(buf []byte) (args [][]byte, n int, err *ProtocolError) {
	i := bytes.IndexByte(buf[p.scanned:], '\n')
	end := p.scanned + i
	if i < 0 {
		end = len(buf)
	}
	if end > p.limits.InlineBytes {
		return nil, 0, &ProtocolError{"too big inline request"}
	}
	if i < 0 {
		p.scanned = end
		return nil, 0, nil
	}
	p.scanned = 0
	n = end + 1
	line := buf[:end]
	if end > 0 && line[end-1] == '\r' {
		line = line[:end-1]
	}
	args, scratch, ok := SplitWords(p.args[:0], p.scratch[:0], line)
	if !ok {
		return nil, 0, &ProtocolError{"unbalanced quotes in request"}
	}
	p.args, p.scratch = args, scratch
	return args, n, nil
}

// SplitWords splits a line into words as Redis does for inline commands and
// redis-cli for typed ones, and appends them to args. Blanks separate words.
// Inside double quotes, \n \r \t \b \a and \xHH mean what they mean in C and a
// backslash before any other byte means that byte; inside single quotes only \'
// is an escape. A closing quote must be followed by a blank or the end;
// otherwise, and if a quote is not closed, ok is false.
//
// Words without quotes alias line; the others alias scratch, to which they are
// appended and which is returned for reuse.
func SplitWords(args [][]byte, scratch, line []byte) (_ [][]byte, _ []byte, ok bool) {
	for i := 0; ; {
		for i < len(line) && isBlank(line[i]) {
			i++
		}
		if i == len(line) {
			return args, scratch, true
		}
		start := i
		for i < len(line) && !endsWord(line[i]) && line[i] != '"' && line[i] != '\'' {
			i++
		}
		if i == len(line) || endsWord(line[i]) {
			args = append(args, line[start:i:i])
			continue
		}
		from := len(scratch)
		scratch = append(scratch, line[start:i]...)
		scratch, i, ok = quotedWord(scratch, line, i)
		if !ok {
			return args, scratch, false
		}
		args = append(args, scratch[from:len(scratch):len(scratch)])
	}
}

// quotedWord appends the rest of a word, whose first quote is at line[i], and
// returns the offset of its end. A quoted part ends the word.
func quotedWord(dst, line []byte, i int) (_ []byte, end int, ok bool) {
	quote := line[i]
	for i++; i < len(line); i++ {
		c := line[i]
		switch {
		case c == quote:
			i++
			return dst, i, i == len(line) || isBlank(line[i])
		case c != '\\':
			dst = append(dst, c)
		case quote == '\'':
			if i+1 < len(line) && line[i+1] == '\'' {
				i++
			}
			dst = append(dst, line[i])
		case i+3 < len(line) && line[i+1] == 'x' && isHex(line[i+2]) && isHex(line[i+3]):
			dst = append(dst, unhex(line[i+2])<<4|unhex(line[i+3]))
			i += 3
		case i+1 < len(line):
			i++
			dst = append(dst, unescape(line[i]))
		default:
			dst = append(dst, c)
		}
	}
	return dst, i, false
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return c
}

// isBlank is the C locale's isspace.
func isBlank(c byte) bool { return c == ' ' || (c >= '\t' && c <= '\r') }

// endsWord reports whether an unquoted word ends before c. Vertical tab and form
// feed separate words only where a word has not begun, as in Redis.
func endsWord(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func isHex(c byte) bool {
	return c-'0' <= 9 || c|0x20 >= 'a' && c|0x20 <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

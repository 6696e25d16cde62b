package lua

// What a program's text may be nested, and how long a chain of operators, calls or indexes
// may be.
const (
	nestingMax = 200
	chainMax   = 10_000
)

// parser makes a tree of tokens, by descent. It panics with a SyntaxError.
type parser struct {
	lexer
	tok, ahead token
	looked     bool
	depth      int
	last       int // line of the token before
	vararg     []bool
	loops      int // of this function around here
}

func (p *parser) step() {
	p.last = p.tok.line
	if p.looked {
		p.tok, p.looked = p.ahead, false
		return
	}
	p.tok = p.lexer.next()
}

func (p *parser) look() token {
	if !p.looked {
		p.ahead, p.looked = p.lexer.next(), true
	}
	return p.ahead
}

// wrong fails at the present token.
func (p *parser) wrong(what string) {
	p.fail(p.tok.line, "%s near '%s'", what, p.tok.raw)
}

func (p *parser) is(symbol string) bool { return p.tok.kind == tokenSymbol && p.tok.text == symbol }

func (p *parser) take(symbol string) bool {
	if p.is(symbol) {
		p.step()
		return true
	}
	return false
}

func (p *parser) expect(symbol string) {
	if !p.take(symbol) {
		p.wrong("'" + symbol + "' expected")
	}
}

// close expects what ends something that began on a line.
func (p *parser) close(what, who string, line int) {
	switch {
	case p.take(what):
	case line == p.tok.line:
		p.wrong("'" + what + "' expected")
	default:
		p.fail(p.tok.line, "'%s' expected (to close '%s' at line %d) near '%s'", what, who, line, p.tok.raw)
	}
}

func (p *parser) name() string {
	if p.tok.kind != tokenName {
		p.wrong("'<name>' expected")
	}
	name := p.tok.text
	p.step()
	return name
}

func (p *parser) enter() {
	if p.depth++; p.depth > nestingMax {
		p.fail(p.tok.line, "chunk has too many syntax levels")
	}
}

func (p *parser) leave() { p.depth-- }

// blockEnds reports whether no other statement follows.
func (p *parser) blockEnds() bool {
	return p.tok.kind == tokenEnd || p.is("end") || p.is("else") || p.is("elseif") || p.is("until")
}

func (p *parser) block() (body []stmt) {
	p.enter()
	defer p.leave()
	for !p.blockEnds() {
		s, last := p.statement()
		if s != nil {
			body = append(body, s)
		}
		p.take(";")
		if last {
			break
		}
	}
	return body
}

// looped is the block of a loop.
func (p *parser) looped() []stmt {
	p.loops++
	defer func() { p.loops-- }()
	return p.block()
}

// statement is the next one; last says that none may follow it.
func (p *parser) statement() (s stmt, last bool) {
	line := p.tok.line
	if p.tok.kind != tokenSymbol {
		return p.exprStatement(), false
	}
	switch p.tok.text {
	case "if":
		return p.ifStatement(line), false
	case "while":
		p.step()
		cond := p.expr()
		p.expect("do")
		body := p.looped()
		p.close("end", "while", line)
		return &whileStmt{cond, body, line}, false
	case "do":
		p.step()
		body := p.block()
		p.close("end", "do", line)
		return &blockStmt{body}, false
	case "for":
		return p.forStatement(line), false
	case "repeat":
		p.step()
		body := p.looped()
		p.close("until", "repeat", line)
		return &repeatStmt{p.expr(), body, line}, false
	case "function":
		return p.functionStatement(line), false
	case "local":
		p.step()
		if p.take("function") {
			name := p.name()
			return &localFunctionStmt{name, p.function(false, line)}, false
		}
		return p.localStatement(line), false
	case "return":
		p.step()
		var values []expr
		if !p.blockEnds() && !p.is(";") {
			values = p.exprs()
		}
		return &returnStmt{values, line}, true
	case "break":
		if p.step(); p.loops == 0 {
			p.wrong("no loop to break")
		}
		return &breakStmt{line}, true
	}
	return p.exprStatement(), false
}

func (p *parser) ifStatement(line int) stmt {
	s := &ifStmt{line: line}
	for {
		p.step() // if, elseif
		s.conds = append(s.conds, p.expr())
		p.expect("then")
		s.bodies = append(s.bodies, p.block())
		if !p.is("elseif") {
			break
		}
	}
	if p.take("else") {
		s.bodies = append(s.bodies, p.block())
	}
	p.close("end", "if", line)
	return s
}

func (p *parser) forStatement(line int) stmt {
	p.step()
	name := p.name()
	if p.take("=") {
		s := &forStmt{name: name, line: line}
		s.from = p.expr()
		p.expect(",")
		s.limit = p.expr()
		if p.take(",") {
			s.step = p.expr()
		}
		p.expect("do")
		s.body = p.looped()
		p.close("end", "for", line)
		return s
	}
	s := &eachStmt{names: []string{name}, line: line}
	if !p.is(",") && !p.is("in") {
		p.wrong("'=' or 'in' expected")
	}
	for p.take(",") {
		s.names = append(s.names, p.name())
	}
	p.expect("in")
	s.line = p.tok.line
	s.values = p.exprs()
	p.expect("do")
	s.body = p.looped()
	p.close("end", "for", line)
	return s
}

func (p *parser) functionStatement(line int) stmt {
	p.step()
	var target expr = &nameExpr{p.tok.text, p.tok.line}
	p.name()
	method := false
	for n := 0; p.is(".") || p.is(":"); n++ {
		method = p.is(":")
		p.step()
		if n > chainMax {
			p.fail(p.tok.line, "chunk has too many syntax levels")
		}
		target = &indexExpr{target, &constantExpr{String(p.name())}, line}
		if method {
			break
		}
	}
	return &assignStmt{[]expr{target}, []expr{p.function(method, line)}, line}
}

func (p *parser) localStatement(line int) stmt {
	s := &localStmt{names: []string{p.name()}, line: line}
	for p.take(",") {
		s.names = append(s.names, p.name())
	}
	if p.take("=") {
		s.values = p.exprs()
	}
	return s
}

// exprStatement is a call or an assignment.
func (p *parser) exprStatement() stmt {
	line := p.tok.line
	e := p.suffixed()
	if call, ok := e.(*callExpr); ok && !p.is("=") && !p.is(",") {
		return &callStmt{call}
	}
	s := &assignStmt{targets: []expr{e}, line: line}
	for p.assignable(e) && p.take(",") {
		e = p.suffixed()
		s.targets = append(s.targets, e)
	}
	p.expect("=")
	s.values = p.exprs()
	return s
}

func (p *parser) assignable(e expr) bool {
	switch e.(type) {
	case *nameExpr, *indexExpr:
		return true
	}
	p.wrong("syntax error")
	return false
}

func (p *parser) exprs() []expr {
	list := []expr{p.expr()}
	for p.take(",") {
		list = append(list, p.expr())
	}
	return list
}

// primary is a name or an expression in parentheses.
func (p *parser) primary() expr {
	line := p.tok.line
	switch {
	case p.tok.kind == tokenName:
		return &nameExpr{p.name(), line}
	case p.take("("):
		e := p.expr()
		p.close(")", "(", line)
		return &onceExpr{e}
	}
	p.wrong("unexpected symbol")
	return nil
}

// suffixed is a primary expression with what is indexed and called in it.
func (p *parser) suffixed() expr {
	e := p.primary()
	for n := 0; ; n++ {
		if n > chainMax {
			p.fail(p.tok.line, "chunk has too many syntax levels")
		}
		line := p.tok.line
		switch {
		case p.take("."):
			e = &indexExpr{e, &constantExpr{String(p.name())}, line}
		case p.take("["):
			key := p.expr()
			p.expect("]")
			e = &indexExpr{e, key, line}
		case p.take(":"):
			method := p.name()
			e = &callExpr{e, method, p.args(), line}
		case p.is("(") || p.is("{") || p.tok.kind == tokenString:
			e = &callExpr{e, "", p.args(), line}
		default:
			return e
		}
	}
}

func (p *parser) args() []expr {
	line := p.tok.line
	switch {
	case p.tok.kind == tokenString:
		s := p.tok.text
		p.step()
		return []expr{&constantExpr{String(s)}}
	case p.is("{"):
		return []expr{p.table()}
	case p.is("("):
		if line != p.last {
			p.wrong("ambiguous syntax (function call x new statement)")
		}
		p.step()
		if p.take(")") {
			return nil
		}
		list := p.exprs()
		p.close(")", "(", line)
		return list
	}
	p.wrong("function arguments expected")
	return nil
}

// priorityTable says how strongly operators bind to the left and to the right.
var priorityTable = map[string][2]int{
	"+": {6, 6}, "-": {6, 6}, "*": {7, 7}, "/": {7, 7}, "%": {7, 7}, "^": {10, 9}, "..": {5, 4},
	"~=": {3, 3}, "==": {3, 3}, "<": {3, 3}, "<=": {3, 3}, ">": {3, 3}, ">=": {3, 3}, "and": {2, 2}, "or": {1, 1},
}

const unaryPriority = 8

func (p *parser) expr() expr { return p.operation(0) }

// operation is an expression of operators that bind more strongly than limit.
func (p *parser) operation(limit int) expr {
	p.enter()
	defer p.leave()
	var e expr
	line := p.tok.line
	if p.is("not") || p.is("-") || p.is("#") {
		op := p.tok.text
		p.step()
		e = fold(&unaryExpr{op, p.operation(unaryPriority), line})
	} else {
		e = p.simple()
	}
	for n := 0; p.tok.kind == tokenSymbol; n++ {
		op := p.tok.text
		priority, ok := priorityTable[op]
		if !ok || priority[0] <= limit {
			break
		}
		if n > chainMax {
			p.fail(p.tok.line, "chunk has too many syntax levels")
		}
		line := p.tok.line
		p.step()
		right := p.operation(priority[1])
		if op != ".." {
			e = &binaryExpr{op, e, right, line}
			continue
		}
		parts := []expr{e, right}
		if c, ok := right.(*concatExpr); ok { // to the right, so one operation
			parts = append(parts[:1], c.parts...)
		}
		e = &concatExpr{parts, line}
	}
	return e
}

// fold makes a number of the negation of one.
func fold(u *unaryExpr) expr {
	if c, ok := u.of.(*constantExpr); ok && u.op == "-" && c.value.isNumber() && c.value.num() != 0 {
		return &constantExpr{Number(-c.value.num())}
	}
	return u
}

func (p *parser) simple() expr {
	t := p.tok
	switch t.kind {
	case tokenNumber:
		p.step()
		return &constantExpr{Number(t.num)}
	case tokenString:
		p.step()
		return &constantExpr{String(t.text)}
	case tokenSymbol:
		switch t.text {
		case "nil", "true", "false":
			p.step()
			return &constantExpr{map[string]Value{"nil": Nil, "true": True, "false": False}[t.text]}
		case "...":
			if !p.vararg[len(p.vararg)-1] {
				p.wrong("cannot use '...' outside a vararg function")
			}
			p.step()
			return &varargExpr{t.line}
		case "{":
			return p.table()
		case "function":
			p.step()
			return p.function(false, t.line)
		}
	}
	return p.suffixed()
}

func (p *parser) table() expr {
	line := p.tok.line
	t := &tableExpr{line: line}
	p.expect("{")
	for !p.is("}") {
		var f field
		switch {
		case p.tok.kind == tokenName && p.look().kind == tokenSymbol && p.look().text == "=":
			f.key = &constantExpr{String(p.name())}
			p.expect("=")
		case p.take("["):
			f.key = p.expr()
			p.expect("]")
			p.expect("=")
		}
		f.value = p.expr()
		t.fields = append(t.fields, f)
		if !p.take(",") && !p.take(";") {
			break
		}
	}
	p.close("}", "{", line)
	return t
}

// function is what follows the name of one.
func (p *parser) function(method bool, line int) *functionExpr {
	f := &functionExpr{line: line}
	if method {
		f.params = append(f.params, "self")
	}
	p.expect("(")
	for !p.is(")") {
		if p.take("...") {
			f.vararg = true
			break
		}
		f.params = append(f.params, p.name())
		if !p.take(",") {
			break
		}
		if p.is(")") {
			p.wrong("<name> or '...' expected")
		}
	}
	p.expect(")")
	p.vararg = append(p.vararg, f.vararg)
	loops := p.loops
	p.loops = 0
	f.body = p.block()
	p.loops = loops
	p.vararg = p.vararg[:len(p.vararg)-1]
	f.end = p.tok.line
	p.close("end", "function", line)
	return f
}

// parse makes the tree of a whole text.
func parse(src, chunk string) (f *functionExpr, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case SyntaxError:
			err = r
		default:
			panic(r)
		}
	}()
	p := &parser{lexer: lexer{chunk: chunk, src: src, line: 1}, vararg: []bool{true}}
	p.step()
	f = &functionExpr{vararg: true, body: p.block()}
	f.end = p.tok.line
	if p.tok.kind != tokenEnd {
		p.wrong("'<eof>' expected")
	}
	return f, nil
}

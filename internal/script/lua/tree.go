package lua

// The tree of a program. Lines are those of the token that counts in messages.

type expr interface{}

type (
	constantExpr struct{ value Value }
	varargExpr   struct{ line int }
	nameExpr     struct {
		name string
		line int
	}
	indexExpr struct {
		object, key expr
		line        int
	}
	callExpr struct {
		fn     expr
		method string // empty: none
		args   []expr
		line   int
	}
	functionExpr struct {
		params    []string
		vararg    bool
		body      []stmt
		line, end int
	}
	binaryExpr struct {
		op          string
		left, right expr
		line        int
	}
	concatExpr struct {
		parts []expr
		line  int
	}
	unaryExpr struct {
		op   string
		of   expr
		line int
	}
	// onceExpr is an expression in parentheses: one value.
	onceExpr  struct{ of expr }
	tableExpr struct {
		fields []field
		line   int
	}
	field struct {
		key, value expr // key is nil for an element
	}
)

type stmt interface{}

type (
	localStmt struct {
		names  []string
		values []expr
		line   int
	}
	localFunctionStmt struct {
		name string
		fn   *functionExpr
	}
	assignStmt struct {
		targets, values []expr
		line            int
	}
	callStmt  struct{ call *callExpr }
	blockStmt struct{ body []stmt }
	whileStmt struct {
		cond expr
		body []stmt
		line int
	}
	repeatStmt struct {
		cond expr
		body []stmt
		line int
	}
	ifStmt struct {
		conds  []expr // of the branches, but for the last one if there is an else
		bodies [][]stmt
		line   int
	}
	forStmt struct {
		name              string
		from, limit, step expr
		body              []stmt
		line              int
	}
	eachStmt struct {
		names  []string
		values []expr
		body   []stmt
		line   int
	}
	returnStmt struct {
		values []expr
		line   int
	}
	breakStmt struct{ line int }
)

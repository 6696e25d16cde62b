package script

import (
	"strings"

	"github.com/stratadb/strata/internal/script/lua"
	"github.com/stratadb/strata/internal/wire/resp"
)

const (
	// resultDepthMax bounds how deep the table is nested that a program answers.
	resultDepthMax = 1000
	// ResultBytes bounds the reply of a program.
	ResultBytes = 128 << 20
)

// replying is a function that writes the reply for v, within the program's budgets.
func (m *machine) replying(v lua.Value) lua.Value {
	return lua.NewNative(func(*lua.Call) {
		w := writer{m: m, w: m.run.W, from: len(m.run.W.Buf)}
		w.value(v, 0)
	})
}

// writer writes the value that a program answers.
type writer struct {
	m    *machine
	w    *resp.Writer
	from int
}

var oneLineTable = strings.NewReplacer("\r", " ", "\n", " ")

func (w *writer) value(v lua.Value, depth int) {
	w.m.st.Spend(1)
	if len(w.w.Buf)-w.from > ResultBytes {
		w.m.st.Abort(Stop("ERR Error running script: its reply exceeds the size limit"))
	}
	switch v.Kind() {
	case lua.KindString:
		s, _ := v.AsString()
		w.w.BulkString(s)
	case lua.KindNumber:
		f, _ := v.AsNumber()
		w.w.Int(whole(f))
	case lua.KindBool:
		switch {
		case w.m.proto >= 3:
			w.w.Bool(v.Truth())
		case v.Truth():
			w.w.Int(1)
		default:
			w.w.Null()
		}
	case lua.KindTable:
		if depth > resultDepthMax {
			w.w.Error("ERR reached lua stack limit")
			return
		}
		w.table(v.AsTable(), depth)
	default:
		w.w.Null()
	}
}

func (w *writer) table(t *lua.Table, depth int) {
	if s, ok := t.GetString("err").AsString(); ok {
		w.w.Error(s)
		return
	}
	if s, ok := t.GetString("ok").AsString(); ok {
		w.w.SimpleString(s)
		return
	}
	if f, ok := t.GetString("double").AsNumber(); ok {
		w.w.Double(f)
		return
	}
	if pairs := t.GetString("map").AsTable(); pairs != nil {
		n, mark := 0, w.w.DeferMap()
		pairs.Each(func(k, v lua.Value) bool {
			w.value(k, depth+1)
			w.value(v, depth+1)
			n++
			return true
		})
		w.w.Close(mark, n)
		return
	}
	if set := t.GetString("set").AsTable(); set != nil {
		n, mark := 0, w.w.DeferSet()
		set.Each(func(k, _ lua.Value) bool {
			w.value(k, depth+1)
			n++
			return true
		})
		w.w.Close(mark, n)
		return
	}
	if s, ok := t.GetString("big_number").AsString(); ok {
		w.w.BigNumber(oneLineTable.Replace(s))
		return
	}
	if verbatim := t.GetString("verbatim_string").AsTable(); verbatim != nil {
		format, ok := verbatim.GetString("format").AsString()
		text, is := verbatim.GetString("string").AsString()
		if ok && is {
			w.w.Verbatim((format + "   ")[:3], []byte(text))
			return
		}
	}
	n, mark := 0, w.w.DeferArray()
	for ; ; n++ {
		v := t.GetInt(n + 1)
		if v.IsNil() {
			break
		}
		w.value(v, depth+1)
	}
	w.w.Close(mark, n)
}

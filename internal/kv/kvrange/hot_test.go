package kvrange

import (
	"testing"
	"time"

	"github.com/stratadb/strata/internal/kv"
)

// TestHotLine: who has failed on a key has a turn, and who comes then waits for it; every way
// out gives it up.
func TestHotLine(t *testing.T) {
	e, key := &Engine{hot: hot{patience: time.Minute}}, []byte("k")
	fresh := func() *several { return &several{e: e} }
	first := fresh()
	if first.queue(key); first.place != nil {
		t.Error("nobody stands in line, and nothing has failed")
	}
	for name, out := range map[string]func(m *several){
		"begin":  func(m *several) { m.begin(kv.AttemptOptions{}) },
		"abort":  func(m *several) { m.abort() },
		"commit": func(m *several) { _, _ = m.commit(&kv.CommitRequest{}) },
	} {
		failed := fresh()
		failed.o.Again = true
		failed.queue(key)
		prompt := fresh()
		prompt.o.Prompt = true
		if prompt.queue(key); failed.place == nil || prompt.place != nil {
			t.Fatal("who stands in line?")
		}
		next, done := fresh(), make(chan struct{})
		go func() {
			next.queue(key)
			close(done)
		}()
		for e.hot.Standing(key) < 2 {
			<-time.After(time.Millisecond)
		}
		select {
		case <-done:
			t.Error("two have the turn")
		default:
		}
		out(failed)
		<-done
		if next.place == nil {
			t.Errorf("%s: no turn for the next one", name)
		}
		next.yield()
		if n := e.hot.Len(); n != 0 {
			t.Errorf("%s: %d lines are left", name, n)
		}
	}
	failed := fresh()
	failed.o.Again = true
	failed.queue(key)
	e.hot.patience = time.Millisecond
	late := fresh()
	if late.queue(key); late.place != nil || e.hot.Standing(key) != 1 {
		t.Error("a turn that somebody else has")
	}
}

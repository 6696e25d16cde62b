package torture

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// members lets nodes join and leave, one at a time, while everything else goes on.
type members struct {
	c     *cluster
	rnd   *rand.Rand
	stop  <-chan struct{}
	first chan struct{} // closed when a node has joined, and one was drained and removed

	joined, interrupted, drained, dead int
	took                               map[string]time.Duration // at most
}

// memberWithin is how long a node may take to join, to be drained or to be removed: others are
// killed and cut off meanwhile, and begin again. On a machine that has other things to do it takes
// minutes: this is for what hangs.
const memberWithin = 8 * time.Minute

// run does it until stop is closed.
func (m *members) run() {
	for m.pause(3 * time.Second) {
		next := m.bury
		switch {
		case m.c.free() != 0:
			next = m.join
		case m.drained == 0 || m.rnd.IntN(3) > 0:
			next = m.drain
		}
		if err := next(); err != nil {
			m.c.t.Errorf("members: %v", err)
			return
		}
		if m.first != nil && m.joined > 0 && m.drained > 0 {
			close(m.first)
			m.first = nil
		}
	}
}

// pause answers false when it is time to end.
func (m *members) pause(most time.Duration) bool {
	select {
	case <-m.stop:
		return false
	case <-time.After(time.Duration(m.rnd.Int64N(int64(most)))):
		return true
	}
}

// until tries something again and again.
func (m *members) until(what string, try func() error) error {
	began := time.Now()
	for {
		err := try()
		took := time.Since(began)
		switch {
		case err == nil:
			m.took[what] = max(m.took[what], took)
			return nil
		case took > memberWithin:
			list, _ := m.c.copies(m.rnd)
			return fmt.Errorf("%s, after %v: %w; ranges: %+v", what, took, err, list)
		}
		<-time.After(100 * time.Millisecond)
	}
}

// join brings a new node in. One time in two it is killed while it joins, and begins again
// with what it has.
func (m *members) join() error {
	i := m.c.free()
	m.c.prepare(i, filepath.Join(m.c.t.TempDir(), "data"))
	if m.rnd.IntN(2) == 0 {
		m.c.launch(i)
		<-time.After(time.Duration(m.rnd.Int64N(int64(1500 * time.Millisecond))))
		m.c.node(i).Kill()
		m.interrupted++
	}
	if err := m.until("join", func() error {
		m.c.prepare(i, m.c.seat(i).options.Dir)
		m.c.launch(i)
		err := m.c.await(i)
		if err != nil {
			m.c.node(i).Kill() // whom it asked was down
		}
		return err
	}); err != nil {
		return fmt.Errorf("%w\n%s", err, m.c.node(i).Log())
	}
	if err := m.until("listed", func() error {
		_, err := m.c.id(m.rnd, i)
		return err
	}); err != nil {
		return err
	}
	m.c.take(i)
	m.joined++
	return nil
}

// drain takes a node out as an operator does.
func (m *members) drain() error {
	i, id, err := m.choose()
	if err != nil {
		return err
	}
	if err := m.until("drain", func() error {
		_, err := m.c.operator(m.rnd, operatorWithin, "node", "drain", id, "--wait")
		return err
	}); err != nil {
		return err
	}
	m.c.busy[i].Lock() // who is removed must answer
	n := m.c.node(i)
	err = m.remove(id)
	m.c.leave(i)
	m.c.busy[i].Unlock()
	if err != nil {
		return err
	}
	if err := m.until("ended", func() error {
		if n.Running() {
			return fmt.Errorf("node %s was removed, and still runs", id)
		}
		return nil
	}); err != nil {
		n.Dump()
		return fmt.Errorf("%w\n%s", err, n.Log())
	}
	if !strings.Contains(n.Log(), "removed from its cluster") {
		return fmt.Errorf("node %s was removed, and says\n%s", id, n.Log())
	}
	m.drained++
	return nil
}

// bury kills a node for good, has it removed, and waits until its copies were made again.
func (m *members) bury() error {
	if err := m.whole(); err != nil {
		return err
	}
	i, id, err := m.choose()
	if err != nil {
		return err
	}
	m.c.busy[i].Lock()
	m.c.node(i).Kill()
	m.c.leave(i)
	m.c.busy[i].Unlock()
	if err := m.remove(id, "--dead"); err != nil {
		return err
	}
	if err := m.whole(); err != nil {
		return err
	}
	m.dead++
	return nil
}

// choose picks a node that is to leave.
func (m *members) choose() (i int, id string, err error) {
	i = m.c.any(m.rnd)
	err = m.until("listed", func() error {
		n, err := m.c.id(m.rnd, i)
		id = strconv.Itoa(n)
		return err
	})
	return i, id, err
}

// remove has a node removed. Who asked may not have been told that it was.
func (m *members) remove(id string, how ...string) error {
	return m.until("remove", func() error {
		_, err := m.c.operator(m.rnd, operatorWithin, append([]string{"node", "remove", id}, how...)...)
		if err != nil && strings.Contains(err.Error(), "there is no node "+id) {
			return nil
		}
		return err
	})
}

// whole waits until every range has its copies on nodes that are there, and a leader. Before
// that no other node may be lost for good.
func (m *members) whole() error {
	var ids []int
	for _, i := range m.c.taken() {
		if err := m.until("listed", func() error {
			id, err := m.c.id(m.rnd, i)
			if err == nil {
				ids = append(ids, id)
			}
			return err
		}); err != nil {
			return err
		}
	}
	return m.until("whole", func() error {
		list, err := m.c.copies(m.rnd)
		if err != nil {
			return err
		}
		for i, r := range list {
			if i > 0 && r.Start != list[i-1].End || i == 0 && r.ID != 1 || i == len(list)-1 && r.End != "/max" {
				return fmt.Errorf("what lies before %+v, or behind it, is not known", r)
			}
			if len(r.Voters) != size || len(r.Learners) > 0 || !slices.Contains(ids, r.Leader) ||
				slices.ContainsFunc(r.Voters, func(id int) bool { return !slices.Contains(ids, id) }) {
				return fmt.Errorf("range %+v, of nodes %v", r, ids)
			}
		}
		return nil
	})
}

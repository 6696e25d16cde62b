package lsm

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/storage/keyfilter"
)

// presence knows from memory of most absent keys that they are absent. Pebble's
// own filters cannot: it does not ask those of its lowest level, where nearly
// everything is.
//
//	P1  Every data key of the store is in the filter that is asked: a batch adds
//	    its keys before it is applied, and a new filter is filled by a scan that
//	    begins after batches add to it as well.
//
// A filter that has become too full is replaced by a larger one; the largest is
// kept and finds ever more keys that are not there, which costs time only. A
// state that is too large for any filter is read without one.
type presence struct {
	s           *Store
	first, most int64         // bytes
	answers     atomic.Uint64 // of absent
	filter      atomic.Pointer[keyfilter.Filter]
	full        chan struct{}
	building    sync.Mutex   // one filter at a time
	mu          sync.RWMutex // shared: a batch adds and is applied
	next        *keyfilter.Filter
}

const (
	// filterFirst is the size of the first filter, in bytes: half a million keys.
	filterFirst = 1 << 20
	// filterGrowth is how much larger the next one is.
	filterGrowth = 4
	// filterOverload is how many times its capacity the largest filter may hold.
	filterOverload = 4
	// scanKeys is how many keys a scan reads before it lets others work.
	scanKeys = 4096
	// scanPart is how many keys are read from one iterator, which keeps files alive.
	scanPart = 64 * scanKeys
)

func (p *presence) init(s *Store, first, most int64) {
	p.s, p.first, p.most = s, min(first, most), most
	p.full = make(chan struct{}, 1)
}

// absent reports whether key is certainly not in the store.
func (p *presence) absent(key []byte) bool {
	f := p.filter.Load()
	if f == nil || f.MayContain(keyfilter.Hash(key)) {
		return false
	}
	p.answers.Add(1)
	return true
}

// apply adds the keys of a batch and calls apply.
func (p *presence) apply(hashes []uint64, apply func() error) error {
	p.mu.RLock()
	f := p.filter.Load()
	for _, to := range [...]*keyfilter.Filter{f, p.next} {
		if to != nil {
			for _, h := range hashes {
				to.Add(h)
			}
		}
	}
	err := apply()
	p.mu.RUnlock()
	if f != nil && f.Keys() > f.Capacity() && f.Bytes()*filterGrowth <= p.most {
		select {
		case p.full <- struct{}{}:
		default:
		}
	}
	return err
}

// run builds filters until quit is closed.
func (p *presence) run(quit <-chan struct{}) error {
	for {
		if err := p.build(quit, true); err != nil {
			return err
		}
		select {
		case <-quit:
			return nil
		case <-p.full:
		}
	}
}

// build makes the next filter: the smallest that is not full when the scan ends.
// polite leaves half of a processor to others.
func (p *presence) build(quit <-chan struct{}, polite bool) error {
	p.building.Lock()
	defer p.building.Unlock()
	size := p.first
	if f := p.filter.Load(); f != nil {
		if size = f.Bytes() * filterGrowth; size > p.most || f.Keys() <= f.Capacity() {
			return nil
		}
	}
	for ; size <= p.most; size *= filterGrowth {
		next := keyfilter.New(size)
		p.mu.Lock()
		p.next = next
		p.mu.Unlock()
		limit := next.Capacity()
		if size*filterGrowth > p.most {
			limit *= filterOverload
		}
		done, err := p.scan(next, limit, quit, polite)
		p.mu.Lock()
		p.next = nil
		if done {
			p.filter.Store(next)
		}
		p.mu.Unlock()
		if done || err != nil {
			return err
		}
	}
	return nil
}

// scan adds every key of the store to f. It is not done when that are too many, or
// when quit is closed.
func (p *presence) scan(f *keyfilter.Filter, limit int64, quit <-chan struct{}, polite bool) (done bool, err error) {
	var from []byte
	for {
		it, err := p.s.NewIterator(base.Span{Start: from})
		if err != nil {
			return false, err
		}
		n, began := 0, time.Now()
		ok := it.First()
		for ; ok && n < scanPart; ok = it.Next() {
			f.Add(keyfilter.Hash(it.Key()))
			if n++; n%scanKeys != 0 {
				continue
			}
			select {
			case <-quit:
				return false, it.Close()
			default:
			}
			if polite {
				time.Sleep(time.Since(began))
				began = time.Now()
			}
		}
		if ok {
			from = bytes.Clone(it.Key())
		}
		if err := it.Close(); err != nil {
			return false, err
		}
		if !ok || f.Keys() > limit {
			return f.Keys() <= limit, nil
		}
	}
}

package raftlog

import "github.com/cockroachdb/errors"

// Flush makes everything durable that was appended before the call. Concurrent
// callers share one write and one sync: while one of them flushes, what the
// others have appended gathers in the next flush, and the first of them to wake
// does it for all.
//
// An error is final: every later call returns it, because after a failed sync
// nobody knows what is on disk.
func (l *Log) Flush() error {
	err := l.flushPending()
	if l.opts.Inline && err == nil {
		l.maintainInline()
	}
	return err
}

func (l *Log) flushPending() error {
	l.mu.Lock()
	target := l.mu.flush
	if len(l.mu.pending.buf) == 0 {
		target--
	}
	for l.mu.durable < target && l.mu.err == nil {
		if l.mu.flushing {
			l.mu.flushed[target&1].Wait()
			continue
		}
		l.flushLocked()
	}
	err := l.mu.err
	l.mu.Unlock()
	return err
}

// flushLocked takes the pending buffer and writes it. It gives up the lock
// meanwhile.
func (l *Log) flushLocked() {
	b := l.mu.pending
	l.finishBufferLocked(b)
	number := l.mu.flush
	l.mu.flush++
	l.mu.pending, l.mu.writing = l.mu.writing, nil
	l.mu.flushing = true
	l.mu.Unlock()

	err := b.write()
	written := int64(len(b.buf))
	b.reset()

	l.mu.Lock()
	l.mu.writing = b
	l.mu.flushing = false
	if err != nil {
		l.failLocked(err)
		return
	}
	l.mu.durable = number
	l.mu.stats.bytesWritten += written
	l.mu.stats.flushes++
	l.mu.cache.evict(number)
	l.mu.flushed[number&1].Broadcast()
	// Those who wait for the next flush: one of them does it.
	l.mu.flushed[(number+1)&1].Signal()
	if l.collectDueLocked() {
		l.worker.kick()
	}
}

// finishBufferLocked flags the last record of the flush. Its checksums, and with
// them the chain, change.
func (l *Log) finishBufferLocked(b *flushBuffer) {
	hdr := b.buf[b.last : b.last+headerLen]
	hdr[flagsOffset] |= flagLastOfFlush
	seg := b.chunks[len(b.chunks)-1].seg
	l.mu.chain = sealHeader(hdr, seg.seed, b.lastAt, l.mu.prevChain)
}

// write puts the chunks into their files and syncs these.
func (b *flushBuffer) write() error {
	for i, c := range b.chunks {
		end := len(b.buf)
		if i+1 < len(b.chunks) {
			end = b.chunks[i+1].start
		}
		if _, err := c.seg.file.WriteAt(b.buf[c.start:end], c.off); err != nil {
			return errors.Wrapf(err, "raftlog: writing %s", c.seg.path)
		}
	}
	for _, c := range b.chunks {
		if err := c.seg.file.SyncData(); err != nil {
			return errors.Wrapf(err, "raftlog: syncing %s", c.seg.path)
		}
	}
	return nil
}

// failLocked makes err sticky, wakes everybody and tells the owner. It gives up
// the lock meanwhile.
func (l *Log) failLocked(err error) {
	if l.mu.err != nil {
		return
	}
	l.mu.err = err
	l.mu.flushed[0].Broadcast()
	l.mu.flushed[1].Broadcast()
	l.mu.prepared.Broadcast()
	l.mu.released.Broadcast()
	if l.opts.OnFatal != nil {
		l.mu.Unlock()
		l.opts.OnFatal(err)
		l.mu.Lock()
	}
}

// Err is the error that ended the log's life, nil while it is well.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.err
}

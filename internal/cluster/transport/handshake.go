package transport

import (
	"encoding/binary"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

const (
	// protocolVersion is what this binary speaks best, protocolOldest the oldest
	// that it still speaks.
	protocolVersion = 1
	protocolOldest  = 1

	helloBytes   = 8 + 2 + 2 + 4 + 16 + 8 + 16 + 8 + 4
	welcomeBytes = 8 + 2 + 2 + 8 + 16 + 4
)

var (
	helloMagic   = [8]byte{'S', 'T', 'R', 'N', 'O', 'D', 'E', 'H'}
	welcomeMagic = [8]byte{'S', 'T', 'R', 'N', 'O', 'D', 'E', 'W'}
)

// Peer says who is at the other end of a connection.
type Peer struct {
	Node  base.NodeID
	Store base.StoreID
}

// hello is the first thing that a dialler sends: little-endian magic, version,
// oldest version, class (u32), cluster, node, store, expected node, CRC32C.
type hello struct {
	version, oldest uint16
	class           Class
	cluster         [16]byte
	from            Peer
	to              base.NodeID
}

func (h hello) encode() []byte {
	b := append(make([]byte, 0, helloBytes), helloMagic[:]...)
	b = binary.LittleEndian.AppendUint16(b, h.version)
	b = binary.LittleEndian.AppendUint16(b, h.oldest)
	b = binary.LittleEndian.AppendUint32(b, uint32(h.class))
	b = append(b, h.cluster[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.from.Node))
	b = append(b, h.from.Store[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.to))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeHello(b []byte) (h hello, err error) {
	if err := checkGreeting(b, helloMagic); err != nil {
		return h, err
	}
	class := binary.LittleEndian.Uint32(b[12:])
	if class >= classCount {
		return h, errors.Wrapf(ErrProtocol, "a connection of class %d", class)
	}
	h = hello{
		version: binary.LittleEndian.Uint16(b[8:]),
		oldest:  binary.LittleEndian.Uint16(b[10:]),
		class:   Class(class),
		cluster: [16]byte(b[16:32]),
		from:    Peer{Node: base.NodeID(binary.LittleEndian.Uint64(b[32:])), Store: base.StoreID(b[40:56])},
		to:      base.NodeID(binary.LittleEndian.Uint64(b[56:])),
	}
	return h, nil
}

// refusals are the answers to a hello. The numbers are on the wire; zero is a
// welcome.
var refusals = []struct {
	code uint16
	err  error
}{
	{1, ErrForeignCluster},
	{2, ErrWrongNode},
	{3, ErrIncompatible},
	{4, ErrNotAdmitted},
	{5, ErrTooManyConnections},
}

// welcome answers a hello: little-endian magic, version to speak, refusal, node,
// store, CRC32C.
type welcome struct {
	version uint16
	refusal error // one of refusals; nil: the connection is open
	from    Peer
}

func (w welcome) encode() []byte {
	var code uint16
	for _, r := range refusals {
		if errors.Is(w.refusal, r.err) {
			code = r.code
		}
	}
	b := append(make([]byte, 0, welcomeBytes), welcomeMagic[:]...)
	b = binary.LittleEndian.AppendUint16(b, w.version)
	b = binary.LittleEndian.AppendUint16(b, code)
	b = binary.LittleEndian.AppendUint64(b, uint64(w.from.Node))
	b = append(b, w.from.Store[:]...)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeWelcome(b []byte) (w welcome, err error) {
	if err := checkGreeting(b, welcomeMagic); err != nil {
		return w, err
	}
	w.version = binary.LittleEndian.Uint16(b[8:])
	w.from = Peer{Node: base.NodeID(binary.LittleEndian.Uint64(b[12:])), Store: base.StoreID(b[20:36])}
	code := binary.LittleEndian.Uint16(b[10:])
	if code == 0 {
		return w, nil
	}
	for _, r := range refusals {
		if r.code == code {
			w.refusal = r.err
			return w, nil
		}
	}
	return w, errors.Wrapf(ErrProtocol, "refused for the unknown reason %d", code)
}

func checkGreeting(b []byte, magic [8]byte) error {
	if [8]byte(b) != magic {
		return errors.Wrap(ErrProtocol, "the peer is not a Strata node")
	}
	end := len(b) - 4
	if crc32.Checksum(b[:end], castagnoli) != binary.LittleEndian.Uint32(b[end:]) {
		return errors.Wrap(ErrDamaged, "greeting fails its checksum")
	}
	return nil
}

// greet is the dialler's part of the handshake: it says who this is and whom it
// looks for.
func greet(rw io.ReadWriter, h hello, admit func(Peer) error) (Peer, error) {
	if _, err := rw.Write(h.encode()); err != nil {
		return Peer{}, errors.Wrap(err, "sending the greeting")
	}
	var b [welcomeBytes]byte
	if _, err := io.ReadFull(rw, b[:]); err != nil {
		return Peer{}, errors.Wrap(err, "waiting for the answer to the greeting")
	}
	w, err := decodeWelcome(b[:])
	switch {
	case err != nil:
		return Peer{}, err
	case w.refusal != nil:
		err := errors.Wrapf(w.refusal, "refused by node %d", w.from.Node)
		if w.from.Node == h.to && errors.Is(err, ErrNotAdmitted) {
			err = errors.Mark(err, errDismissed)
		}
		return w.from, err
	case w.from.Node != h.to:
		return w.from, errors.Wrapf(ErrWrongNode, "node %d answers in place of node %d", w.from.Node, h.to)
	case w.version < h.oldest || w.version > h.version:
		return w.from, errors.Wrapf(ErrIncompatible, "the peer wants version %d", w.version)
	}
	return w.from, admitted(admit, w.from)
}

// receive reads the dialler's hello.
func receive(r io.Reader) (hello, error) {
	var b [helloBytes]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return hello{}, errors.Wrap(err, "waiting for a greeting")
	}
	return decodeHello(b[:])
}

// judge says whether the hello may come in; the error is one of refusals.
func judge(h hello, cluster [16]byte, self base.NodeID, admit func(Peer) error) error {
	switch {
	case h.oldest > protocolVersion || h.version < protocolOldest:
		return errors.Wrapf(ErrIncompatible, "node %d speaks versions %d to %d, this binary %d to %d",
			h.from.Node, h.oldest, h.version, protocolOldest, protocolVersion)
	case h.cluster != cluster:
		return errors.Wrapf(ErrForeignCluster, "node %d of cluster %x", h.from.Node, h.cluster)
	case h.to != self:
		return errors.Wrapf(ErrWrongNode, "node %d looks for node %d, this is node %d", h.from.Node, h.to, self)
	}
	return admitted(admit, h.from)
}

func admitted(admit func(Peer) error, p Peer) error {
	if admit == nil {
		return nil
	}
	if err := admit(p); err != nil {
		return errors.Mark(errors.Wrapf(err, "node %d, store %s", p.Node, p.Store), ErrNotAdmitted)
	}
	return nil
}

// refused reports whether an attempt failed because of who the peer is: dialling
// again soon would not help.
func refused(err error) bool {
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return true
		}
	}
	return false
}

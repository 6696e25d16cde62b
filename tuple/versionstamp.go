package tuple

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strconv"
)

// TransactionVersionBytes is the length of the part of a versionstamp that the
// commit of a transaction fills in.
const TransactionVersionBytes = 10

const versionstampBytes = TransactionVersionBytes + 2

// Versionstamp orders what transactions write: ten bytes that the cluster gives a
// transaction when it commits, and two that the writer chooses to order what it
// writes within it.
type Versionstamp struct {
	// TransactionVersion is all ones as long as it is not known.
	TransactionVersion [TransactionVersionBytes]byte
	// UserVersion orders the versionstamps of one transaction.
	UserVersion uint16
}

var incompleteVersion = [TransactionVersionBytes]byte{
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
}

// IncompleteVersionstamp is a versionstamp to be filled in at the commit.
func IncompleteVersionstamp(userVersion uint16) Versionstamp {
	return Versionstamp{TransactionVersion: incompleteVersion, UserVersion: userVersion}
}

// Complete reports whether the transaction's version is known.
func (v Versionstamp) Complete() bool { return v.TransactionVersion != incompleteVersion }

// Compare orders versionstamps by transaction, then by user version.
func (v Versionstamp) Compare(o Versionstamp) int {
	if c := bytes.Compare(v.TransactionVersion[:], o.TransactionVersion[:]); c != 0 {
		return c
	}
	return min(1, max(-1, int(v.UserVersion)-int(o.UserVersion)))
}

// Bytes is the versionstamp's encoding without its type code.
func (v Versionstamp) Bytes() []byte { return v.append(make([]byte, 0, versionstampBytes)) }

func (v Versionstamp) append(dst []byte) []byte {
	dst = append(dst, v.TransactionVersion[:]...)
	return binary.BigEndian.AppendUint16(dst, v.UserVersion)
}

// String is the transaction's version in hexadecimal and the user version, or
// "incomplete" in place of the former.
func (v Versionstamp) String() string {
	version := "incomplete"
	if v.Complete() {
		version = hex.EncodeToString(v.TransactionVersion[:])
	}
	return "versionstamp(" + version + ", " + strconv.Itoa(int(v.UserVersion)) + ")"
}

package rdb

import "encoding/binary"

// opcodeFunction begins a library in a dump of functions.
const opcodeFunction = 245

// MarshalFunctions is the payload of libraries, as FUNCTION DUMP gives it.
func MarshalFunctions(codes []string) []byte {
	w := writer{}
	for _, code := range codes {
		w.b = append(w.b, opcodeFunction)
		w.string([]byte(code))
	}
	w.b = binary.LittleEndian.AppendUint16(w.b, versionWritten)
	return binary.LittleEndian.AppendUint64(w.b, checksum(w.b))
}

// UnmarshalFunctions reads such a payload. sound is false if it is none, or of a version
// that nobody knows; known is false if there is something else in it.
func UnmarshalFunctions(b []byte) (codes []string, sound, known bool) {
	at := len(b) - trailerBytes
	if at < 0 || binary.LittleEndian.Uint16(b[at:]) > versionMost || binary.LittleEndian.Uint64(b[at+2:]) != checksum(b[:at+2]) {
		return nil, false, false
	}
	r := reader{b: b[:at]}
	for len(r.b) > 0 {
		if r.byte() != opcodeFunction {
			return nil, true, false
		}
		code := r.string()
		if r.err != nil {
			return nil, true, false
		}
		codes = append(codes, string(code))
	}
	return codes, true, true
}

package rdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// fileOf is a file of the given records with its end; a wrong checksum if it is asked for.
func fileOf(version string, body string, sum bool) []byte {
	b := []byte("REDIS" + version + body + "\xff")
	if !sum {
		return append(b, make([]byte, 8)...)
	}
	return binary.LittleEndian.AppendUint64(b, checksum(b))
}

const (
	someAux      = "\xfa\x09redis-ver\x057.0.1\xfa\x05ctime\xc0\x05"
	someSizes    = "\xfe\x02\xfb\x03\x01"
	someString   = "\x00\x01k\x01v"
	someExpiring = "\xfc\x10\x27\x00\x00\x00\x00\x00\x00\xf8\x05\x00\x01e\x01w"
	someSeconds  = "\xfd\x05\x00\x00\x00\xf9\x07\x00\x01s\xc0\x07"
	someFunction = "\xf5\x04code"
	someModule   = "\xf7\x05\x02\x01\x05\x03abc\x00\x07\x01m\x07\x03\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	someSlot     = "\xf4\x01\x02\x03"
)

func read(b []byte) (string, error) {
	f, err := OpenFile(b)
	if err != nil {
		return "", err
	}
	var out []string
	for {
		r, err := f.Next()
		switch {
		case errors.Is(err, io.EOF):
			return strings.Join(append(out, f.Aux()["redis-ver"]), " "), nil
		case err != nil:
			return strings.Join(out, " "), err
		case r.Function != nil:
			out = append(out, "function:"+string(r.Function))
		case r.Module:
			out = append(out, "module:"+string(r.Key))
		default:
			out = append(out, fmt.Sprintf("%d/%s=%s@%d", r.DB, r.Key, r.Value.Text, r.ExpireAt))
		}
	}
}

func TestFile(t *testing.T) {
	body := someAux + someFunction + someModule + someString + someSizes + someSlot + someExpiring + someSeconds
	want := "function:code module:m 0/k=v@0 2/e=w@10000 2/s=7@5000 7.0.1"
	for name, b := range map[string][]byte{"with a checksum": fileOf("0011", body, true), "without": fileOf("0011", body, false), "old": append([]byte("REDIS0003"+body), 0xff)} {
		if got, err := read(b); err != nil || got != want {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	whole := fileOf("0011", body, true)
	for n := range whole {
		if _, err := read(whole[:n]); !errors.Is(err, ErrFile) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	for i := 9; i < len(whole); i++ {
		damaged := append([]byte(nil), whole...)
		damaged[i] ^= 0x10
		if _, err := read(damaged); !errors.Is(err, ErrFile) {
			t.Fatalf("damaged at %d: %v", i, err)
		}
	}
	for _, b := range []string{"REDIS0099", "REDIS00x1", "RADIS0011", "REDIS0000"} {
		if _, err := OpenFile([]byte(b + "\xff")); !errors.Is(err, ErrFile) {
			t.Errorf("%s: %v", b, err)
		}
	}
}

// TestFilePayload: what was read of a file is what RESTORE reads.
func TestFilePayload(t *testing.T) {
	f, err := OpenFile(fileOf("0011", someString, true))
	if err != nil {
		t.Fatal(err)
	}
	r, err := f.Next()
	if err != nil {
		t.Fatal(err)
	}
	v, sound, err := Unmarshal(r.Payload())
	if err != nil || !sound || string(v.Text) != "v" {
		t.Errorf("%+v %v %v", v, sound, err)
	}
}

// FuzzFile: no file makes it fail in another way than with an error.
func FuzzFile(f *testing.F) {
	f.Add(fileOf("0011", someAux+someFunction+someModule+someString+someSizes+someSlot+someExpiring+someSeconds, true))
	f.Add(fileOf("0003", someString, false))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := OpenFile(b)
		for err == nil {
			var r Record
			if r, err = file.Next(); err == nil && r.Function == nil && !r.Module {
				if _, sound, err := Unmarshal(r.Payload()); !sound || err != nil {
					t.Fatalf("the payload of %q: %v %v", r.Key, sound, err)
				}
			}
		}
	})
}

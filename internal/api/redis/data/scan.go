package data

import (
	"bytes"
	"strconv"

	"github.com/stratadb/strata/internal/api/redis/command"
	model "github.com/stratadb/strata/internal/model/redis"
)

// Scans are their commands.
func Scans() []Command {
	return []Command{
		{Name: "scan", Summary: "Iterates over the key names in the database.", Since: "2.8.0", Group: command.GroupGeneric, Arity: -2,
			Flags: command.FlagReadonly, Handler: scanCommand},
	}
}

// noType is a type that no key has: what SCAN's TYPE means with an unknown name.
const noType model.Type = 0xFF

// scanOptions are the options of SCAN and its kin.
type scanOptions struct {
	model.ScanOptions
	withType, noValues bool
}

// parseScan reads the cursor at args[at] and the options behind it.
func parseScan(args [][]byte, at int) (cursor uint64, o scanOptions, err error) {
	cursor, perr := strconv.ParseUint(string(args[at]), 10, 64)
	if perr != nil {
		return 0, o, model.ErrCursor
	}
	for i := at + 1; i < len(args); i++ {
		more := i+1 < len(args)
		switch a := args[i]; {
		case command.Is(a, "count") && more:
			i++
			n, err := command.ParseInt(args[i])
			if err != nil {
				return 0, o, err
			}
			if n < 1 {
				return 0, o, command.ErrSyntax
			}
			o.Count = int(min(n, model.ScanCountMax))
		case command.Is(a, "match") && more:
			i++
			o.Match = args[i]
			if len(o.Match) == 1 && o.Match[0] == '*' {
				o.Match = nil
			}
		case command.Is(a, "type") && more:
			i++
			o.withType = true
			kind, ok := model.TypeByName(string(bytes.ToLower(command.Truncated(args[i], command.NameMaxBytes))))
			if !ok || kind == model.TypeNone {
				kind = noType
			}
			o.Type = kind
		case command.Is(a, "novalues"):
			o.noValues = true
		default:
			return 0, o, command.ErrSyntax
		}
	}
	return cursor, o, nil
}

// memberScan reads the arguments of SSCAN and ZSCAN.
func memberScan(args [][]byte) (cursor uint64, o model.ScanOptions, err error) {
	cursor, all, err := parseScan(args, 2)
	if err == nil && (all.withType || all.noValues) {
		err = command.ErrSyntax
	}
	return cursor, all.ScanOptions, err
}

// Cursor writes a cursor, which is a string of digits.
func (c *Call) Cursor(n uint64) {
	var digits [20]byte
	c.W.Bulk(strconv.AppendUint(digits[:0], n, 10))
}

func scanCommand(c *Call) error {
	cursor, o, err := parseScan(c.Args, 1)
	if err != nil {
		return err
	}
	if o.noValues {
		return command.Error("ERR NOVALUES option can only be used in HSCAN")
	}
	next, keys, err := model.Scan(c.Txn, c.DB, cursor, o.ScanOptions, c.Bytes[:0])
	if err != nil {
		return err
	}
	c.Bytes = keys
	c.W.Array(2)
	c.Cursor(next)
	c.W.Array(len(keys))
	for _, k := range keys {
		c.W.Bulk(k)
	}
	return nil
}

package script

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/stratadb/strata/internal/script/lua"
)

// bits32 is what the library bit makes of a number: its whole part modulo 2^32.
func bits32(f float64) uint32 { return uint32(math.Float64bits(f + 6755399441055744.0)) }

func bitArg(c *lua.Call, i int) uint32 { return bits32(c.Number(i)) }

func pushBits(c *lua.Call, n uint32) { c.Push(lua.Number(float64(int32(n)))) }

func (m *machine) openBit() {
	t := lua.NewTable(0, 16)
	fold := func(op func(a, b uint32) uint32) lua.Native {
		return func(c *lua.Call) {
			n := bitArg(c, 0)
			for i := 1; i < c.Len(); i++ {
				n = op(n, bitArg(c, i))
			}
			pushBits(c, n)
		}
	}
	shift := func(op func(a uint32, n int) uint32) lua.Native {
		return func(c *lua.Call) { pushBits(c, op(bitArg(c, 0), int(bitArg(c, 1)&31))) }
	}
	m.st.Register(t, map[string]lua.Native{
		"tobit":   func(c *lua.Call) { pushBits(c, bitArg(c, 0)) },
		"bnot":    func(c *lua.Call) { pushBits(c, ^bitArg(c, 0)) },
		"band":    fold(func(a, b uint32) uint32 { return a & b }),
		"bor":     fold(func(a, b uint32) uint32 { return a | b }),
		"bxor":    fold(func(a, b uint32) uint32 { return a ^ b }),
		"lshift":  shift(func(a uint32, n int) uint32 { return a << n }),
		"rshift":  shift(func(a uint32, n int) uint32 { return a >> n }),
		"arshift": shift(func(a uint32, n int) uint32 { return uint32(int32(a) >> n) }),
		"rol":     shift(func(a uint32, n int) uint32 { return bits.RotateLeft32(a, n) }),
		"ror":     shift(func(a uint32, n int) uint32 { return bits.RotateLeft32(a, -n) }),
		"bswap":   func(c *lua.Call) { pushBits(c, bits.ReverseBytes32(bitArg(c, 0))) },
		"tohex": func(c *lua.Call) {
			n, digits := bitArg(c, 0), int32(8)
			if !c.Arg(1).IsNil() {
				digits = int32(bitArg(c, 1))
			}
			format := "%08x"
			if digits < 0 {
				digits, format = -digits, "%08X"
			}
			if digits < 0 || digits > 8 {
				digits = 8
			}
			c.Push(lua.String(fmt.Sprintf(format, n)[8-digits:]))
		},
	})
	m.st.Globals.SetString("bit", lua.TableValue(t))
}

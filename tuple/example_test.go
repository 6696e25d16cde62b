package tuple_test

import (
	"fmt"

	"github.com/stratadb/strata/tuple"
)

func ExampleTuple_Pack() {
	key := tuple.Tuple{"user", 42, []byte{0x00, 0x01}}.Pack()
	fmt.Printf("%x\n", key)

	t, err := tuple.Unpack(key)
	fmt.Println(t, err)
	// Output:
	// 027573657200152a0100ff0100
	// ("user", 42, 0x0001) <nil>
}

func ExampleTuple_Range() {
	begin, end := tuple.Tuple{"user", 42}.Range()
	fmt.Printf("%x\n%x\n", begin, end)
	// Output:
	// 027573657200152a00
	// 027573657200152aff
}

func ExampleCompare() {
	a := tuple.Tuple{"user", -1}
	b := tuple.Tuple{"user", 1, "email"}
	fmt.Println(tuple.Compare(a, b), tuple.Compare(b, b[:2]))
	// Output: -1 1
}

func ExampleTuple_PackWithVersionstamp() {
	log := tuple.Tuple{"log", tuple.IncompleteVersionstamp(0)}
	key, err := log.PackWithVersionstamp(nil)
	fmt.Printf("%x %v\n", key, err)
	// Output: 026c6f670033ffffffffffffffffffff000006000000 <nil>
}

func ExampleAppendString() {
	buffer := make([]byte, 0, 64)
	key := tuple.AppendString(buffer, "user")
	key = tuple.AppendInt(key, 42)
	fmt.Printf("%x\n", key)
	// Output: 027573657200152a
}

func ExampleDecoder() {
	key := tuple.Tuple{"user", 42, tuple.Tuple{"a", nil}}.Pack()
	d := tuple.NewDecoder(key)
	for d.More() {
		switch d.Kind() {
		case tuple.KindString:
			s, _ := d.Text()
			fmt.Println("string", s)
		case tuple.KindInt:
			n, _ := d.Int()
			fmt.Println("integer", n)
		default:
			e, _ := d.Element()
			fmt.Println("other", e)
		}
	}
	// Output:
	// string user
	// integer 42
	// other ("a", nil)
}

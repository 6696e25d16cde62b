package transfer

import (
	"bytes"
	"fmt"
	"slices"
	"sort"
	"strconv"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/rdb"
	"github.com/stratadb/strata/internal/model/redis/stream"
	"github.com/stratadb/strata/internal/wire/resp"
)

// expiryTolerance is by how many milliseconds two servers' times may differ.
const expiryTolerance = 1000

// Compare says how a value differs from that of the same key at another server; "" if it
// does not. What the bytes of DUMP are depends on the server, so that what they mean is
// compared.
func (s *Source) Compare(other *Source, a, b Value) (difference string, err error) {
	d := a.ExpireAt - b.ExpireAt
	switch {
	case a.Found != b.Found:
		return "there is none at one side", nil
	case !a.Found:
		return "", nil
	case (a.ExpireAt == 0) != (b.ExpireAt == 0) || d > expiryTolerance || d < -expiryTolerance:
		return fmt.Sprintf("it expires at %d and %d", a.ExpireAt, b.ExpireAt), nil
	case a.Large || b.Large:
		return s.comparePieces(other, a.Key)
	}
	x, sound, err := rdb.Unmarshal(a.Payload)
	if err != nil || !sound {
		return "", errors.Newf("DUMP %q cannot be read", a.Key)
	}
	y, sound, err := rdb.Unmarshal(b.Payload)
	if err != nil || !sound {
		return "", errors.Newf("DUMP %q cannot be read at the other side", a.Key)
	}
	return differ(&x, &y), nil
}

func differ(x, y *rdb.Value) string {
	if x.Kind != y.Kind {
		return "the types differ"
	}
	if x.Kind != redis.TypeList {
		for _, v := range []*rdb.Value{x, y} {
			slices.SortFunc(v.Elements, bytes.Compare)
			sort.Slice(v.Fields, func(i, j int) bool { return bytes.Compare(v.Fields[i].Field, v.Fields[j].Field) < 0 })
			sort.Slice(v.Scored, func(i, j int) bool { return bytes.Compare(v.Scored[i].Member, v.Scored[j].Member) < 0 })
		}
	}
	switch {
	case !bytes.Equal(x.Text, y.Text), !slices.EqualFunc(x.Elements, y.Elements, bytes.Equal):
		return "the contents differ"
	case len(x.Fields) != len(y.Fields), len(x.Scored) != len(y.Scored):
		return "the lengths differ"
	}
	for i := range x.Fields {
		a, b := &x.Fields[i], &y.Fields[i]
		if !bytes.Equal(a.Field, b.Field) || !bytes.Equal(a.Value, b.Value) || (a.ExpireAt == 0) != (b.ExpireAt == 0) {
			return fmt.Sprintf("field %.40q differs", a.Field)
		}
	}
	for i := range x.Scored {
		if a, b := &x.Scored[i], &y.Scored[i]; !bytes.Equal(a.Member, b.Member) || a.Score != b.Score {
			return fmt.Sprintf("member %.40q differs", a.Member)
		}
	}
	if x.Stream != nil && y.Stream != nil {
		return differStreams(x.Stream, y.Stream)
	}
	return ""
}

func differStreams(x, y *stream.Snapshot) string {
	if x.Last != y.Last || len(x.Items) != len(y.Items) || len(x.Groups) != len(y.Groups) {
		return "the streams differ"
	}
	for i := range x.Items {
		if x.Items[i].ID != y.Items[i].ID || !slices.EqualFunc(x.Items[i].Fields, y.Items[i].Fields, bytes.Equal) {
			return fmt.Sprintf("entry %v differs", x.Items[i].ID)
		}
	}
	for _, v := range []*stream.Snapshot{x, y} {
		sort.Slice(v.Groups, func(i, j int) bool { return bytes.Compare(v.Groups[i].Name, v.Groups[j].Name) < 0 })
	}
	for i := range x.Groups {
		a, b := &x.Groups[i], &y.Groups[i]
		if !bytes.Equal(a.Name, b.Name) || a.Last != b.Last || len(a.Pending) != len(b.Pending) || len(a.Consumers) != len(b.Consumers) {
			return fmt.Sprintf("group %.40q differs", a.Name)
		}
		for j := range a.Pending {
			if p, q := &a.Pending[j], &b.Pending[j]; p.ID != q.ID || !bytes.Equal(p.Consumer, q.Consumer) || p.Times != q.Times {
				return fmt.Sprintf("what is pending in group %.40q differs", a.Name)
			}
		}
	}
	return ""
}

// comparePieces compares large values piece by piece.
func (s *Source) comparePieces(other *Source, key string) (difference string, err error) {
	kinds := [2]resp.Value{}
	for i, side := range []*Source{s, other} {
		if kinds[i], err = side.Do("TYPE", key); err != nil {
			return "", err
		}
	}
	if kinds[0].Text() != kinds[1].Text() {
		return "the types differ", nil
	}
	both := func(args ...string) (same bool, x resp.Value, err error) {
		if x, err = s.Do(args...); err != nil {
			return false, x, err
		}
		y, err := other.Do(args...)
		return err == nil && x.Err() == nil && bytes.Equal(resp.AppendFormat(nil, x), resp.AppendFormat(nil, y)), x, err
	}
	switch kind := kinds[0].Text(); kind {
	case "string", "list":
		return compareRanges(kind, key, both)
	case "stream":
		return compareEntries(key, both)
	case "set", "hash", "zset":
		return s.compareMembers(other, kind, key, both)
	default:
		return "", errors.Wrap(ErrType, kind)
	}
}

type asker = func(args ...string) (same bool, x resp.Value, err error)

func compareRanges(kind, key string, both asker) (string, error) {
	ask, step := "GETRANGE", pieceBytes
	if kind == "list" {
		ask, step = "LRANGE", pieceElements
	}
	for from := 0; ; from += step {
		same, x, err := both(ask, key, strconv.Itoa(from), strconv.Itoa(from+step-1))
		switch {
		case err != nil:
			return "", err
		case !same:
			return fmt.Sprintf("the contents differ from %d on", from), nil
		case len(x.Str) == 0 && len(x.Array) == 0:
			return "", nil
		}
	}
}

func compareEntries(key string, both asker) (string, error) {
	for from := "-"; ; {
		same, x, err := both("XRANGE", key, from, "+", "COUNT", strconv.Itoa(pieceElements))
		if err != nil {
			return "", err
		}
		if !same {
			return "the entries differ from " + from + " on", nil
		}
		if len(x.Array) == 0 {
			break
		}
		from = "(" + x.Array[len(x.Array)-1].Array[0].Text()
	}
	groups, err := both2(both, "XINFO", "GROUPS", key)
	if err != nil {
		return "", err
	}
	for _, g := range groups.Array {
		name, _ := g.Get("name")
		same, _, err := both("XPENDING", key, name.Text())
		if err != nil {
			return "", err
		}
		if !same {
			return "what is pending in group " + name.Text() + " differs", nil
		}
	}
	return "", nil
}

func both2(both asker, args ...string) (resp.Value, error) {
	_, x, err := both(args...)
	return x, err
}

// compareMembers asks the other side for the members of this one.
func (s *Source) compareMembers(other *Source, kind, key string, both asker) (string, error) {
	names := map[string][3]string{"set": {"SCARD", "SSCAN", "SMISMEMBER"}, "hash": {"HLEN", "HSCAN", "HMGET"}, "zset": {"ZCARD", "ZSCAN", "ZMSCORE"}}[kind]
	if same, _, err := both(names[0], key); err != nil || !same {
		return "the lengths differ", err
	}
	per := 2
	if kind == "set" {
		per = 1
	}
	for cursor := "0"; ; {
		v, err := s.Do(names[1], key, cursor, "COUNT", "1000")
		if err != nil || len(v.Array) != 2 {
			return "", errors.CombineErrors(err, v.Err())
		}
		all := v.Array[1].Array
		ask := []string{names[2], key}
		for i := 0; i+per <= len(all); i += per {
			ask = append(ask, string(all[i].Str))
		}
		if len(ask) > 2 {
			there, err := other.Do(ask...)
			if err != nil {
				return "", err
			}
			for i, x := range there.Array {
				if per == 1 && x.Int != 1 || per == 2 && !sameNumber(kind, x.Str, all[2*i+1].Str) {
					return fmt.Sprintf("%.40q differs", all[i*per].Str), nil
				}
			}
		}
		if cursor = v.Array[0].Text(); cursor == "0" {
			return "", nil
		}
	}
}

// sameNumber compares values, and as numbers if they are scores.
func sameNumber(kind string, x, y []byte) bool {
	if bytes.Equal(x, y) || kind != "zset" {
		return bytes.Equal(x, y)
	}
	a, err := strconv.ParseFloat(string(x), 64)
	b, err2 := strconv.ParseFloat(string(y), 64)
	return err == nil && err2 == nil && a == b
}

package data

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/model/redis/geo"
	"github.com/stratadb/strata/internal/model/redis/zset"
	"github.com/stratadb/strata/internal/redisnum"
)

// Geo are the commands on places.
func Geo() []Command {
	const (
		read  = command.FlagReadonly
		write = command.FlagWrite | command.FlagDenyOOM
	)
	old := func(from int) command.Keys { return command.Keys{First: 1, Last: 1, Step: 1, Find: geoKeys(from)} }
	rows := []Command{
		{Name: "geoadd", Summary: "Adds one or more members to a geospatial index. The key is created if it doesn't exist.", Since: "3.2.0", Arity: -5, Flags: write, Keys: command.OneKey,
			Handler: geoaddCommand},
		{Name: "geopos", Summary: "Returns the longitude and latitude of members from a geospatial index.", Since: "3.2.0", Arity: -2, Flags: read, Keys: command.OneKey, Handler: geoposCommand},
		{Name: "geohash", Summary: "Returns members from a geospatial index as geohash strings.", Since: "3.2.0", Arity: -2, Flags: read, Keys: command.OneKey, Handler: geohashCommand},
		{Name: "geodist", Summary: "Returns the distance between two members of a geospatial index.", Since: "3.2.0", Arity: -4, Flags: read, Keys: command.OneKey, Handler: geodistCommand},
		{Name: "geosearch", Summary: "Queries a geospatial index for members inside an area of a box or a circle.", Since: "6.2.0", Arity: -7, Flags: read, Keys: command.OneKey,
			Handler: func(c *Call) error { return c.geosearch(geoForm{at: 1, options: 2, free: true}) }},
		{Name: "geosearchstore", Summary: "Queries a geospatial index for members inside an area of a box or a circle, optionally stores the result.", Since: "6.2.0", Arity: -8, Flags: write,
			Keys: command.TwoKeys, Handler: func(c *Call) error { return c.geosearch(geoForm{at: 2, options: 3, free: true, store: true}) }},
		{Name: "georadius", Summary: "Queries a geospatial index for members within a distance from a coordinate, optionally stores the result.", Since: "3.2.0", Arity: -6,
			Flags: write | command.FlagMovableKeys, Keys: old(6), Handler: func(c *Call) error { return c.geosearch(geoForm{at: 1, options: 6, store: true}) }},
		{Name: "georadius_ro", Summary: "Returns members from a geospatial index that are within a distance from a coordinate.", Since: "3.2.10", Arity: -6, Flags: read, Keys: command.OneKey,
			Handler: func(c *Call) error { return c.geosearch(geoForm{at: 1, options: 6}) }},
		{Name: "georadiusbymember", Summary: "Queries a geospatial index for members within a distance from a member, optionally stores the result.", Since: "3.2.0", Arity: -5,
			Flags: write | command.FlagMovableKeys, Keys: old(5), Handler: func(c *Call) error { return c.geosearch(geoForm{at: 1, options: 5, member: true, store: true}) }},
		{Name: "georadiusbymember_ro", Summary: "Returns members from a geospatial index that are within a distance from a member.", Since: "3.2.10", Arity: -5, Flags: read, Keys: command.OneKey,
			Handler: func(c *Call) error { return c.geosearch(geoForm{at: 1, options: 5, member: true}) }},
	}
	for i := range rows {
		rows[i].Group = command.GroupGeo
	}
	return rows
}

// geoKeys finds the keys of GEORADIUS: the first one, and the one that it stores to.
func geoKeys(options int) func(args [][]byte) []int {
	return func(args [][]byte) []int {
		if len(args) < 2 {
			return nil
		}
		keys := []int{1}
		for _, word := range []string{"store", "storedist"} {
			for i := options; i+1 < len(args); i++ {
				if command.Is(args[i], word) {
					keys = append(keys, i+1)
					break
				}
			}
		}
		return keys
	}
}

// geoFloat reads a number; refusal says what is wrong with it.
func geoFloat(arg []byte, refusal command.Error) (float64, error) {
	f, ok := redisnum.ParseFloat(arg)
	if !ok {
		return 0, refusal
	}
	return f, nil
}

const errNotFloat command.Error = "ERR value is not a valid float"

// geoPoint reads a longitude and a latitude.
func geoPoint(lon, lat []byte) (p geo.Point, err error) {
	if p.Lon, err = geoFloat(lon, errNotFloat); err != nil {
		return p, err
	}
	if p.Lat, err = geoFloat(lat, errNotFloat); err != nil {
		return p, err
	}
	if !p.Valid() {
		text := fmt.Sprintf("ERR invalid longitude,latitude pair %f,%f", p.Lon, p.Lat)
		return p, command.Error(strings.ReplaceAll(strings.ReplaceAll(text, "+Inf", "inf"), "-Inf", "-inf"))
	}
	return p, nil
}

// geoUnit is how many meters a unit has.
func geoUnit(arg []byte) (float64, error) {
	switch {
	case command.Is(arg, "m"):
		return 1, nil
	case command.Is(arg, "km"):
		return 1000, nil
	case command.Is(arg, "ft"):
		return 0.3048, nil
	case command.Is(arg, "mi"):
		return 1609.34, nil
	}
	return 0, command.Error("ERR unsupported unit provided. please use M, KM, FT, MI")
}

func geoaddCommand(c *Call) error {
	var o zset.AddOptions
	changed := false
	at := 2
	for ; at < len(c.Args); at++ {
		if command.Is(c.Args[at], "nx") {
			o.OnlyNew = true
		} else if command.Is(c.Args[at], "xx") {
			o.OnlyOld = true
		} else if command.Is(c.Args[at], "ch") {
			changed = true
		} else {
			break
		}
	}
	args := c.Args[at:]
	if len(args) == 0 || len(args)%3 != 0 || o.OnlyNew && o.OnlyOld {
		return command.ErrSyntax
	}
	members := c.Scored[:0]
	for ; len(args) > 0; args = args[3:] {
		p, err := geoPoint(args[0], args[1])
		if err != nil {
			return err
		}
		members = append(members, zset.Scored{Member: args[2], Score: geo.Score(p)})
	}
	c.Scored = members
	r, err := zset.Add(c.Txn, c.DB, c.Args[1], members, o)
	if changed {
		r.Added += r.Updated
	}
	return c.Integer(r.Added, err)
}

// coordinate writes a number as Redis writes a long double.
func (c *Call) coordinate(f float64) {
	text := strings.TrimRight(strconv.FormatFloat(f, 'f', 17, 64), "0")
	text = strings.TrimSuffix(text, ".")
	if text == "-0" {
		text = "0"
	}
	if c.W.Proto >= 3 {
		c.W.Raw([]byte("," + text + "\r\n"))
		return
	}
	c.W.BulkString(text)
}

func (c *Call) point(p geo.Point) {
	c.W.Array(2)
	c.coordinate(p.Lon)
	c.coordinate(p.Lat)
}

// distance writes a distance with four digits behind the point.
func (c *Call) distance(d float64) {
	var text [64]byte
	c.W.Bulk(strconv.AppendFloat(text[:0], d, 'f', 4, 64))
}

// places finds the scores of members; NaN for one that is absent.
func (c *Call) places(members [][]byte) ([]float64, error) {
	return zset.MScore(c.Txn, c.DB, c.Args[1], members, nil)
}

// eachPlace replies for each member that is named: none for one that is absent.
func (c *Call) eachPlace(none func(), place func(score float64)) error {
	scores, err := c.places(c.Args[2:])
	if err != nil {
		return err
	}
	c.W.Array(len(scores))
	for _, s := range scores {
		if math.IsNaN(s) {
			none()
		} else {
			place(s)
		}
	}
	return nil
}

func geoposCommand(c *Call) error {
	return c.eachPlace(c.W.NullArray, func(s float64) { c.point(geo.At(s)) })
}

func geohashCommand(c *Call) error {
	return c.eachPlace(c.W.Null, func(s float64) { c.W.Bulk(geo.Hash(s)) })
}

func geodistCommand(c *Call) error {
	unit := 1.0
	if len(c.Args) > 5 {
		return command.ErrSyntax
	}
	if len(c.Args) == 5 {
		var err error
		if unit, err = geoUnit(c.Args[4]); err != nil {
			return err
		}
	}
	scores, err := c.places(c.Args[2:4])
	if err != nil {
		return err
	}
	if math.IsNaN(scores[0]) || math.IsNaN(scores[1]) {
		c.W.Null()
		return nil
	}
	c.distance(geo.Distance(geo.At(scores[0]), geo.At(scores[1])) / unit)
	return nil
}

// geoForm is what a command's arguments look like: at is where its key is, options where its
// options begin; free ones say where the search begins, too.
type geoForm struct {
	at, options         int
	free, member, store bool
}

// geoSearch is a search as its command's arguments tell it.
type geoSearch struct {
	geo.SearchOptions
	c                               *Call
	form                            geoForm
	key                             []byte
	found                           bool // the key
	withDist, withHash, withCoord   bool
	fromMember, fromPoint, box, cir bool
	to                              []byte
	distances                       bool
}

// geosearch is GEOSEARCH and all like it.
func (c *Call) geosearch(form geoForm) error {
	s := geoSearch{c: c, form: form, key: c.Args[form.at]}
	n, err := zset.Card(c.Txn, c.DB, s.key)
	if err != nil {
		return err
	}
	s.found = n > 0
	if err := s.begin(); err != nil {
		return err
	}
	for args := c.Args[form.options:]; len(args) > 0; {
		used, err := s.option(args)
		if err != nil {
			return err
		}
		args = args[used:]
	}
	if err := s.check(); err != nil {
		return err
	}
	if s.to != nil {
		event := "georadiusstore"
		if form.free {
			event = "geosearchstore"
		}
		if !s.found {
			n, err := zset.Replace(c.Txn, c.DB, s.to, nil, event)
			return c.Integer(n, err)
		}
		return c.Integer(geo.Store(c.Txn, c.DB, s.to, s.key, s.SearchOptions, s.distances, event))
	}
	if !s.found {
		c.W.Array(0)
		return nil
	}
	all, err := geo.Search(c.Txn, c.DB, s.key, s.SearchOptions)
	if err == nil {
		s.reply(all)
	}
	return err
}

// begin reads what precedes the options.
func (s *geoSearch) begin() (err error) {
	args := s.c.Args
	switch {
	case s.form.free && s.form.store:
		s.to = args[1]
	case s.form.free:
	case !s.form.member:
		if s.Shape.Center, err = geoPoint(args[2], args[3]); err == nil {
			err = s.radius(args[4], args[5])
		}
	case s.found:
		if err = s.place(args[2]); err == nil {
			err = s.radius(args[3], args[4])
		}
	}
	return err
}

// place makes a member the middle.
func (s *geoSearch) place(member []byte) error {
	score, found, err := zset.Score(s.c.Txn, s.c.DB, s.key, member)
	if err == nil && !found {
		err = command.Error("ERR could not decode requested zset member")
	}
	s.Shape.Center = geo.At(score)
	return err
}

func (s *geoSearch) radius(radius, unit []byte) (err error) {
	if s.Shape.Radius, err = geoFloat(radius, "ERR need numeric radius"); err != nil {
		return err
	}
	if s.Shape.Radius < 0 {
		return command.Error("ERR radius cannot be negative")
	}
	s.Shape.Unit, err = geoUnit(unit)
	return err
}

func (s *geoSearch) rectangle(width, height, unit []byte) (err error) {
	if s.Shape.Width, err = geoFloat(width, "ERR need numeric width"); err != nil {
		return err
	}
	if s.Shape.Height, err = geoFloat(height, "ERR need numeric height"); err != nil {
		return err
	}
	if s.Shape.Width < 0 || s.Shape.Height < 0 {
		return command.Error("ERR height or width cannot be negative")
	}
	s.Shape.Box = true
	s.Shape.Unit, err = geoUnit(unit)
	return err
}

// option reads an option; used is how many arguments it takes.
func (s *geoSearch) option(args [][]byte) (used int, err error) {
	arg, more := args[0], len(args)-1
	switch {
	case command.Is(arg, "withdist"):
		s.withDist = true
	case command.Is(arg, "withhash"):
		s.withHash = true
	case command.Is(arg, "withcoord"):
		s.withCoord = true
	case command.Is(arg, "any"):
		s.Any = true
	case command.Is(arg, "asc"):
		s.Order = geo.Nearest
	case command.Is(arg, "desc"):
		s.Order = geo.Farthest
	case command.Is(arg, "count") && more > 0:
		if s.Count, err = command.ParseInt(args[1]); err == nil && s.Count <= 0 {
			err = command.Error("ERR COUNT must be > 0")
		}
		return 2, err
	case s.form.free:
		return s.freeOption(args)
	case s.form.store && more > 0 && (command.Is(arg, "store") || command.Is(arg, "storedist")):
		s.to, s.distances = args[1], command.Is(arg, "storedist")
		return 2, nil
	default:
		return 0, command.ErrSyntax
	}
	return 1, nil
}

// freeOption reads an option of GEOSEARCH and GEOSEARCHSTORE.
func (s *geoSearch) freeOption(args [][]byte) (used int, err error) {
	arg, more := args[0], len(args)-1
	switch {
	case command.Is(arg, "storedist") && s.form.store:
		s.distances = true
		return 1, nil
	case command.Is(arg, "frommember") && more > 0 && !s.fromPoint:
		s.fromMember = true
		if !s.found {
			return 2, nil
		}
		return 2, s.place(args[1])
	case command.Is(arg, "fromlonlat") && more > 1 && !s.fromMember:
		s.fromPoint = true
		s.Shape.Center, err = geoPoint(args[1], args[2])
		return 3, err
	case command.Is(arg, "byradius") && more > 1 && !s.box:
		s.cir = true
		return 3, s.radius(args[1], args[2])
	case command.Is(arg, "bybox") && more > 2 && !s.cir:
		s.box = true
		return 4, s.rectangle(args[1], args[2], args[3])
	}
	return 0, command.ErrSyntax
}

// check finds options that do not go together.
func (s *geoSearch) check() error {
	name := string(s.c.Args[0])
	switch {
	case s.to != nil && (s.withDist || s.withHash || s.withCoord):
		what := "STORE option in GEORADIUS"
		if s.form.free {
			what = "GEOSEARCHSTORE"
		}
		return command.Error("ERR " + what + " is not compatible with WITHDIST, WITHHASH and WITHCOORD options")
	case s.form.free && !s.fromMember && !s.fromPoint:
		return command.Error("ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for " + name)
	case s.form.free && !s.cir && !s.box:
		return command.Error("ERR exactly one of BYRADIUS and BYBOX can be specified for " + name)
	case s.Any && s.Count == 0:
		return command.Error("ERR the ANY argument requires COUNT argument")
	}
	return nil
}

func (s *geoSearch) reply(all []geo.Found) {
	w, parts := s.c.W, 1
	for _, with := range []bool{s.withDist, s.withHash, s.withCoord} {
		if with {
			parts++
		}
	}
	w.Array(len(all))
	for i := range all {
		f := &all[i]
		if parts > 1 {
			w.Array(parts)
		}
		w.Bulk(f.Member)
		if s.withDist {
			s.c.distance(f.Distance)
		}
		if s.withHash {
			w.Int(int64(f.Score))
		}
		if s.withCoord {
			s.c.point(f.Point)
		}
	}
}

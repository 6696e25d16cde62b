package redis

import "testing"

// TestBackgroundExpiryEverywhere shows that keys nobody touches end, in every namespace and
// database: DBSIZE counts what is stored.
func TestBackgroundExpiryEverywhere(t *testing.T) {
	s := start(t, Options{})
	c := s.dial(t)
	c.send("SET k v PX 1\r\nSELECT 3\r\nSET k v PX 1\r\nSET stays v\r\nNAMESPACE CREATE a.b\r\nNAMESPACE USE a.b\r\nSET k v PX 1\r\nHSET h f v\r\nHPEXPIRE h 1 FIELDS 1 f\r\n")
	c.expect(crlf("+OK|+OK|+OK|+OK|+OK|+OK|+OK|:1|*1|:1|"))
	eventually(t, func() bool { return s.stats.expired.Load() >= 4 })
	c.send("DBSIZE\r\nNAMESPACE USE global\r\nSELECT 0\r\nDBSIZE\r\nSELECT 3\r\nDBSIZE\r\n")
	c.expect(crlf(":0|+OK|+OK|:0|+OK|:1|"))
}

package catalog

import (
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// MemberIDBytes is the length of a member's id: hexadecimal digits.
const MemberIDBytes = 40

// MemberStatus is what is known of a member.
type MemberStatus string

// Statuses.
const (
	MemberRunning     MemberStatus = "RUNNING"
	MemberUnavailable MemberStatus = "UNAVAILABLE"
	MemberStopped     MemberStatus = "STOPPED"
	MemberUnknown     MemberStatus = "UNKNOWN"
)

// ParseMemberStatus reads a status in any case.
func ParseMemberStatus(s string) (MemberStatus, bool) {
	switch st := MemberStatus(strings.ToUpper(s)); st {
	case MemberRunning, MemberUnavailable, MemberStopped, MemberUnknown:
		return st, true
	}
	return "", false
}

// ValidMemberID reports whether s can be a member's id.
func ValidMemberID(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == MemberIDBytes && strings.ToLower(s) == s
}

// Address is where a member listens.
type Address struct {
	Host string `json:"host"`
	Port int    `json:"port"`
}

// Member is a member's row.
type Member struct {
	ID        string       `json:"-"`
	Status    MemberStatus `json:"status"`
	ProcessID string       `json:"process_id"`
	External  Address      `json:"external"`
	Internal  Address      `json:"internal"`
}

func memberPrefix() []byte { return []byte{keyspace.Sys, keyspace.SysMember} }

// ReadMember reads a member's row; found is false when there is none.
func ReadMember(t kv.Reader, id string) (m Member, found bool, err error) {
	key := append(memberPrefix(), id...)
	value, err := t.Get(key)
	if err != nil || value == nil {
		return Member{}, false, err
	}
	m, err = decodeMember(key, value)
	return m, err == nil, err
}

func decodeMember(key, value []byte) (Member, error) {
	m := Member{ID: string(key[len(memberPrefix()):])}
	if err := json.Unmarshal(value, &m); err != nil {
		return m, corrupt("member row %q: %v", value, err)
	}
	return m, nil
}

// WriteMember stores a member's row.
func WriteMember(t kv.Txn, m Member) error {
	value, err := json.Marshal(m)
	if err == nil {
		t.Set(append(memberPrefix(), m.ID...), value)
	}
	return err
}

// RemoveMember removes a member's row.
func RemoveMember(t kv.Txn, id string) { t.Clear(append(memberPrefix(), id...)) }

// membersMax bounds how many members are listed.
const membersMax = 10_000

// Members lists the members whose ids begin with prefix.
func Members(t kv.Reader, prefix string) ([]Member, error) {
	return rows(t, append(memberPrefix(), prefix...), membersMax, decodeMember)
}

func settingKey(name string) []byte {
	return append([]byte{keyspace.Sys, keyspace.SysSetting}, name...)
}

// initializedKey says that an operator has initialised the cluster by hand.
func initializedKey() []byte { return settingKey("initialized") }

// Initialize notes that an operator has asked for it, and reports whether it was
// the first time.
func Initialize(t kv.Txn) (first bool, err error) {
	value, err := t.Get(initializedKey())
	if err == nil && value == nil {
		t.Set(initializedKey(), []byte{1})
	}
	return value == nil, err
}

// DropCluster forgets members, routes, statuses and the initialisation. Data and
// namespaces stay.
func DropCluster(t kv.Txn) {
	ClearShards(t)
	t.ClearRange(base.PrefixSpan(memberPrefix()))
	t.Clear(initializedKey())
}

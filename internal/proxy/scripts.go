package proxy

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"
	"sync"

	"github.com/stratadb/strata/internal/limits"
)

// scripts remembers the texts behind the digests of EVALSHA, which the side that follows may
// not know. The oldest one is forgotten first.
type scripts struct {
	mu    sync.Mutex
	texts map[string]string
	order []string
	bytes int
}

func newScripts() *scripts { return &scripts{texts: map[string]string{}} }

// learn remembers a script and answers its digest.
func (s *scripts) learn(text []byte) string {
	sum := sha1.Sum(text)
	sha := hex.EncodeToString(sum[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.texts[sha]; known || len(text) > limits.ProxyScriptBytes {
		return sha
	}
	for len(s.order) > 0 && (len(s.order) >= limits.ProxyScripts || s.bytes+len(text) > limits.ProxyScriptBytes) {
		s.bytes -= len(s.texts[s.order[0]])
		delete(s.texts, s.order[0])
		s.order = s.order[1:]
	}
	s.texts[sha] = string(text)
	s.order = append(s.order, sha)
	s.bytes += len(text)
	return sha
}

func (s *scripts) text(sha string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, ok := s.texts[strings.ToLower(sha)]
	return text, ok
}

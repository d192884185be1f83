package main

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// A storm as a prefix that S3 has yet to split sees it: for some seconds few
// requests are admitted, whoever sends more is told to slow down, and then all
// are.
const (
	stormLasts = 5 * time.Second
	stormRate  = 50 // requests a second
)

// storm refuses requests beyond a rate, from the first one on until it has lasted.
type storm struct {
	lasts time.Duration
	rate  float64 // requests a second that are admitted, evenly

	mu       sync.Mutex
	began    time.Time
	admitted int
	refused  int64
}

func (s *storm) admits(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began.IsZero() {
		s.began = now
	}
	since := now.Sub(s.began)
	if since >= s.lasts {
		return true
	}
	if float64(s.admitted) > s.rate*since.Seconds() {
		s.refused++
		return false
	}
	s.admitted++
	return true
}

// end returns how many requests were refused, and lets the next one begin
// another storm.
func (s *storm) end() (refused int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	refused = s.refused
	s.began, s.admitted, s.refused = time.Time{}, 0, 0
	return refused
}

// slowDown answers as S3 does.
func slowDown(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusServiceUnavailable)
	io.WriteString(w, "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
}

package main

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestStormAdmitsFew evenly, then all, and begins anew when it was ended.
func TestStormAdmitsFew(t *testing.T) {
	s := &storm{lasts: 5 * time.Second, rate: 50}
	now := time.Now()
	for range 2 {
		seconds := make([]int, 7)
		for i := range 7 * 1000 { // a request a millisecond
			if s.admits(now) {
				seconds[i/1000]++
			}
			now = now.Add(time.Millisecond)
		}
		for i, n := range seconds {
			if want := 50; i < 5 && (n < want || n > want+1) || i >= 5 && n != 1000 {
				t.Errorf("%d requests were admitted in second %d", n, i)
			}
		}
		if n := s.end(); n < 5*949 || n > 5*950 {
			t.Errorf("%d requests were refused", n)
		}
	}
}

// TestRefusalIsS3s: a 503 that every client knows, and the body counts for nothing.
func TestRefusalIsS3s(t *testing.T) {
	sink := &nullS3{storm: &storm{lasts: time.Hour, admitted: 1}}
	r := httptest.NewRecorder()
	sink.ServeHTTP(r, httptest.NewRequest("PUT", "/bench/a", strings.NewReader("text")))
	if r.Code != 503 || !strings.Contains(r.Body.String(), "<Code>SlowDown</Code>") {
		t.Errorf("got %d %s", r.Code, r.Body)
	}
	if a := sink.account(); a.Bytes != 0 {
		t.Errorf("%d bytes were received", a.Bytes)
	}
}

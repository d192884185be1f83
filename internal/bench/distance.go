package main

import (
	"net"
	"time"
)

// What S3 is like from afar. Its own advice is one connection for each
// 85 to 90 MB/s.
const (
	distantDelay = 30 * time.Millisecond
	distantRate  = 90e6
)

// pacedListener accepts connections that are read at rate bytes a second at most.
type pacedListener struct {
	net.Listener
	rate float64
}

func (l *pacedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &pacedConn{Conn: c, pace: pace{rate: l.rate}}, nil
}

// pacedConn is read by one goroutine at a time, as net/http's server does.
type pacedConn struct {
	net.Conn
	pace pace
}

func (c *pacedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.pace.wait(n)
	return n, err
}

// pace is a token bucket.
type pace struct {
	rate float64   // bytes a second
	free time.Time // when all that was read will have had its time
}

const (
	shortestWait = 5 * time.Millisecond  // more sleeps would take the processor from who is measured
	burst        = 10 * time.Millisecond // of the rate, made up for after a rest or a long sleep
)

// wait lets the time pass that n bytes take.
func (p *pace) wait(n int) {
	now := time.Now()
	if earliest := now.Add(-burst); p.free.Before(earliest) {
		p.free = earliest
	}
	p.free = p.free.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
	if wait := p.free.Sub(now); wait >= shortestWait {
		time.Sleep(wait)
	}
}

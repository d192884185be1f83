package servers

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

const (
	startTries   = 3                // another program may take the port between its choice and its use
	startTimeout = 60 * time.Second // ready within a second on an idle machine
	pollInterval = 20 * time.Millisecond
)

// process is a server's process, and the URL at which it says that it is ready.
type process struct {
	cmd    *exec.Cmd
	health string
	log    logBuffer
	exited chan struct{} // closed when the process has ended
}

// start runs the process that describe returns for a free loopback address, and waits until it is ready.
// It is killed when the test ends, and its log is shown if the test failed.
func start(t testing.TB, client *http.Client, describe func(addr string) (cmd *exec.Cmd, health string)) (addr string) {
	t.Helper()
	var err error
	for range startTries {
		addr = freeAddr(t)
		cmd, health := describe(addr)
		p := &process{cmd: cmd, health: health, exited: make(chan struct{})}
		if err = p.run(client); err == nil {
			t.Cleanup(func() { p.stop(t) })
			return addr
		}
	}
	t.Fatal(err)
	return ""
}

// run returns when the process is ready; if it never is, the process has ended.
func (p *process) run(client *http.Client) error {
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = p.cmd.Wait() // killed, in the normal case
		close(p.exited)
	}()
	if err := p.waitReady(client); err != nil {
		p.kill()
		return fmt.Errorf("%s: %w\n%s", p.cmd.Path, err, p.log.String())
	}
	return nil
}

func (p *process) waitReady(client *http.Client) error {
	deadline := time.After(startTimeout)
	poll := time.NewTicker(pollInterval)
	defer poll.Stop()
	for {
		if healthy(client, p.health) {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("ended before it was ready: %s", p.cmd.ProcessState)
		case <-deadline:
			return fmt.Errorf("not ready after %s", startTimeout)
		case <-poll.C:
		}
	}
}

func healthy(client *http.Client, url string) bool {
	resp, err := client.Get(url)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.exited
}

func (p *process) stop(t testing.TB) {
	p.kill()
	if t.Failed() {
		t.Logf("log of %s:\n%s", p.cmd.Path, p.log.String())
	}
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// shortTempDir is a temporary folder with a name short enough for a Unix socket in it, which t.TempDir's is not.
func shortTempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// logBuffer keeps the first and the last of what a process says.
type logBuffer struct {
	mu      sync.Mutex
	head    bytes.Buffer
	tail    []byte
	dropped bool
}

const logHalf = 16 << 10

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rest := p
	if room := logHalf - b.head.Len(); room > 0 {
		n := min(room, len(rest))
		b.head.Write(rest[:n])
		rest = rest[n:]
	}
	b.tail = append(b.tail, rest...)
	if extra := len(b.tail) - logHalf; extra > 0 {
		b.tail = append(b.tail[:0], b.tail[extra:]...)
		b.dropped = true
	}
	return len(p), nil
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	gap := ""
	if b.dropped {
		gap = "\n…\n"
	}
	return b.head.String() + gap + string(b.tail)
}

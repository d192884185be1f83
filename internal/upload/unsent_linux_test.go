package upload

import (
	"net"
	"syscall"
	"testing"
	"unsafe"
)

// A server that reads nothing is sent as much as it has room for; behind that, little more
// than mostUnsent waits in the system's memory.
func TestLittleIsUnsent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := dialPlain(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.(*plainConn).Conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	chunk := make([]byte, 16<<10)
	const siocOutQNSD = 0x894b // bytes that were not sent yet
	taken, unsent := 0, int32(0)
	var asked syscall.Errno
	err = raw.Write(func(fd uintptr) bool {
		for {
			n, err := syscall.Write(int(fd), chunk)
			if err == syscall.EINTR {
				continue
			}
			if err == syscall.EAGAIN {
				break // it takes no more
			}
			if err != nil {
				t.Error(err)
				return true
			}
			taken += n
		}
		_, _, asked = syscall.Syscall(syscall.SYS_IOCTL, fd, siocOutQNSD, uintptr(unsafe.Pointer(&unsent)))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	if asked != 0 {
		t.Skipf("this system does not say what it has not sent: %v", asked)
	}
	t.Logf("%d KiB taken, %d not sent", taken>>10, unsent>>10)
	const packet = 64 << 10 // is filled up
	if unsent == 0 || unsent > mostUnsent+packet {
		t.Errorf("%d KiB wait to be sent, of %d taken; want %d at most", unsent>>10, taken>>10, (mostUnsent+packet)>>10)
	}
}

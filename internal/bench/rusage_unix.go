//go:build unix

package main

import (
	"runtime"
	"syscall"
	"time"
)

// cpuTime returns the CPU time this process and the children it has waited for
// have taken so far.
func cpuTime() (t time.Duration) {
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var r syscall.Rusage
		if err := syscall.Getrusage(who, &r); err != nil {
			return 0
		}
		t += time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	return t
}

// childRSS returns the highest RSS of a child that was waited for.
func childRSS() int64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &r); err != nil || runtime.GOOS != "linux" {
		return 0
	}
	return int64(r.Maxrss) << 10
}

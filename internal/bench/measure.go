package main

import (
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"github.com/seed149ec23d/s3writer/internal/upload"
)

// usage is what a piece of work took.
type usage struct {
	Elapsed    time.Duration `json:"elapsed"`
	CPU        time.Duration `json:"cpu"`      // user and system, of the whole process and its children
	PeakHeap   int64         `json:"peakHeap"` // objects, living and not yet swept
	PeakTotal  int64         `json:"peakTotal"`
	PeakRSS    int64         `json:"peakRSS"` // of the process, or a larger child's; 0 where the system does not tell
	Allocs     int64         `json:"allocs"`
	AllocBytes int64         `json:"allocBytes"`
	GCs        int64         `json:"gcs"`
}

// sampleEvery is how often the heap is looked at. One look costs some
// microseconds.
const sampleEvery = 2 * time.Millisecond

// measure runs work and tells what it took.
func measure(work func() error) (usage, error) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	peak := watchHeap()
	cpu, start := cpuTime(), time.Now()

	err := work()

	u := usage{Elapsed: time.Since(start), CPU: cpuTime() - cpu}
	u.PeakHeap, u.PeakTotal = peak()
	runtime.ReadMemStats(&after)
	u.Allocs = int64(after.Mallocs - before.Mallocs)
	u.AllocBytes = int64(after.TotalAlloc - before.TotalAlloc)
	u.GCs = int64(after.NumGC - before.NumGC)
	u.PeakRSS = max(peakRSS(), childRSS())
	return u, err
}

// watchHeap samples the heap until the function it returns is called, which
// tells the highest values seen: of the objects, and of the memory the heap
// holds for them. Our pages beside the heap count as if they were on it.
func watchHeap() func() (objects, total int64) {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	var objects, total uint64
	look := func() {
		metrics.Read(samples)
		pages, _ := upload.OffHeap()
		o := samples[0].Value.Uint64() + uint64(pages)
		objects = max(objects, o)
		total = max(total, o+samples[1].Value.Uint64()+samples[2].Value.Uint64())
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			look()
			select {
			case <-tick.C:
			case <-stop:
				look()
				return
			}
		}
	}()
	return func() (int64, int64) {
		close(stop)
		<-done
		return int64(objects), int64(total)
	}
}

// peakRSS asks Linux: getrusage's figure would include the parent's, inherited
// over the fork.
func peakRSS() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10
		}
	}
	return 0
}

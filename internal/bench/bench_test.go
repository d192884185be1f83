package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

var (
	benchSize = flag.Int64("size", 4, "`MiB` of input of a benchmark")
	benchData = flag.String("data", "../../../shared/data", "`folder` of the real CSV files")
)

// testServer serves the services of all tests, in the same process. A test that
// wants to see the bodies puts its own sink behind them.
var testServer testServerState

type testServerState struct {
	services  map[sinkKind]*service
	endpoints map[sinkKind]endpoint
	keep      atomic.Pointer[objects]
}

func TestMain(m *testing.M) {
	if text := os.Getenv(taskVariable); text != "" { // a subprocess of a test
		exitOn(perform(text))
		return
	}
	flag.Parse()
	os.Exit(withServer(m))
}

func withServer(m *testing.M) int {
	services := newServices()
	testServer.services = services
	for _, s := range services {
		s.sink.keep = testServer.receive
	}
	services[sinkStorm].sink.storm.lasts = shortStorm
	lifeline, end := io.Pipe()
	ready, done := make(chan map[sinkKind]endpoint), make(chan error)
	go func() {
		done <- serve(services, lifeline, func(e map[sinkKind]endpoint) error {
			ready <- e
			return nil
		})
	}()
	select {
	case testServer.endpoints = <-ready:
	case err := <-done:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	testServer.endpoints[sinkTLS].trust()
	code := m.Run()
	end.Close()
	<-done
	return code
}

// shortStorm is over when the first refused request comes again.
const shortStorm = 20 * time.Millisecond

// calm forgets what was sent to a sink: the next request begins another storm.
func (s *testServerState) calm(kind sinkKind) {
	if service := s.services[kind]; service != nil {
		service.sink.account()
	}
}

// fewTables keeps the comparisons of memory small here: it is the command that
// measures them.
const fewTables = 4

func Benchmark(b *testing.B) {
	for _, c := range comparisons {
		for d := range c.inputs {
			in, err := c.load(datasets[d], *benchData, c.size(*benchSize*mib))
			if err != nil {
				b.Fatal(err)
			}
			if c.filed() {
				if err := in.write(filepath.Join(b.TempDir(), "input.csv")); err != nil {
					b.Fatal(err)
				}
			}
			small := *c
			small.tables = min(c.tables, fewTables)
			for _, who := range c.contestants {
				b.Run(fmt.Sprintf("%s/%s/%s", c.name, in.dataset.file, who.name), func(b *testing.B) {
					benchmark(b, &small, in, who)
				})
			}
		}
	}
}

func benchmark(b *testing.B, c *comparison, in *input, who contestant) {
	if err := who.missing(); err != nil {
		b.Fatal(err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(c.procsOf(who)))
	b.SetBytes(in.times(who.times).size * int64(c.tables))
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		testServer.calm(c.sink)
		s := newSite(c, who, in, testServer.endpoints[c.sink], b.TempDir())
		if who.prepare != nil {
			if err := who.prepare(s); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		if err := who.run(context.Background(), s); err != nil {
			b.Fatal(err)
		}
	}
}

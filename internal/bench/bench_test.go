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
)

var (
	benchSize = flag.Int64("size", 4, "`MiB` of input of a benchmark")
	benchData = flag.String("data", "../../../shared/data", "`folder` of the real CSV files")
)

// tlsServer is the one null S3 over TLS of all tests. A test that wants to see
// the bodies puts its own sink behind it.
var tlsServer tlsServerState

type tlsServerState struct {
	endpoint
	sink nullS3
	keep atomic.Pointer[objects]
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(withServer(m))
}

func withServer(m *testing.M) int {
	lifeline, end := io.Pipe()
	ready, done := make(chan endpoint), make(chan error)
	tlsServer.sink.keep = tlsServer.receive
	go func() {
		done <- serveTLS(&tlsServer.sink, lifeline, func(e endpoint) error {
			ready <- e
			return nil
		})
	}()
	select {
	case tlsServer.endpoint = <-ready:
	case err := <-done:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	tlsServer.trust()
	code := m.Run()
	end.Close()
	<-done
	return code
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
			if c.sink == sinkFiles {
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
		b.Skip(err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(c.procsOf(who)))
	b.SetBytes(in.size * int64(c.tables))
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		s := newSite(c, in, tlsServer.endpoint, b.TempDir())
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

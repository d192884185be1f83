package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestContestantsDoTheSame runs every contestant on a small input and compares
// what arrived with what had to.
func TestContestantsDoTheSame(t *testing.T) {
	for _, c := range comparisons {
		for d := range c.inputs {
			in, err := loadInput(datasets[d], "", 12*mib)
			if err != nil {
				t.Fatal(err)
			}
			small := *c
			small.tables = min(c.tables, 2)
			want := expected(t, c.work, in)
			for _, who := range c.contestants {
				t.Run(fmt.Sprintf("%s/%s/%s", c.name, in.dataset.file, who.name), func(t *testing.T) {
					arrived := deliveries(t, &small, in, who)
					if len(arrived) != small.tables {
						t.Fatalf("%d objects arrived, want %d", len(arrived), small.tables)
					}
					for key, got := range arrived {
						if !bytes.Equal(plain(t, c.work, got), want) {
							t.Errorf("object %s: %d bytes differ from the %d expected", key, len(got), len(want))
						}
					}
				})
			}
		}
	}
}

// expected returns what must arrive, before compression.
func expected(t *testing.T, w work, in *input) []byte {
	t.Helper()
	var b bytes.Buffer
	var err error
	if w == workCopy {
		_, err = b.ReadFrom(in.open())
	} else {
		err = filterSelectCSV(&b, in.open(), in.dataset)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// plain undoes the compression that belongs to the work.
func plain(t *testing.T, w work, p []byte) []byte {
	t.Helper()
	if w != workGzip {
		return p
	}
	z, err := gzip.NewReader(bytes.NewReader(p))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// deliveries runs a contestant and returns the objects that arrived, by key.
func deliveries(t *testing.T, c *comparison, in *input, who contestant) map[string][]byte {
	t.Helper()
	s := newSite(c, in, tlsServer.endpoint)
	var got objects
	var written bytes.Buffer
	s.discard.keep = &written
	s.stub.keep = got.add
	s.null.keep = got.addRequest
	tlsServer.keep.Store(&got)
	defer tlsServer.keep.Store(nil)
	if err := who.run(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	if written.Len() > 0 {
		return map[string][]byte{"": written.Bytes()}
	}
	return got.whole()
}

// objects collects the bodies that a null S3 is sent.
type objects struct {
	mu    sync.Mutex
	parts map[string]map[int32][]byte // by key and part number; 0 is a single put
}

func (o *objects) add(key string, part int32, body io.Reader) error {
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.parts == nil {
		o.parts = make(map[string]map[int32][]byte)
	}
	if o.parts[key] == nil {
		o.parts[key] = make(map[int32][]byte)
	}
	o.parts[key][part] = text
	return nil
}

func (o *objects) addRequest(r *http.Request, body io.Reader) error {
	part, _ := strconv.ParseInt(r.URL.Query().Get("partNumber"), 10, 32)
	if strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		body = &chunked{r: bufio.NewReader(body)}
	}
	return o.add(r.URL.Path, int32(part), body)
}

func (o *objects) whole() map[string][]byte {
	whole := make(map[string][]byte)
	for key, parts := range o.parts {
		for _, number := range slices.Sorted(maps.Keys(parts)) {
			whole[key] = append(whole[key], parts[number]...)
		}
	}
	return whole
}

// receive hands the bodies to the running test, or drains them.
func (s *tlsServerState) receive(r *http.Request, body io.Reader) error {
	if o := s.keep.Load(); o != nil {
		return o.addRequest(r, body)
	}
	_, err := io.Copy(io.Discard, body)
	return err
}

// chunked reads the content of an aws-chunked body.
type chunked struct {
	r    *bufio.Reader
	left int64
	end  bool
}

func (c *chunked) Read(p []byte) (int, error) {
	if c.end {
		return 0, io.EOF
	}
	if c.left == 0 {
		if err := c.next(); err != nil || c.end {
			return 0, err
		}
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	if c.left == 0 && err == nil {
		_, err = c.r.Discard(len("\r\n"))
	}
	return n, err
}

// next reads the line before a chunk; after the last one, the trailer too.
func (c *chunked) next() error {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return err
	}
	size, _, _ := strings.Cut(strings.TrimSpace(line), ";")
	if c.left, err = strconv.ParseInt(size, 16, 64); err != nil {
		return err
	}
	if c.left == 0 {
		c.end = true
		_, err = io.Copy(io.Discard, c.r)
	}
	return err
}

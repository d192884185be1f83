package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// The bare loop is what net/http alone can do: it sends parts that lie in memory
// and looks at nothing. No checksum, no signature, no retry, no object made of
// the parts: it is no rival, but the ceiling.
const (
	barePart        = 8 * mib
	bareConnections = 4 // more were not faster on two cores
)

// memory is an input that can be sent from where it lies.
type memory struct {
	in   *input
	text []byte // the header, and the rows until every part is somewhere in it
}

func newMemory(in *input) *memory {
	repeat := barePart/len(in.rows) + 2
	return &memory{in: in, text: append(bytes.Clone(in.header), bytes.Repeat(in.rows, repeat)...)}
}

// part returns the part that begins at off.
func (m *memory) part(off int64) []byte {
	n := min(barePart, m.in.size-off)
	if header := int64(len(m.in.header)); off > header {
		off = header + (off-header)%int64(len(m.in.rows))
	}
	return m.text[off : off+n]
}

// prepareMemory makes the input that the bare loop sends.
func prepareMemory(s *site) error {
	s.memory = newMemory(s.in)
	return nil
}

func bareLoop(ctx context.Context, s *site) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	client := manyConnections()
	defer client.CloseIdleConnections()
	var next atomic.Int64
	var wait sync.WaitGroup
	for range bareConnections {
		wait.Go(func() {
			for number := next.Add(1); (number-1)*barePart < s.in.size; number = next.Add(1) {
				if err := putPart(ctx, client, s, number); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
}

func putPart(ctx context.Context, client *http.Client, s *site, number int64) error {
	url := fmt.Sprintf("%s/%s/table.csv?partNumber=%d", s.endpoint.URL, bucket, number)
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, bytes.NewReader(s.memory.part((number-1)*barePart)))
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	if res.StatusCode != http.StatusOK {
		err = fmt.Errorf("part %d: %s", number, res.Status)
	}
	return errors.Join(err, res.Body.Close())
}

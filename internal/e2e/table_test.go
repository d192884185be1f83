package e2e

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

const mib = 1 << 20

// sample returns a CSV table of a bit more than this many bytes, the same for the same seed. No two rows are alike.
func sample(seed uint64, size int) []byte {
	endings := rowEndings(seed)
	b := make([]byte, 0, size+256)
	b = append(b, "id,name,country,amount\n"...)
	for id := int64(1); len(b) < size; id++ {
		b = strconv.AppendInt(b, id, 10)
		b = append(b, endings[id%int64(len(endings))]...)
	}
	return b
}

func rowEndings(seed uint64) []string {
	random := rand.New(rand.NewPCG(seed, seed))
	countries := []string{"CZ", "DE", "AT", "PL"}
	endings := make([]string, 997)
	for i := range endings {
		endings[i] = fmt.Sprintf(",\"Name, %x\",%s,%d.%02d\n",
			random.Uint64(), countries[random.IntN(len(countries))], random.IntN(10_000), random.IntN(100))
	}
	return endings
}

// rows reads a table with the standard library, the independent witness.
func rows(t *testing.T, table []byte) [][]string {
	t.Helper()
	all, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// ofUnknownLength hides everything of a reader but Read.
func ofUnknownLength(data []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(data)} }

// gate is a source that gives its first half at once and stands still until it is opened: then it goes on, or fails.
type gate struct {
	data []byte
	at   int
	open chan struct{}
	err  error // after the gate; nil: the second half follows
}

func newGate(data []byte, err error) *gate {
	return &gate{data: data, open: make(chan struct{}), err: err}
}

func (g *gate) Read(p []byte) (int, error) {
	half := len(g.data) / 2
	if g.at < half {
		n := copy(p, g.data[g.at:half])
		g.at += n
		return n, nil
	}
	<-g.open
	if g.err != nil {
		return 0, g.err
	}
	if g.at == len(g.data) {
		return 0, io.EOF
	}
	n := copy(p, g.data[g.at:])
	g.at += n
	return n, nil
}

func mustContain(t *testing.T, err error, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
}

func mustNotContain(t *testing.T, err error, secret string) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), secret) {
		t.Errorf("the error tells the secret: %v", err)
	}
}

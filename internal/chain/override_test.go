package chain

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
)

// bothOwn has both methods itself, bothOwnByValue on the value.
type bothOwn struct{}

func (*bothOwn) Read([]byte) (int, error)          { return 0, io.EOF }
func (*bothOwn) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }

type bothOwnByValue struct{}

func (bothOwnByValue) Read([]byte) (int, error)          { return 0, io.EOF }
func (bothOwnByValue) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }

type named struct {
	*os.File
	name string
}

type ownReadAt struct{ *os.File }

func (*ownReadAt) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }

type ownRead struct{ *os.File }

func (*ownRead) Read([]byte) (int, error) { return 0, io.EOF }

type ownReadByValue struct{ *os.File }

func (ownReadByValue) Read([]byte) (int, error) { return 0, io.EOF }

type deep struct{ *ownRead }

type deepByValue struct{ ownRead }

type readerAt interface {
	io.Reader
	io.ReaderAt
}

type hidden struct{ readerAt }

// two has each method of another field.
type two struct {
	io.Reader
	io.ReaderAt
}

func TestOverrides(t *testing.T) {
	for _, test := range []struct {
		name string
		r    readerAt
		want bool
	}{
		{"a file", new(os.File), false},
		{"memory", bytes.NewReader(nil), false},
		{"a section", io.NewSectionReader(strings.NewReader(""), 0, 0), false},
		{"both its own", new(bothOwn), false},
		{"both its own, on the value", bothOwnByValue{}, false},
		{"both its own, on the value of a pointer", new(bothOwnByValue), false},
		{"embeds a file", named{new(os.File), ""}, false},
		{"a pointer that embeds a file", &named{new(os.File), ""}, false},
		{"a ReadAt of its own", &ownReadAt{new(os.File)}, false},
		{"a Read of its own", &ownRead{new(os.File)}, true},
		{"a Read of its own on the value", ownReadByValue{new(os.File)}, true},
		{"a Read of its own on the value of a pointer", &ownReadByValue{new(os.File)}, true},
		{"embeds one with a Read of its own", deep{&ownRead{new(os.File)}}, true},
		{"embeds the value of one", &deepByValue{ownRead{new(os.File)}}, true},
		{"embeds an interface", hidden{bytes.NewReader(nil)}, false},
		{"embeds one in an interface", hidden{&ownRead{new(os.File)}}, true},
		{"embeds a reader and a ReaderAt", two{strings.NewReader("a"), strings.NewReader("b")}, true},
	} {
		if got := overrides(test.r); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

package s3writertest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed149ec23d/s3writer/s3writertest"
)

// failures is a testing.TB that notes what is reported.
type failures struct {
	testing.TB
	got []string
}

func (f *failures) Helper() {}

func (f *failures) Errorf(format string, args ...any) {
	f.got = append(f.got, fmt.Sprintf(format, args...))
}

func TestAssertNoPartial(t *testing.T) {
	s := newServer(t)
	s.Put(bucket, "whole", []byte("a,b\n1,2\n"))
	s.Put(bucket, "partial", []byte("a,b\n1"))
	s.Put(bucket, "unwanted", []byte("a"))
	f := &failures{}
	s3writertest.AssertNoPartial(f, s, bucket, map[string]string{
		"whole": "a,b\n1,2\n", "partial": "a,b\n1,2\n", "absent": "a,b\n1,2\n",
	})
	want := []string{
		`object "partial" is visible with 5 bytes that are not the wanted 8: they differ from byte 5`,
		`object "unwanted" of 1 bytes is visible, and is not wanted`,
	}
	if !slices.Equal(f.got, want) {
		t.Errorf("got %q, want %q", f.got, want)
	}
}

func TestAssertNoOrphans(t *testing.T) {
	s := newSmallPartServer(t)
	if err := newDelivery("k").upload(client(s)); err != nil {
		t.Fatal(err)
	}
	f := &failures{}
	s3writertest.AssertNoOrphans(f, s, bucket)
	if len(f.got) != 1 || !strings.Contains(f.got[0], `of "k" is open, with 3 parts of 2052 bytes`) {
		t.Errorf("got %q", f.got)
	}
}

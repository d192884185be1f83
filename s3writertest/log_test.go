package s3writertest_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed149ec23d/s3writer/s3writertest"
)

func TestRequests(t *testing.T) {
	s := newSmallPartServer(t)
	c := client(s)
	d := newDelivery("k")
	if err := d.upload(c); err != nil {
		t.Fatal(err)
	}
	if _, err := d.finish(c); err != nil {
		t.Fatal(err)
	}
	wantError(t, put(client(s, as("AKIANOBODY", "secret", ""))), 403, "InvalidAccessKeyId")
	var got []string
	for _, r := range s.Requests() {
		got = append(got, fmt.Sprintln(r.Op, r.Key, r.PartNumber, r.AccessKeyID, r.Region, r.Status, r.Err))
	}
	id, _ := s.Credentials()
	want := []string{
		fmt.Sprintln("CreateMultipartUpload", "k", 0, id, "us-east-1", 200, ""),
		fmt.Sprintln("UploadPart", "k", 1, id, "us-east-1", 200, ""),
		fmt.Sprintln("UploadPart", "k", 2, id, "us-east-1", 200, ""),
		fmt.Sprintln("UploadPart", "k", 3, id, "us-east-1", 200, ""),
		fmt.Sprintln("CompleteMultipartUpload", "k", 0, id, "us-east-1", 200, ""),
		fmt.Sprintln("PutObject", "k", 0, "AKIANOBODY", "us-east-1", 403, "InvalidAccessKeyId"),
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%swant\n%s", strings.Join(got, ""), strings.Join(want, ""))
	}
	part := s.Requests()[2]
	if part.Size != partSize || part.UploadID == "" || part.Header.Get("X-Amz-Checksum-Crc64nvme") == "" || part.Query.Get("partNumber") != "2" {
		t.Errorf("logged %+v", part)
	}
	if s.Count("UploadPart") != 3 || s.Count("") != 6 {
		t.Errorf("counted %d, %d", s.Count("UploadPart"), s.Count(""))
	}
	if s.MaxInFlight("UploadPart") != 1 {
		t.Errorf("parts one after the other: %d in flight", s.MaxInFlight("UploadPart"))
	}
	s.Reset()
	if s.Count("") != 0 || len(s.Requests()) != 0 {
		t.Error("not forgotten")
	}
}

func TestMaxInFlight(t *testing.T) {
	const n = 5
	s := newServer(t)
	c := client(s)
	var arrived sync.WaitGroup
	arrived.Add(n)
	release := make(chan struct{})
	s.Fail(s3writertest.Fault{Hang: release, Hook: func(*http.Request) { arrived.Done() }})
	errs := make(chan error, n)
	for range n {
		go func() { errs <- put(c) }()
	}
	arrived.Wait()
	close(release)
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := s.MaxInFlight("PutObject"); got != n {
		t.Errorf("%d in flight, want %d", got, n)
	}
}

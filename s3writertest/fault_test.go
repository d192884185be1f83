package s3writertest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed149ec23d/s3writer/s3writertest"
)

// A fault that answers, at every moment: what the client sees, and whether the server did it.
func TestFaultAnswers(t *testing.T) {
	tests := []struct {
		name   string
		fault  s3writertest.Fault
		status int
		code   string
		stored bool
	}{
		{"nothing said", s3writertest.Fault{}, 500, "InternalError", false},
		{"nothing said, after", s3writertest.Fault{When: s3writertest.After}, 500, "InternalError", true},
		{"status", s3writertest.Fault{Status: 503}, 503, "SlowDown", false},
		{"unlisted status", s3writertest.Fault{Status: 502}, 502, "BadGateway", false},
		{"code", s3writertest.Fault{Code: "ConditionalRequestConflict"}, 409, "ConditionalRequestConflict", false},
		{"unlisted code", s3writertest.Fault{Code: "ExpiredToken"}, 400, "ExpiredToken", false},
		{"both", s3writertest.Fault{Status: 503, Code: "Busy", When: s3writertest.After}, 503, "Busy", true},
		{"during", s3writertest.Fault{Status: 500, When: s3writertest.During}, 500, "InternalError", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t)
			test.fault.Op = "PutObject"
			s.Fail(test.fault)
			wantError(t, put(client(s)), test.status, test.code)
			if _, stored := s.Get(bucket, "k"); stored != test.stored {
				t.Errorf("stored: %v", stored)
			}
			got := s.Requests()[0]
			if !got.Faulted || got.Status != test.status || got.Err != test.code || got.Size != 5 {
				t.Errorf("logged %+v", got)
			}
		})
	}
}

func TestFaultCuts(t *testing.T) {
	tests := []struct {
		name   string
		fault  s3writertest.Fault
		stored bool
	}{
		{"before", s3writertest.Fault{Cut: true}, false},
		{"during", s3writertest.Fault{When: s3writertest.During}, false},
		{"after", s3writertest.Fault{Cut: true, When: s3writertest.After}, true},
	}
	for _, test := range tests {
		for name, start := range map[string]func(...string) *s3writertest.Server{
			"http": s3writertest.NewServer, "https": s3writertest.NewTLSServer,
		} {
			t.Run(test.name+" "+name, func(t *testing.T) {
				s := start(bucket)
				defer s.Close()
				s.Fail(test.fault)
				body := bytes.Repeat([]byte("x"), 3<<20) // more than the sockets hold
				err := put(client(s), func(in *s3.PutObjectInput) { in.Body = bytes.NewReader(body) })
				var api interface{ ErrorCode() string }
				if err == nil || errors.As(err, &api) {
					t.Errorf("got %v, want an error of the connection", err)
				}
				if _, stored := s.Get(bucket, "k"); stored != test.stored {
					t.Errorf("stored: %v", stored)
				}
				got := s.Requests()[0]
				if half := int64(len(body) / 2); test.fault.When == s3writertest.During && got.Size != half {
					t.Errorf("read %d bytes, want %d", got.Size, half)
				}
				if got.Status != 0 {
					t.Errorf("logged an answer: %d", got.Status)
				}
			})
		}
	}
}

func TestFaultCounts(t *testing.T) {
	tests := []struct {
		name     string
		n, times int
		want     []int // of ten puts, those that fail
	}{
		{"every", 0, 0, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}},
		{"first", 1, 0, []int{1}},
		{"third", 3, 0, []int{3}},
		{"three from the second", 2, 3, []int{2, 3, 4}},
		{"the first two", 0, 2, []int{1, 2}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t)
			c := client(s)
			s.Fail(s3writertest.Fault{Op: "PutObject", Key: "k", N: test.n, Times: test.times})
			s.Fail(s3writertest.Fault{Op: "UploadPart"}) // another's
			var failed []int
			for i := 1; i <= 10; i++ {
				if put(c) != nil {
					failed = append(failed, i)
				}
				if err := put(c, func(in *s3.PutObjectInput) { in.Key = aws.String("other") }); err != nil {
					t.Error(err)
				}
			}
			if !slices.Equal(failed, test.want) {
				t.Errorf("failed %v, want %v", failed, test.want)
			}
			s.ClearFaults()
			if err := put(c); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFirstFaultWins(t *testing.T) {
	s := newServer(t)
	s.Fail(s3writertest.Fault{N: 2, Code: "SlowDown"})
	s.Fail(s3writertest.Fault{Code: "AccessDenied"})
	for _, want := range []string{"AccessDenied", "SlowDown", "AccessDenied"} {
		if err := put(client(s)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// The answers a Complete may get that are no success, though the first line says so.
func TestFaultyCompletes(t *testing.T) {
	tests := []struct {
		name  string
		fault s3writertest.Fault
		check func(*s3.CompleteMultipartUploadOutput, error) bool
	}{
		{"empty", s3writertest.Fault{Empty: true}, noETag},
		{"blank", s3writertest.Fault{Blank: true}, noETag},
		{"without an ETag", s3writertest.Fault{StripETag: true}, noETag},
		{"error in 200", s3writertest.Fault{ErrorIn200: true}, func(_ *s3.CompleteMultipartUploadOutput, err error) bool {
			var api interface{ ErrorCode() string }
			return errors.As(err, &api) && api.ErrorCode() == "InternalError"
		}},
		{"cut", s3writertest.Fault{CutAnswer: true}, func(_ *s3.CompleteMultipartUploadOutput, err error) bool { return err != nil }},
		{"wrong ETag", s3writertest.Fault{WrongETag: true}, func(out *s3.CompleteMultipartUploadOutput, err error) bool {
			return err == nil && aws.ToString(out.ETag) == `"00000000000000000000000000000bad"`
		}},
		{"wrong checksum", s3writertest.Fault{WrongChecksum: true}, func(out *s3.CompleteMultipartUploadOutput, err error) bool {
			return err == nil && aws.ToString(out.ChecksumCRC64NVME) != crc(strings.Join(bodies(), ""))
		}},
	}
	for _, when := range []s3writertest.When{s3writertest.Before, s3writertest.After} {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				s := newSmallPartServer(t)
				c := client(s)
				test.fault.Op, test.fault.N, test.fault.When = "CompleteMultipartUpload", 1, when
				s.Fail(test.fault)
				d := newDelivery("k")
				if err := d.upload(c); err != nil {
					t.Fatal(err)
				}
				if out, err := d.finish(c); !test.check(out, err) {
					t.Errorf("answered %+v, %v", out, err)
				}
				if _, err := d.finish(c); err != nil {
					t.Errorf("sent again: %v", err)
				}
			})
		}
	}
}

func noETag(out *s3.CompleteMultipartUploadOutput, err error) bool {
	return err == nil && aws.ToString(out.ETag) == ""
}

func TestFaultAltersPut(t *testing.T) {
	s := newServer(t)
	s.Fail(s3writertest.Fault{N: 1, StripETag: true, WrongChecksum: true})
	s.Fail(s3writertest.Fault{N: 2, Header: http.Header{"ETag": {`"mine"`}}})
	for _, want := range []string{"", `"mine"`} {
		out, err := client(s).PutObject(context.Background(), &s3.PutObjectInput{
			Bucket: aws.String(bucket), Key: aws.String("k"), Body: strings.NewReader("hello"),
		})
		if err != nil || aws.ToString(out.ETag) != want {
			t.Errorf("ETag %q, %v; want %q", aws.ToString(out.ETag), err, want)
		}
	}
}

func TestFaultHeader(t *testing.T) {
	s := newServer(t)
	s.Fail(s3writertest.Fault{Status: 503, Header: http.Header{"Retry-After": {"7"}}})
	response, err := s.Client().Get(s.URL + "/" + bucket)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != 503 || response.Header.Get("Retry-After") != "7" || !strings.Contains(string(body), "<Code>SlowDown</Code>") {
		t.Errorf("%s %v %s", response.Status, response.Header, body)
	}
}

func TestRetriesReachTheSecondAnswer(t *testing.T) {
	s := newServer(t)
	s.Fail(s3writertest.Fault{Op: "PutObject", N: 1, Code: "SlowDown"})
	err := put(client(s, retryAtOnce))
	if err != nil || s.Count("PutObject") != 2 {
		t.Errorf("%v after %d attempts", err, s.Count("PutObject"))
	}
}

func TestHang(t *testing.T) {
	for _, when := range []s3writertest.When{s3writertest.Before, s3writertest.During, s3writertest.After} {
		s := newServer(t)
		reached, release := make(chan struct{}), make(chan struct{})
		s.Fail(s3writertest.Fault{When: when, Hang: release, Hook: func(*http.Request) { close(reached) }, N: 1})
		done := make(chan error, 1)
		go func() { done <- put(client(s)) }()
		<-reached
		if _, stored := s.Get(bucket, "k"); stored != (when == s3writertest.After) {
			t.Errorf("stored while it hangs: %v", stored)
		}
		close(release)
		if err := <-done; err != nil {
			t.Errorf("after the hang: %v", err)
		}
		if _, stored := s.Get(bucket, "k"); !stored {
			t.Error("not carried out after the hang")
		}
	}
}

func TestHangEndsWithClient(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithCancel(context.Background())
	s.Fail(s3writertest.Fault{Op: "HeadBucket", Hang: make(chan struct{}), Hook: func(*http.Request) { cancel() }})
	_, err := client(s).HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(bucket)})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestHangEndsWithServer(t *testing.T) {
	s := newServer(t)
	reached := make(chan struct{})
	s.Fail(s3writertest.Fault{Hang: make(chan struct{}), Hook: func(*http.Request) { close(reached) }})
	done := make(chan error, 1)
	go func() { done <- put(client(s)) }()
	<-reached
	s.Close()
	if err := <-done; err == nil {
		t.Error("an answer from a closed server")
	}
}

func TestHookOnlyWatches(t *testing.T) {
	s := newServer(t)
	n := 0
	s.Fail(s3writertest.Fault{Hook: func(r *http.Request) { n++ }})
	if err := put(client(s)); err != nil || n != 1 {
		t.Errorf("%v, called %d times", err, n)
	}
}

func TestFaultOfSTS(t *testing.T) {
	s := newRoleServer(t)
	s.Fail(s3writertest.Fault{Op: "AssumeRole", Code: "RegionDisabledException", Status: 403, N: 1})
	c := stsClient(s, "AKIABASE", "secret", "")
	_, err := assume(c)
	wantError(t, err, 403, "RegionDisabledException")
	if _, err := assume(c); err != nil {
		t.Error(err)
	}
}

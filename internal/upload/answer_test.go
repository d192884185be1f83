package upload

import (
	"errors"
	"fmt"
	"testing"

	"github.com/seed149ec23d/s3writer/s3writertest"
)

// What the server says of the bytes it has taken is held against ours, whichever
// request they went with. Said once, it is sent again; said always, it is the error.
func TestAnswersAreHeldAgainstOurs(t *testing.T) {
	for _, op := range []string{opPut, opPart, opComplete} {
		for name, lie := range map[string]struct {
			fault s3writertest.Fault
			is    error
		}{
			"another checksum": {s3writertest.Fault{WrongChecksum: true}, errChecksum},
			"no ETag":          {s3writertest.Fault{StripETag: true}, errNoETag},
			"empty":            {s3writertest.Fault{Empty: true, When: s3writertest.After}, errNoETag},
		} {
			for _, always := range []bool{false, true} {
				t.Run(fmt.Sprint(op, " ", name, " always ", always), func(t *testing.T) {
					srv := s3writertest.NewServer(testBucket)
					defer srv.Close()
					f := lie.fault
					f.Op, f.N, f.Times = op, 1, 1
					if always {
						f.N, f.Times = 0, 0
					}
					srv.Fail(f)
					srv.Fail(s3writertest.Fault{Op: opHead, Status: 403})
					e := wired(t, srv)
					size := 50_000
					if op == opPut {
						size = 100
					}
					res, err := deliver(t.Context(), e, "k", data(size))
					retries := e.Stats().Retries
					switch {
					case !always && (err != nil || res.State != StateCommitted || retries != 1):
						t.Errorf("got %+v, %v after %d retries; want it sent once more", res, err, retries)
					case always && op == opPart && (err == nil || errors.Is(err, ErrCommitUnknown) || srv.Count(opComplete) > 0):
						t.Errorf("got %+v, %v; want no commit", res, err)
					case always && op != opPart && !errors.Is(err, ErrCommitUnknown):
						t.Errorf("got %+v, %v; want it unknown", res, err)
					case always && op == opPart && !errors.Is(err, lie.is):
						t.Errorf("got %v, want %v", err, lie.is)
					}
					atRest(t, e)
				})
			}
		}
	}
}

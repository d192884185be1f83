package upload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

const (
	opPut      = "PutObject"
	opCreate   = "CreateMultipartUpload"
	opPart     = "UploadPart"
	opComplete = "CompleteMultipartUpload"
	opAbort    = "AbortMultipartUpload"
	opHead     = "HeadObject"

	opLocation   = "GetBucketLocation"
	opHeadBucket = "HeadBucket"
)

// create opens an upload. lost says that a further one may be open whose ID was
// in an answer that never came. late, which may be nil, is called when the server
// turns out to be far away.
func (e *Engine) create(ctx context.Context, s *settings, late func()) (id string, lost bool, err error) {
	lost, err = e.do(ctx, &request{name: opCreate, key: s.key, late: late, send: func(ctx context.Context, a attempt) error {
		out, err := e.cfg.Client.CreateMultipartUpload(ctx, s.createInput(a.checksums), a.options()...)
		if err == nil && aws.ToString(out.UploadId) == "" {
			return errNoID
		}
		if err == nil {
			id = *out.UploadId
		}
		return err
	}})
	return id, lost, err
}

// sendPart uploads p. Of what may be nil, begun is called when the first try starts, and taken
// when the server has p and the next request has not begun yet: one that follows
// finds its memory.
func (e *Engine) sendPart(ctx context.Context, s *settings, id string, p *part, begun, taken func()) (types.CompletedPart, error) {
	crc := encodeCRC(p.crc)
	done := types.CompletedPart{PartNumber: aws.Int32(p.number), ChecksumCRC64NVME: &crc}
	sdk := func(ctx context.Context, a attempt) (answer, error) {
		out, err := e.cfg.Client.UploadPart(ctx, s.partInput(id, p, a), a.options()...)
		if err != nil {
			return answer{}, err
		}
		return answer{etag: aws.ToString(out.ETag), crc64nvme: aws.ToString(out.ChecksumCRC64NVME)}, nil
	}
	_, err := e.do(ctx, &request{name: opPart, key: s.key, body: p, begun: begun, taken: taken, send: func(ctx context.Context, a attempt) error {
		got, err := e.send(ctx, s, id, p, a, sdk)
		if err != nil {
			return err
		}
		done.ETag = &got.etag
		return got.check(crc)
	}})
	return done, err
}

// answer is what a server says of bytes that it has taken.
type answer struct {
	etag, versionID, crc64nvme string
	checksumType               types.ChecksumType
}

// check accepts a success only if it has an ETag, and our checksum if it has one.
func (a answer) check(want string) error {
	if a.etag == "" {
		return errNoETag
	}
	if a.crc64nvme == "" || a.checksumType == types.ChecksumTypeComposite || strings.Contains(a.crc64nvme, "-") {
		return nil
	}
	if a.crc64nvme != want {
		return fmt.Errorf("%w: CRC-64/NVME %s, ours is %s", errChecksum, a.crc64nvme, want)
	}
	return nil
}

// abortUpload removes an upload and its parts. That outlasts ctx, whose end may
// be the reason, but then not for long: somebody wants to be gone. What it waits
// for a place is not taken from its own time: that is the server's.
func (e *Engine) abortUpload(ctx context.Context, s *settings, id string) error {
	ctx, stop := outliving(ctx, e.hurry)
	defer stop()
	r := &request{name: opAbort, key: s.key, attempts: 3, send: func(ctx context.Context, a attempt) error {
		_, err := e.cfg.Client.AbortMultipartUpload(ctx, s.abortInput(id), a.options()...)
		if code, _ := codeOf(err); code == "NoSuchUpload" {
			return nil
		}
		return err
	}}
	if err := e.acquire(ctx, r); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, e.pace.abortGrace)
	defer cancel()
	_, err := e.doInSlot(ctx, r)
	return err
}

// explain puts the error of a request into words. The reason why its context
// has ended says more than that it has.
func (e *Engine) explain(ctx context.Context, r *request, err error) error {
	if r.unexplained {
		if ctx.Err() != nil {
			return cause(ctx)
		}
		return err
	}
	if ctx.Err() != nil {
		return e.explainEnd(ctx, r, err)
	}
	if known := explained(err); known != nil {
		return known
	}
	kind := kindOf(err)
	action := "s3:PutObject"
	if r.name == opAbort {
		action = "s3:AbortMultipartUpload"
	}
	switch {
	case kind == ErrExists && !e.cfg.NoOverwrite && !r.careful:
		kind = nil
	case kind == ErrExists:
		return &failure{text: explanation(kind, action, e.object(r.key), err), kind: kind, cause: err}
	case kind == ErrAccessDenied:
		return Explain(action, e.resource(folder(r.key)+"*"), err)
	case kind != nil, serviceOf(err) == "STS":
		return Explain(action, e.resource(r.key), err)
	}
	text := fmt.Sprintf("%s of %s: %s", r.name, e.object(r.key), answerText(err))
	if status := statusOf(err); status/100 == 3 || status == http.StatusBadRequest && RegionOf(err) != "" {
		text += "; check the region and the endpoint"
	}
	return &failure{text: text, kind: kind, cause: err}
}

// explainEnd is explain for a context that has ended. A try that had failed before
// keeps what it is known to mean, such as credentials that are not to be had.
func (e *Engine) explainEnd(ctx context.Context, r *request, err error) error {
	why, known := cause(ctx), explained(err)
	request := fmt.Sprintf("%s of %s", r.name, e.object(r.key))
	switch {
	case !errors.Is(why, ctx.Err()):
		return why
	case errors.Is(err, ctx.Err()) && isUnsigned(err):
		return fmt.Errorf("%s: waiting for credentials: %w", request, why)
	case errors.Is(err, ctx.Err()):
		return fmt.Errorf("%s: %w", request, why)
	case known != nil:
		return fmt.Errorf("%s: %w; before that, %w", request, why, known)
	}
	return fmt.Errorf("%s: %w; before that, %s", request, why, answerText(err))
}

// folder is a key up to its last slash: permissions are given by prefix.
func folder(key string) string { return key[:strings.LastIndexByte(key, '/')+1] }

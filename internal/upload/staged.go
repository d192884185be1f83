package upload

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Staged is an object whose bytes are all in the bucket, as plain data: what
// any Engine needs to commit or to abort it.
type Staged struct {
	Key, UploadID string
	Size          int64
	CRC64NVME     string // of the whole object, base64
	Parts         []StagedPart

	Terms
	NoOverwrite bool
	Doubtful    bool // a commit was sent, and its outcome is not known
}

// Terms are what every request for an object says, first to last.
type Terms struct {
	RequestPayer string
	Owner        string // the account that must own the bucket
}

func (s *settings) terms() Terms {
	return Terms{RequestPayer: string(s.RequestPayer), Owner: aws.ToString(s.ExpectedBucketOwner)}
}

// accept sets terms that nobody here has decided.
func (s *settings) accept(t Terms) {
	in := *s.CreateMultipartUploadInput // may be shared
	if in.RequestPayer == "" {
		in.RequestPayer = types.RequestPayer(t.RequestPayer)
	}
	if in.ExpectedBucketOwner == nil && t.Owner != "" {
		in.ExpectedBucketOwner = &t.Owner
	}
	if in.RequestPayer != s.RequestPayer || in.ExpectedBucketOwner != s.ExpectedBucketOwner {
		s.CreateMultipartUploadInput, s.templates = &in, new(templates)
	}
}

// StagedPart is one part of a multipart upload.
type StagedPart struct {
	Number    int32  `json:"number"`
	ETag      string `json:"etag"`
	CRC64NVME string `json:"crc64nvme,omitempty"`
}

// Staged returns the object as plain data. ok is false for one whose bytes are
// in this process's memory, or that is not pending any more.
func (p *Pending) Staged() (s Staged, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.id == "" || p.ended {
		return Staged{}, false
	}
	s = Staged{
		Key: p.Key, UploadID: p.id, Size: p.Size, CRC64NVME: p.CRC64NVME,
		Terms: p.settings.terms(), NoOverwrite: p.settings.noOverwrite, Doubtful: p.doubtful,
	}
	for _, part := range p.parts {
		s.Parts = append(s.Parts, StagedPart{*part.PartNumber, *part.ETag, aws.ToString(part.ChecksumCRC64NVME)})
	}
	return s, true
}

// InDoubt is what another Engine can know of an object that may be visible and whose
// bytes are in this process's memory: that. ok is false for any other.
func (p *Pending) InDoubt() (s Staged, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.id != "" || p.ended || !p.doubtful {
		return Staged{}, false
	}
	return Staged{
		Key: p.Key, Size: p.Size, CRC64NVME: p.CRC64NVME, Terms: p.settings.terms(),
		NoOverwrite: p.settings.noOverwrite, Doubtful: true,
	}, true
}

// Elsewhere says that p was made of what InDoubt gave: it can be neither committed
// nor aborted here.
func (p *Pending) Elsewhere() bool { return p.elsewhere }

// Adopt makes a Pending of what this or another Engine has staged. Of o, only
// what the requests that follow need counts: the key of SSE-C, who pays, the owner.
func (e *Engine) Adopt(ctx context.Context, o Object, staged Staged) (*Pending, error) {
	o.Key = staged.Key
	s, err := e.settings(o)
	if err != nil {
		return nil, err
	}
	s.accept(staged.Terms)
	s.noOverwrite = s.noOverwrite || staged.NoOverwrite
	p := &Pending{
		Key: staged.Key, Size: staged.Size, Parts: len(staged.Parts), CRC64NVME: staged.CRC64NVME,
		engine: e, settings: s, ctx: ctx, caller: ctx, id: staged.UploadID, doubtful: staged.Doubtful, doubt: errDoubt,
		elsewhere: staged.Doubtful && staged.UploadID == "",
	}
	for _, part := range staged.Parts {
		p.parts = append(p.parts, types.CompletedPart{PartNumber: &part.Number, ETag: &part.ETag, ChecksumCRC64NVME: &part.CRC64NVME})
	}
	return p, nil
}

var (
	errDoubt     = errors.New("a commit was sent before, and nobody knows what came of it")
	errElsewhere = errors.New("a PutObject was sent before, its answer was lost, and only the process that sent it had the bytes")
)

// Retain readies an object for another commit, after one that failed or whose
// outcome is not known. A body in memory leaves the budget: it is staged, if ctx
// and the server allow that; else, and where the object may be there already, it
// stays in memory of its own for as long as p. The error says why it could not be staged.
func (p *Pending) Retain(ctx context.Context) error {
	defer p.lock()()
	p.caller = ctx // of the Write before nobody waits any more
	if p.state == StateUnknown {
		p.state, p.ended, p.doubtful = StatePending, false, true
		p.doubt, p.err = p.err, nil
	}
	if p.ended || p.err != nil || p.body == nil {
		return nil
	}
	if p.doubtful || ctx.Err() != nil {
		p.own()
		return nil
	}
	err := p.stage(ctx)
	if err != nil {
		p.own()
	}
	return err
}

// own takes the body out of the pool's memory.
func (p *Pending) own() {
	pool := p.engine.pool
	switch {
	case p.body == nil || p.held.Load() == 0:
	case p.small:
		pool.drop(p.account, p.body.size)
	default:
		for i, page := range p.body.pages { // whoever has p may just drop it
			p.body.pages[i] = bytes.Clone(page)
			pool.give(p.account, page)
		}
	}
	p.held.Store(0)
	p.owned = true
}

// InMemory says that the object's bytes are in this process alone.
func (p *Pending) InMemory() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.body != nil
}

// Of says whether p is of e.
func (p *Pending) Of(e *Engine) bool { return p.engine == e }

var errGone = errors.New("the staged upload is gone: it was committed or aborted before, or a lifecycle rule has removed it")

// Gone tells whether an error of Alive says that the upload is not there: whether the
// object is, nobody knows.
func Gone(err error) bool { return errors.Is(err, errGone) }

// Alive returns an error if the upload is not there any more.
func (p *Pending) Alive(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.id == "" || p.doubtful || p.ended {
		return nil
	}
	if err := p.probe(ctx, false); !errors.Is(err, errNoProbe) {
		return err
	}
	return nil
}

var errNoProbe = errors.New("the upload has no part number left to ask with")

// probe returns an error if the upload is not there any more: errGone, or why
// that could not be found out. It asks with a part, which takes no right beyond
// s3:PutObject. Unless the part is to be kept, its checksums are wrong; but then a
// server that looks at those first may say yes to an upload that is gone. One that
// is kept is not in the list of a commit, and goes with the upload.
func (p *Pending) probe(ctx context.Context, keep bool) error {
	number := int32(len(p.parts) + 1)
	if int(number) > p.engine.limits.maxParts {
		return errNoProbe
	}
	probe := &part{number: number, page: 1, pages: [][]byte{{'?'}}}
	probe.extend(probe.pages[0])
	if !keep {
		probe.crc = ^probe.crc
	}
	_, err := p.engine.do(ctx, &request{name: opPart, key: p.Key, body: probe, send: func(ctx context.Context, a attempt) error {
		in := p.settings.partInput(p.id, probe, a)
		if !keep {
			wrong := md5.Sum(nil)
			in.ContentMD5 = aws.String(base64.StdEncoding.EncodeToString(wrong[:]))
		}
		_, err := p.engine.cfg.Client.UploadPart(ctx, in, a.options()...)
		switch code, _ := codeOf(err); code {
		case "BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch":
			if !keep {
				return nil
			}
		}
		return err
	}})
	if isGone(err) {
		return &failure{text: fmt.Sprintf("%v (%s, upload ID %s)", errGone, answerText(err), p.id), kind: errGone, cause: err}
	}
	return err
}

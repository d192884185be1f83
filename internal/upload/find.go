package upload

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// finder is what a Client may have besides; *s3.Client does. It takes the
// permission s3:GetObject.
type finder interface {
	HeadObject(context.Context, *s3.HeadObjectInput, ...func(*s3.Options)) (*s3.HeadObjectOutput, error)
}

// resendTime is how long of all its time a commit without an answer is sent again;
// the rest is for find.
func (e *Engine) resendTime(all time.Duration) time.Duration {
	if _, ok := e.cfg.Client.(finder); ok {
		return all * 7 / 8
	}
	return all
}

// find looks for the object after a commit whose answer was lost. It says yes
// only to what is certain: an object that is not there may have been taken away
// already, one with other content may have replaced ours, and an equal one may
// be that of yesterday. gone says that the upload is not there any more.
func (p *Pending) find(ctx context.Context, gone bool) (Result, bool) {
	client, ok := p.engine.cfg.Client.(finder)
	if !ok {
		return Result{}, false
	}
	var out *s3.HeadObjectOutput
	_, err := p.engine.do(ctx, &request{name: opHead, key: p.Key, attempts: 3, send: func(ctx context.Context, a attempt) (err error) {
		out, err = client.HeadObject(ctx, p.settings.headInput(a.checksums), a.options()...)
		return err
	}})
	if err != nil || !p.equals(out) {
		return Result{}, false
	}
	if ours, known := p.made(out); known && !ours || !known && !gone {
		return Result{}, false
	}
	return Result{ETag: *out.ETag, VersionID: aws.ToString(out.VersionId)}, true
}

// equals tells whether the object that is there has our bytes.
func (p *Pending) equals(out *s3.HeadObjectOutput) bool {
	if aws.ToString(out.ETag) == "" || aws.ToInt64(out.ContentLength) != p.Size {
		return false
	}
	sum := aws.ToString(out.ChecksumCRC64NVME)
	if sum == "" || out.ChecksumType == types.ChecksumTypeComposite || strings.Contains(sum, "-") {
		return *out.ETag == p.etag()
	}
	return sum == p.CRC64NVME
}

// made tells whether the object that is there came after ours had been begun:
// S3 dates an object of parts from the beginning of its upload. Only times of the
// server's own clock are compared.
func (p *Pending) made(out *s3.HeadObjectOutput) (ours, known bool) {
	const grain = 5 * time.Second // of Last-Modified, and between the clocks of one provider
	now, ok := awsmiddleware.GetServerTime(out.ResultMetadata)
	if !ok || out.LastModified == nil || p.began.IsZero() {
		return false, false
	}
	return now.Sub(*out.LastModified) <= time.Since(p.began)+grain, true
}

// etag is the ETag that servers give which make it of MD5 sums, "" if the parts'
// show that this one does not.
func (p *Pending) etag() string {
	h := md5.New()
	if p.body != nil {
		for off := int64(0); off < p.body.size; {
			b := p.body.at(off)
			h.Write(b)
			off += int64(len(b))
		}
		return fmt.Sprintf("%q", hex.EncodeToString(h.Sum(nil)))
	}
	for _, part := range p.parts {
		sum, err := hex.DecodeString(strings.Trim(aws.ToString(part.ETag), `"`))
		if err != nil || len(sum) != md5.Size {
			return ""
		}
		h.Write(sum)
	}
	return fmt.Sprintf("%q", fmt.Sprintf("%x-%d", h.Sum(nil), len(p.parts)))
}

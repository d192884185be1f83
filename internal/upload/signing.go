package upload

import (
	"context"
	"strings"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// signing says how PutObject and UploadPart sign their bodies; nil leaves it to
// the SDK, which signs them over http and not over https. Without a checksum
// header nothing but the signature would protect them.
func (e *Engine) signing(checksums bool) func(*s3.Options) {
	switch choice := e.cfg.SignPayload; {
	case choice != nil && *choice:
		return signed
	case choice != nil:
		return unsigned
	case e.cfg.Profile.SignPayload, e.cfg.Endpoint && !checksums:
		return signed
	}
	return nil
}

func signed(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		hash := &v4.ComputePayloadSHA256{}
		_, err := stack.Finalize.Swap(hash.ID(), hash)
		return err
	})
}

func unsigned(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware)
}

// bare takes off requests what the SDK adds for AWS alone: an Accept-Encoding
// that is signed, which Google and many proxies rewrite, so that no signature
// matches, and x-id in the query, which Google refuses.
func bare(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		if _, signs := stack.Finalize.Get(signingID); !signs {
			return nil
		}
		return stack.Finalize.Insert(bareRequest, signingID, middleware.Before)
	})
}

const signingID = "Signing"

var bareRequest = middleware.FinalizeMiddlewareFunc("s3writer.BareRequest",
	func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		if r, ok := in.Request.(*smithyhttp.Request); ok {
			r.Header.Del("Accept-Encoding")
			var query []string
			for _, pair := range strings.Split(r.URL.RawQuery, "&") {
				if !strings.HasPrefix(pair, "x-id=") {
					query = append(query, pair)
				}
			}
			r.URL.RawQuery = strings.Join(query, "&")
		}
		return next.HandleFinalize(ctx, in)
	})

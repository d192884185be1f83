// Package s3writertest is an S3 in the test's own process: for the tests of programs that deliver into a
// bucket, and for seeing what they do when S3 does not play along.
//
//	func TestDelivery(t *testing.T) {
//		srv := s3writertest.NewServer("writer-sample")
//		defer srv.Close()
//		id, secret := srv.Credentials()
//		deliver(srv.URL, "writer-sample", id, secret) // the program under test
//
//		body, ok := srv.Get("writer-sample", "exports/orders.csv")
//		...
//	}
//
// # What it is
//
// [NewServer] listens on a loopback port and keeps everything in memory. Reading, listing and deleting are
// done by github.com/johannesboyne/gofakes3; in front of it this package does what decides whether a delivery
// arrives, and does it as strictly as AWS, with AWS's error codes and texts: signatures, permissions,
// checksums, multipart uploads, conditional writes. Buckets are addressed by path. [Server.Config] is a
// ready configuration for SDK clients:
//
//	client := s3.NewFromConfig(srv.Config(), func(o *s3.Options) { o.UsePathStyle = true })
//
// # Identities
//
// The key of [Server.Credentials] may do everything. [Server.AddKey] adds one that may do what it is given:
// [LeastPrivilege] is what a delivery needs, and shows whether it can do with that. [Server.AddRole] adds a role,
// which the STS at the same URL lets clients assume, by its trust, its external ID and its longest session.
// [Server.ExpireSessions] ends sessions in the middle of their work, and [Server.SetTime] moves the clock.
// A wrong secret, an unknown key, a clock 15 minutes off, a header that was not signed, a missing permission
// and a wrong region ([Server.SetRegion]) are refused as AWS refuses them.
//
// # Content
//
// [Server.Put] seeds an object, [Server.Get], [Server.Object] and [Server.Keys] read what is visible, and
// [Server.Uploads] what is not, or not yet. [AssertNoPartial] and [AssertNoOrphans] are the two promises of
// a delivery that failed: nothing half is visible, and nothing is left behind that somebody pays for.
//
// # Faults
//
// [Server.Fail] arms a [Fault]: the n-th request of an operation fails before it is carried out, with half of
// its body read, or after it, when only the answer is lost.
//
//	srv.Fail(s3writertest.Fault{Op: "UploadPart", N: 3, Status: 503})
//	srv.Fail(s3writertest.Fault{Op: "CompleteMultipartUpload", N: 1, When: s3writertest.After, Cut: true})
//
// [Server.Requests] and [Server.Count] then tell what the program did about it.
//
// # Differences from AWS
//
// ETags are opaque, as S3's documentation has them: here they are not MD5 sums, which would cost more than
// all the rest. Bodies in aws-chunked encoding, which SDKs send over https by default, are refused with
// 501 and a hint. Presigned URLs, versions, copies, tagging after the fact, bucket policies and virtual-host
// addressing are not there. CompleteMultipartUpload wants the part checksums listed whenever
// CreateMultipartUpload named an algorithm, which AWS asks for only in part. A role's session needs no permission
// of the caller beyond the role's trust.
package s3writertest

// Package e2e runs the library against real servers, through its public API alone, as a user who has the rights of
// the least policy and no others. The servers are started on loopback; with S3WRITER_E2E_BUCKET the same suite runs
// against a bucket that is somewhere.
package e2e

import (
	"testing"

	"github.com/seed149ec23d/s3writer/internal/e2e/servers"
)

// suite runs everything that holds for every target.
func suite(t *testing.T, to *target) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *target)
	}{
		{"single put", testSinglePut},
		{"empty object", testEmptyObject},
		{"multipart", testMultipart},
		{"equal parts", testEqualParts},
		{"many tables", testManyTables},
		{"select, filter, hash, gzip", testChain},
		{"zstd", testZstd},
		{"JSON lines", testJSONLines},
		{"object settings", testObjectSettings},
		{"encryption", testEncryption},
		{"discovers the region", testRegionDiscovery},
		{"bucket owner", testBucketOwner},
		{"no overwrite", testNoOverwrite},
		{"no overwrite, multipart", testNoOverwriteMultipart},
		{"all or nothing", testAllOrNothing},
		{"stage and commit", testStage},
		{"staged uploads that are gone", testAbortStaged},
		{"one table fails", testOneTableFails},
		{"cancelled half way", testCancel},
		{"source fails half way", testSourceFails},
		{"processor fails half way", testProcessorFails},
		{"expired session", testExpiredSession},
		{"unknown access key", testUnknownKey},
		{"refused while the source stands still", testRefusedAtStandstill},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, to) })
	}
}

// loopbackSuite runs the suite, and what needs a server of our own: users with other rights, or none.
func loopbackSuite(t *testing.T, server *servers.Server, traits traits) {
	server.CreateBucket(t, bucket)
	server.CreateBucket(t, otherBucket)
	to := loopback(server, server.AddUser(t, "deliverer", leastPolicy), traits)

	t.Run("the policy is exact", func(t *testing.T) { testPolicyIsExact(t, to) })
	suite(t, to)
	t.Run("wrong secret", func(t *testing.T) { testWrongSecret(t, to) })
	t.Run("denied bucket", func(t *testing.T) { testDeniedBucket(t, to) })
	t.Run("missing bucket", func(t *testing.T) { testMissingBucket(t, to) })
	t.Run("keys removed half way", func(t *testing.T) { testKeysRemoved(t, to) })
}

func TestVersityGW(t *testing.T) {
	t.Parallel()
	loopbackSuite(t, servers.VersityGW(t), versityGWTraits)
}

func TestVersityGWOverTLS(t *testing.T) {
	t.Parallel()
	loopbackSuite(t, servers.VersityGWTLS(t), versityGWTraits)
}

func TestMinIO(t *testing.T) {
	t.Parallel()
	server := servers.MinIO(t)
	loopbackSuite(t, server, minIOTraits)
	t.Run("assume role", func(t *testing.T) { assumeRoleSuite(t, server) })
}

// TestBucket runs the suite against the bucket in S3WRITER_E2E_BUCKET, below a random prefix: with the SDK's default
// chain, or as the role in S3WRITER_E2E_ROLE (a role ARN; S3WRITER_E2E_EXTERNAL_ID if it asks for one).
// S3WRITER_E2E_REGION and S3WRITER_E2E_ENDPOINT say where it is. The default chain itself must be allowed to list,
// read, delete and abort there.
func TestBucket(t *testing.T) {
	suite(t, fromEnvironment(t))
}

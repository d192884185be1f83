package s3writertest

import "testing"

// AssertNoPartial fails the test for every object of the bucket that is not one of want, byte for byte.
// An object of want that is not there is no failure: whole or not at all.
func AssertNoPartial(t testing.TB, s *Server, bucket string, want map[string]string) {
	t.Helper()
	for _, key := range s.Keys(bucket) {
		body, ok := s.Get(bucket, key)
		whole, wanted := want[key]
		switch {
		case !ok: // deleted since
		case !wanted:
			t.Errorf("object %q of %d bytes is visible, and is not wanted", key, len(body))
		case string(body) != whole:
			t.Errorf("object %q is visible with %d bytes that are not the wanted %d: they differ from byte %d",
				key, len(body), len(whole), difference(string(body), whole))
		}
	}
}

// AssertNoOrphans fails the test for every multipart upload of the bucket that is still open: AWS charges
// for its parts until somebody aborts it.
func AssertNoOrphans(t testing.TB, s *Server, bucket string) {
	t.Helper()
	for _, u := range s.Uploads(bucket) {
		t.Errorf("multipart upload %s of %q is open, with %d parts of %d bytes", u.UploadID, u.Key, u.Parts, u.Size)
	}
}

func difference(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

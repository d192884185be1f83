package s3writertest

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/johannesboyne/gofakes3"
)

// store keeps buckets and objects in memory. It is gofakes3's backend in place of its s3mem, which copies every
// object and hashes it with MD5 before it is visible: seconds for a GiB. Here the parts are kept as they came.
type store struct {
	mu      sync.RWMutex
	now     func() time.Time
	buckets map[string]*bucket
}

type bucket struct {
	created time.Time
	objects map[string]*object
}

// object never changes once it is stored.
type object struct {
	key      string
	segments [][]byte // the content, as the parts came; nil if it was discarded
	parts    []int64  // sizes of the parts; nil for a PutObject
	size     int64
	header   http.Header // what a GET gives back, checksums included
	etag     string      // with its quotes
	crc      uint64      // CRC-64/NVME of the whole
	modified time.Time
}

// precondition is asked of the object that a write would replace, nil if there is none.
type precondition func(old *object) error

func newStore(now func() time.Time) *store {
	return &store{now: now, buckets: map[string]*bucket{}}
}

func (st *store) put(name string, o *object, allowed precondition) error {
	o.modified = st.now()
	st.mu.Lock()
	defer st.mu.Unlock()
	b := st.buckets[name]
	if b == nil {
		return noSuchBucket(name)
	}
	if err := allowed(b.objects[o.key]); err != nil {
		return err
	}
	b.objects[o.key] = o
	return nil
}

func (st *store) object(name, key string) *object {
	st.mu.RLock()
	defer st.mu.RUnlock()
	if b := st.buckets[name]; b != nil {
		return b.objects[key]
	}
	return nil
}

func (st *store) keys(name string) []string {
	st.mu.RLock()
	defer st.mu.RUnlock()
	b := st.buckets[name]
	if b == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(b.objects))
}

func (o *object) bytes() []byte {
	if o.segments == nil {
		return nil
	}
	return bytes.Join(o.segments, nil)
}

func (o *object) reader() io.Reader {
	readers := make([]io.Reader, len(o.segments))
	for i, segment := range o.segments {
		readers[i] = bytes.NewReader(segment)
	}
	return io.MultiReader(readers...)
}

// forGofakes3 is the object as gofakes3 wants it, with the content of a range if there is one.
func (o *object) forGofakes3(content io.Reader) *gofakes3.Object {
	metadata := map[string]string{"Last-Modified": o.modified.UTC().Format(http.TimeFormat)}
	for name := range o.header {
		metadata[name] = o.header.Get(name)
	}
	return &gofakes3.Object{Name: o.key, Metadata: metadata, Size: o.size, Contents: io.NopCloser(content)}
}

// The methods below are gofakes3.Backend's.

func (st *store) ListBuckets() ([]gofakes3.BucketInfo, error) {
	st.mu.RLock()
	defer st.mu.RUnlock()
	var infos []gofakes3.BucketInfo
	for _, name := range slices.Sorted(maps.Keys(st.buckets)) {
		infos = append(infos, gofakes3.BucketInfo{Name: name, CreationDate: gofakes3.NewContentTime(st.buckets[name].created)})
	}
	return infos, nil
}

func (st *store) ListBucket(name string, prefix *gofakes3.Prefix, page gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	list := gofakes3.NewObjectList()
	var match gofakes3.PrefixMatch
	lastPrefix, n := "", int64(0)
	for _, key := range st.keys(name) {
		o := st.object(name, key)
		if o == nil || page.HasMarker && key <= page.Marker || prefix != nil && !prefix.Match(key, &match) {
			continue
		}
		if match.CommonPrefix && match.MatchedPart == lastPrefix {
			list.NextMarker = key // behind all that the prefix stands for
			continue
		}
		if page.MaxKeys > 0 && n == page.MaxKeys {
			list.IsTruncated = true
			return list, nil
		}
		n++
		list.NextMarker = key
		if match.CommonPrefix {
			lastPrefix = match.MatchedPart
			list.AddPrefix(lastPrefix)
			continue
		}
		list.Add(&gofakes3.Content{
			Key: key, LastModified: gofakes3.NewContentTime(o.modified), ETag: o.etag, Size: o.size,
		})
	}
	list.NextMarker = ""
	return list, nil
}

func (st *store) CreateBucket(name string) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.buckets[name] != nil {
		return gofakes3.ResourceError(gofakes3.ErrBucketAlreadyExists, name)
	}
	st.buckets[name] = &bucket{created: st.now(), objects: map[string]*object{}}
	return nil
}

func (st *store) BucketExists(name string) (bool, error) {
	st.mu.RLock()
	defer st.mu.RUnlock()
	return st.buckets[name] != nil, nil
}

func (st *store) DeleteBucket(name string) error {
	if len(st.keys(name)) > 0 {
		return gofakes3.ResourceError(gofakes3.ErrBucketNotEmpty, name)
	}
	return st.ForceDeleteBucket(name)
}

func (st *store) ForceDeleteBucket(name string) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	delete(st.buckets, name)
	return nil
}

func (st *store) GetObject(bucket, key string, r *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	o := st.object(bucket, key)
	if o == nil {
		return nil, gofakes3.KeyNotFound(key)
	}
	if r == nil {
		return o.forGofakes3(o.reader()), nil
	}
	bounds, err := r.Range(o.size)
	if err != nil {
		return nil, err
	}
	content := o.reader()
	if _, err := io.CopyN(io.Discard, content, bounds.Start); err != nil {
		return nil, err
	}
	g := o.forGofakes3(io.LimitReader(content, bounds.Length))
	g.Range = bounds
	return g, nil
}

func (st *store) HeadObject(bucket, key string) (*gofakes3.Object, error) {
	o := st.object(bucket, key)
	if o == nil {
		return nil, gofakes3.KeyNotFound(key)
	}
	return o.forGofakes3(bytes.NewReader(nil)), nil
}

func (st *store) DeleteObject(bucket, key string) (gofakes3.ObjectDeleteResult, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if b := st.buckets[bucket]; b != nil {
		delete(b.objects, key)
	}
	return gofakes3.ObjectDeleteResult{}, nil
}

func (st *store) DeleteMulti(bucket string, keys ...string) (gofakes3.MultiDeleteResult, error) {
	var result gofakes3.MultiDeleteResult
	for _, key := range keys {
		_, _ = st.DeleteObject(bucket, key)
		result.Deleted = append(result.Deleted, gofakes3.ObjectID{Key: key})
	}
	return result, nil
}

// PutObject and CopyObject are never reached: the server answers these operations itself, or not at all.

func (st *store) PutObject(string, string, map[string]string, io.Reader, int64, *gofakes3.PutConditions) (gofakes3.PutObjectResult, error) {
	return gofakes3.PutObjectResult{}, gofakes3.ErrNotImplemented
}

func (st *store) CopyObject(string, string, string, string, map[string]string) (gofakes3.CopyObjectResult, error) {
	return gofakes3.CopyObjectResult{}, gofakes3.ErrNotImplemented
}

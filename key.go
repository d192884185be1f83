package s3writer

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/seed149ec23d/s3writer/internal/chain"
)

const maxKey = 1024 // bytes; S3's limit

// knownExtensions are what the stem of a key is without.
var knownExtensions = []string{".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", ".gz", ".zst", ".bz2"}

// objectKey gives a key the extensions of a chain. What the key ends in
// already stays; an encoder's extension takes the place of the known ones.
func objectKey(key string, exts []string, encoded bool) string {
	for n := len(exts); n > 0; n-- {
		if hasSuffix(key, strings.Join(exts[:n], "")) {
			return key + strings.Join(exts[n:], "")
		}
	}
	if encoded {
		key = stem(key)
	}
	return key + strings.Join(exts, "")
}

// keys are those of a table's objects.
type keys struct {
	dir, stem, ext string
	divided        bool // among several objects, which are numbered
	partitioned    bool // and lie in folders of their own
}

func newKeys(prefix, key string, p *chain.Program) keys {
	exts, encoded := p.Extensions()
	key = joinKey(prefix, objectKey(key, exts, encoded))
	dir, base := path.Split(key)
	k := keys{dir: dir, stem: base, divided: p.Divides(), partitioned: p.Partitions()}
	if k.divided {
		name := base
		if ext := strings.Join(exts, ""); hasSuffix(base, ext) {
			name = strings.TrimSuffix(base, ext)
		}
		k.stem = stem(name)
		k.ext = base[len(k.stem):]
	}
	return k
}

// of is the key of one object.
func (k keys) of(o *chain.Object) string {
	if !k.divided {
		return k.dir + k.stem
	}
	return fmt.Sprintf("%s%s%s-%05d%s", k.dir, o.Path, k.stem, o.Number, k.ext)
}

// first is the key of the table's first object, but for its partition.
func (k keys) first() string { return k.of(&chain.Object{Number: 1}) }

// clash says what objects of two tables have in common, if the other one's are
// several.
func (k keys) clash(other keys) string {
	const same = "make the same object"
	switch {
	case k.partitioned && other.partitioned && k.dir == other.dir:
		return "are partitioned in the same folder"
	case k.divided:
		inside := other.partitioned && isPartitionOf(other.dir, k.dir) || k.partitioned && isPartitionOf(k.dir, other.dir)
		if k.stem == other.stem && k.ext == other.ext && (inside || k.dir == other.dir && k.partitioned == other.partitioned) {
			return same
		}
		return ""
	}
	if k.dir != other.dir || other.partitioned {
		if !other.partitioned || !isPartitionOf(other.dir, k.dir) {
			return ""
		}
	}
	number, ok := strings.CutPrefix(k.stem, other.stem+"-")
	number, end := strings.CutSuffix(number, other.ext)
	if ok && end && len(number) >= 5 && strings.Trim(number, "0123456789") == "" {
		return same
	}
	return ""
}

// isPartitionOf tells whether a folder can be a partition's of those in dir.
func isPartitionOf(dir, folder string) bool {
	below, ok := strings.CutPrefix(folder, dir)
	return ok && strings.Contains(below, "=")
}

// compareKeys orders keys as people count: "-100000" comes behind "-99999".
func compareKeys(a, b string) int {
	if path.Dir(a) == path.Dir(b) && len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// namesCSV tells whether a key is that of CSV text, by its extension before
// those of compressors and the like.
func namesCSV(key string, p *chain.Program) bool {
	exts, _ := p.Extensions()
	switch path.Ext(strings.ToLower(strings.TrimSuffix(key, strings.Join(exts, "")))) {
	case ".csv", ".tsv":
		return true
	}
	return false
}

// hasSuffix tells whether key ends in ext and is more than that.
func hasSuffix(key, ext string) bool {
	return strings.HasSuffix(key, ext) && path.Base(key) != ext
}

// stem takes the known extensions off the last segment of a key.
func stem(key string) string {
	for {
		ext := path.Ext(key)
		if !slices.Contains(knownExtensions, strings.ToLower(ext)) || path.Base(key) == ext {
			return key
		}
		key = key[:len(key)-len(ext)]
	}
}

// joinKey puts a key below a prefix, with one slash between the two.
func joinKey(prefix, key string) string {
	if prefix = strings.TrimRight(prefix, "/"); prefix == "" {
		return key
	}
	return prefix + "/" + strings.TrimLeft(key, "/")
}

// checkKey says what is wrong with an object's key.
func checkKey(key string) error {
	switch {
	case !utf8.ValidString(key):
		return fmt.Errorf("the key %q is not valid UTF-8", key)
	case len(key) > maxKey:
		return fmt.Errorf("the key has %d bytes; S3 allows %d: %.40q…", len(key), maxKey, key)
	case strings.HasSuffix(key, "/"):
		return fmt.Errorf("the key %q ends in a slash: it names a folder, not an object", key)
	}
	for _, r := range key {
		if unicode.IsControl(r) {
			return fmt.Errorf("the key %q has a control character", key)
		}
	}
	for segment := range strings.SplitSeq(key, "/") {
		if segment == "." || segment == ".." {
			return fmt.Errorf("the key %q has a segment %q, which many tools resolve away", key, segment)
		}
	}
	return nil
}

// checkTableKey is checkKey for what a Table names.
func checkTableKey(key string) error {
	if key == "" {
		return errors.New("the key is empty")
	}
	return checkKey(key)
}

// suspectKey returns a warning about a key that is allowed and seldom meant.
func suspectKey(key string) string {
	if strings.HasPrefix(key, "/") || strings.Contains(key, "//") {
		return "the key has an empty segment"
	}
	for segment := range strings.SplitSeq(key, "/") {
		if strings.HasPrefix(segment, "_") || strings.HasPrefix(segment, ".") {
			return fmt.Sprintf("readers such as Spark and Athena skip segments like %q", segment)
		}
	}
	return ""
}

// contentTypes are the Content-Types of the final extensions.
var contentTypes = map[string]string{
	".csv":     "text/csv; charset=utf-8",
	".tsv":     "text/tab-separated-values; charset=utf-8",
	".txt":     "text/plain; charset=utf-8",
	".json":    "application/json",
	".jsonl":   "application/x-ndjson",
	".ndjson":  "application/x-ndjson",
	".parquet": "application/vnd.apache.parquet",
	".gz":      "application/gzip",
	".zst":     "application/zstd",
	".bz2":     "application/x-bzip2",
}

// contentType is that of a key; charset is what text is in, "" for UTF-8.
func contentType(key, charset string) string {
	if t, ok := contentTypes[strings.ToLower(path.Ext(key))]; ok {
		if charset != "" {
			t = strings.Replace(t, "charset=utf-8", "charset="+charset, 1)
		}
		return t
	}
	return "application/octet-stream"
}

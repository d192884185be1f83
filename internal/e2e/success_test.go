package e2e

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/klauspost/compress/zstd"

	"github.com/seed149ec23d/s3writer"
)

func testSinglePut(t *testing.T, to *target) {
	d := deliverTo(t, to)
	table := sample(1, 64<<10)
	report := d.write(d.writer(), s3writer.NewTable("orders.csv", bytes.NewReader(table)))

	d.want("orders.csv", table)
	d.wantKeys("orders.csv")
	d.wantReported(report.Tables[0].Objects[0])
	if n := d.wire.count("PutObject"); n != 1 {
		t.Errorf("%d puts, want one", n)
	}
	if got := aws.ToString(d.head("orders.csv").ContentType); got != "text/csv; charset=utf-8" {
		t.Errorf("content type %q", got)
	}
}

func testEmptyObject(t *testing.T, to *target) {
	d := deliverTo(t, to)
	report := d.write(d.writer(), s3writer.NewTable("empty.csv", strings.NewReader("")))

	d.want("empty.csv", nil)
	d.wantReported(report.Tables[0].Objects[0])
}

func testMultipart(t *testing.T, to *target) {
	d := deliverTo(t, to)
	table := sample(2, 20*mib)
	report := d.write(d.writer(), s3writer.NewTable("big.csv", ofUnknownLength(table)))

	d.want("big.csv", table)
	object := report.Tables[0].Objects[0]
	d.wantReported(object)
	if n := d.wire.count("UploadPart"); n < 2 || object.Parts != n {
		t.Errorf("%d parts sent, %d reported", n, object.Parts)
	}
	if got := aws.ToString(d.head("big.csv").ContentType); got != "text/csv; charset=utf-8" {
		t.Errorf("content type %q", got)
	}
}

func testEqualParts(t *testing.T, to *target) {
	d := deliverTo(t, to)
	table := sample(3, 12*mib)
	report := d.write(d.writer(s3writer.WithPartSize(5*mib)), s3writer.NewTable("big.csv", ofUnknownLength(table)))

	d.want("big.csv", table)
	d.wantReported(report.Tables[0].Objects[0])
	if n := d.wire.count("UploadPart"); n != 3 {
		t.Errorf("%d parts, want 3", n)
	}
}

func testManyTables(t *testing.T, to *target) {
	const small, large = 60, 4
	d := deliverTo(t, to)
	contents, tables := map[string][]byte{}, []s3writer.Table(nil)
	for i := range small + large {
		key, size := fmt.Sprintf("small/%02d.csv", i), 4<<10
		if i < large {
			key, size = fmt.Sprintf("large/%02d.csv", i), 9*mib
		}
		contents[key] = sample(uint64(i), size)
		tables = append(tables, s3writer.NewTable(key, ofUnknownLength(contents[key])))
	}
	report := d.write(d.writer(s3writer.WithMemory(64*mib)), tables...)

	if len(report.Tables) != len(tables) {
		t.Fatalf("%d tables reported, want %d", len(report.Tables), len(tables))
	}
	keys := make([]string, 0, len(contents))
	for i, table := range report.Tables {
		if table.Key != tables[i].Key {
			t.Errorf("table %d of the Report is %s, want %s", i, table.Key, tables[i].Key)
		}
		keys = append(keys, tables[i].Key)
		d.want(tables[i].Key, contents[tables[i].Key])
		d.wantReported(table.Objects[0])
	}
	d.wantKeys(keys...)
}

func testChain(t *testing.T, to *target) {
	d := deliverTo(t, to)
	table, hashKey := sample(4, 16*mib), []byte("pepper")
	report := d.write(d.writer(), s3writer.NewTable("orders.csv", ofUnknownLength(table),
		s3writer.Select("amount", "name", "country"),
		s3writer.Filter(func(r s3writer.Record) bool { return r.Get("country") == "CZ" }),
		s3writer.Hash(hashKey, "name"),
		s3writer.Gzip(),
	))

	want := [][]string{{"amount", "name", "country"}}
	all := rows(t, table)
	for _, row := range all[1:] {
		if row[2] == "CZ" {
			want = append(want, []string{row[3], hashed(hashKey, row[1]), row[2]})
		}
	}
	zipped, err := gzip.NewReader(bytes.NewReader(d.read("orders.csv.gz")))
	if err != nil {
		t.Fatal(err)
	}
	wantRows(t, zipped, want)
	got := report.Tables[0]
	if int(got.RowsRead) != len(all)-1 || int(got.RowsWritten) != len(want)-1 || got.RowsFiltered != got.RowsRead-got.RowsWritten {
		t.Errorf("reported %d rows read, %d written, %d filtered; want %d, %d and the rest",
			got.RowsRead, got.RowsWritten, got.RowsFiltered, len(all)-1, len(want)-1)
	}
	d.wantReported(got.Objects[0])
	if got := aws.ToString(d.head("orders.csv.gz").ContentType); got != "application/gzip" {
		t.Errorf("content type %q", got)
	}
}

func hashed(key []byte, value string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(value))
	return hex.EncodeToString(mac.Sum(nil))
}

func wantRows(t *testing.T, r io.Reader, want [][]string) {
	t.Helper()
	got, err := csv.NewReader(r).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for i := range min(len(got), len(want)) {
		if strings.Join(got[i], "|") != strings.Join(want[i], "|") {
			t.Fatalf("row %d: got %q, want %q", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("got %d rows, want %d", len(got), len(want))
	}
}

func testZstd(t *testing.T, to *target) {
	d := deliverTo(t, to)
	table := sample(5, 2*mib)
	d.write(d.writer(), s3writer.NewTable("orders.csv", ofUnknownLength(table), s3writer.Zstd()))

	decoder, err := zstd.NewReader(bytes.NewReader(d.read("orders.csv.zst")))
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	got, err := io.ReadAll(decoder)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, table) {
		t.Errorf("got %d bytes, want the %d of the table", len(got), len(table))
	}
}

func testJSONLines(t *testing.T, to *target) {
	d := deliverTo(t, to)
	table := sample(6, 100<<10)
	d.write(d.writer(), s3writer.NewTable("orders.csv", bytes.NewReader(table),
		s3writer.Typed("id", s3writer.Int64Type), s3writer.JSONLines()))

	lines := json.NewDecoder(bytes.NewReader(d.read("orders.jsonl")))
	for i, row := range rows(t, table)[1:] {
		var got struct {
			ID                    int64
			Name, Country, Amount string
		}
		if err := lines.Decode(&got); err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		if fmt.Sprint(got.ID) != row[0] || got.Name != row[1] || got.Country != row[2] || got.Amount != row[3] {
			t.Fatalf("line %d: got %+v, want %q", i+1, got, row)
		}
	}
	if lines.More() {
		t.Error("more lines than rows")
	}
	if got := aws.ToString(d.head("orders.jsonl").ContentType); got != "application/x-ndjson" {
		t.Errorf("content type %q", got)
	}
}

func testObjectSettings(t *testing.T, to *target) {
	d := deliverTo(t, to)
	small := s3writer.NewTable("small.csv", bytes.NewReader(sample(7, 1000)))
	small.ObjectInput = func(in *s3.CreateMultipartUploadInput) { in.ContentType = aws.String("text/plain") }
	large := s3writer.NewTable("large.csv", ofUnknownLength(sample(8, 17*mib)))
	d.write(d.writer(s3writer.WithObjectInput(func(in *s3.CreateMultipartUploadInput) {
		in.StorageClass = types.StorageClass(to.storageClass) // empty: as if not set
		in.Metadata = map[string]string{"source": "e2e"}
		in.CacheControl = aws.String("no-store")
	})), small, large)

	for key, contentType := range map[string]string{"small.csv": "text/plain", "large.csv": "text/csv; charset=utf-8"} {
		head := d.head(key)
		if to.storageClass != "" && string(head.StorageClass) != to.storageClass {
			t.Errorf("%s: storage class %q, want %q", key, head.StorageClass, to.storageClass)
		}
		if head.Metadata["source"] != "e2e" {
			t.Errorf("%s: metadata %v", key, head.Metadata)
		}
		if got := aws.ToString(head.CacheControl); got != "no-store" {
			t.Errorf("%s: cache control %q", key, got)
		}
		if got := aws.ToString(head.ContentType); got != contentType {
			t.Errorf("%s: content type %q, want %q", key, got, contentType)
		}
	}
}

// testEncryption asks for encryption with the server's own key, which needs no further right.
func testEncryption(t *testing.T, to *target) {
	d := deliverTo(t, to)
	contents := map[string][]byte{"small.csv": sample(35, 1000), "large.csv": sample(36, 17*mib)}
	w := d.writer(s3writer.WithObjectInput(func(in *s3.CreateMultipartUploadInput) {
		if to.encrypts {
			in.ServerSideEncryption = types.ServerSideEncryptionAes256
		}
	}))
	report := d.write(w,
		s3writer.NewTable("small.csv", ofUnknownLength(contents["small.csv"])),
		s3writer.NewTable("large.csv", ofUnknownLength(contents["large.csv"])))

	for _, table := range report.Tables {
		d.want(table.Key, contents[table.Key])
		d.wantReported(table.Objects[0])
		if got := d.head(table.Key).ServerSideEncryption; to.encrypts && got != types.ServerSideEncryptionAes256 {
			t.Errorf("%s: encryption %q, want AES256", table.Key, got)
		}
	}
}

// testRegionDiscovery names no region. At AWS the Writer asks for it; a server of one's own refuses the first
// signature with the name of its region.
func testRegionDiscovery(t *testing.T, to *target) {
	unnamed := *to
	unnamed.region = ""
	d := deliverTo(t, &unnamed)
	table := sample(9, 1000)
	w := d.writer()
	d.write(w, s3writer.NewTable("one.csv", bytes.NewReader(table)))
	d.write(w, s3writer.NewTable("two.csv", bytes.NewReader(table)))

	d.want("one.csv", table)
	d.want("two.csv", table)
	if n := len(d.wire.calls); n > 4 {
		t.Errorf("%d requests for two objects: the region is discovered more than once", n)
	}
}

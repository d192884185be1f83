package s3writer_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/seed149ec23d/s3writer"
)

// gzipText compresses text.
func gzipText(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := io.WriteString(z, text)
	if err = errors.Join(err, z.Close()); err != nil {
		panic(err)
	}
	return b.String()
}

// quoting collects an object and writes it as a Go string.
type quoting struct {
	w    io.Writer
	text []byte
}

func quoteObject(w io.Writer) (io.WriteCloser, error) { return &quoting{w: w}, nil }

func (q *quoting) Write(p []byte) (int, error) {
	q.text = append(q.text, p...)
	return len(p), nil
}

func (q *quoting) Close() error {
	_, err := fmt.Fprintf(q.w, "%q\n", q.text)
	return err
}

// TestCleaning delivers a table through the steps that clean one, together.
func TestCleaning(t *testing.T) {
	srv := newServer(t)
	in := "\xff\xfe" + string(utf16le("id,city,email\r\n1, Plzeň ,ada@example.com\r\n 1,Brno,\r\n2,\"\",grace@example.com\r\n"))
	report := write(t, newWriter(t, srv), s3writer.NewTable("t.csv", strings.NewReader(gzipText(in)),
		s3writer.Decompress(), s3writer.FromCharset("windows-1250"),
		s3writer.Trim(), s3writer.Dedupe("id"), s3writer.Redact("email"),
		s3writer.FormatCSV(s3writer.CSV{Comma: ';'}), s3writer.ToCharset("windows-1250")))
	wantObject(t, srv, "t.csv", "id;city;email\n1;Plze\xf2;\n2;\"\";\n")
	if r := report.Tables[0]; r.RowsRead != 3 || r.RowsWritten != 2 || r.RowsFiltered != 1 {
		t.Errorf("%d rows were read, %d written, %d filtered; want 3, 2, 1", r.RowsRead, r.RowsWritten, r.RowsFiltered)
	}
}

// TestContentTypeOfCharset is the charset's that the object is in.
func TestContentTypeOfCharset(t *testing.T) {
	for _, test := range []struct {
		key, want  string
		processors []s3writer.Processor
	}{
		{"t.csv", "text/csv; charset=iso-8859-2", list(s3writer.ToCharset("latin2"))},
		{"t.txt", "text/plain; charset=utf-16", list(s3writer.ToCharset("utf-16"))},
		{"t.csv", "text/csv; charset=utf-16le", list(s3writer.Select("id"), s3writer.ToCharsetLossy("utf-16le"))},
		{"t.csv", "text/csv; charset=utf-8", list(s3writer.FromCharset("latin2"))},
		{"t.csv.gz", "application/gzip", list(s3writer.ToCharset("latin2"), s3writer.Gzip())},
	} {
		t.Run(test.want, func(t *testing.T) {
			srv := newServer(t)
			write(t, newWriter(t, srv), csv(test.key, "id\n1\n", test.processors...))
			if o, ok := srv.Object(bucket, test.key); !ok || o.ContentType != test.want {
				t.Errorf("%s, %v: Content-Type %q, want %q", test.key, test.processors, o.ContentType, test.want)
			}
		})
	}
}

func utf16le(s string) []byte {
	var out []byte
	for _, r := range s {
		out = append(out, byte(r), byte(r>>8))
	}
	return out
}

// TestCleaningErrors say where, and leave nothing behind.
func TestCleaningErrors(t *testing.T) {
	cut := gzipText("id\n1\n")
	for _, test := range []struct {
		name, in   string
		processors []s3writer.Processor
		want       string
	}{
		{"no such charset", "", list(s3writer.FromCharset("cp852")),
			`step 1 FromCharset: there is no charset "cp852"; the names are those of https://encoding.spec.whatwg.org/#names-and-labels, ` +
				`such as "windows-1250" or "utf-16le"`},
		{"FromCharset behind a step", "", list(s3writer.Trim(), s3writer.FromCharset("utf-16le")),
			"step 2 FromCharset: reads the source's bytes, but Trim before it has already taken them; put FromCharset first"},
		{"a step behind ToCharset", "", list(s3writer.ToCharset("utf-16le"), s3writer.Trim()),
			"step 2 Trim: needs records, but ToCharset before it leaves none; put Trim first"},
		{"ToCharset behind a compressor", "", list(s3writer.Gzip(), s3writer.ToCharset("latin2")),
			"step 2 ToCharset: needs text, but Gzip before it leaves none; put ToCharset first"},
		{"ToCharset twice", "", list(s3writer.ToCharset("utf-16"), s3writer.ToCharset("latin2")),
			"step 2 ToCharset: needs UTF-8, but what is before it leaves utf-16; leave one of them out"},
		{"undecodable", "id,n\n1,\x81\n", list(s3writer.FromCharset("windows-1252"), s3writer.Select("n")),
			"step 1 FromCharset: byte 7: 0x81 is no character of windows-1252"},
		{"undecodable, copied", "id,n\n1,\x81\n", list(s3writer.FromCharset("windows-1252")),
			"step 1 FromCharset: byte 7: 0x81 is no character of windows-1252"},
		{"lacking", "id,n\n1,€\n", list(s3writer.Select("n"), s3writer.ToCharset("latin2"), s3writer.Gzip()),
			"step 2 ToCharset: line 2 of the object, byte 2 in UTF-8: the character U+20AC '€' is not in iso-8859-2"},
		{"cut", cut[:len(cut)-3], list(s3writer.Decompress(), s3writer.Trim()), "step 1 Decompress: gzip: unexpected EOF"},
		{"Redact of nothing", "", list(s3writer.Redact()), "step 1 Redact: takes at least one column"},
		{"no such column", "id\n", list(s3writer.Dedupe("ID")), `step 1 Dedupe: no column "ID": there are id`},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			_, err := newWriter(t, srv).Write(t.Context(), csv("t.csv", test.in, test.processors...))
			wantText(t, err, `s3writer: table "t.csv": `+test.want)
			wantNothing(t, srv)
			var e *s3writer.Error
			if errors.As(err, &e) && strings.HasPrefix(test.name, "undecodable") && (e.Step != 1 || e.Offset != 7) {
				t.Errorf("step %d, offset %d; want 1, 7", e.Step, e.Offset)
			}
		})
	}
}

func list(p ...s3writer.Processor) []s3writer.Processor { return p }

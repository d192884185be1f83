package chain_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/record"
)

// TestFromCharset makes UTF-8 of a source, wherever its reads are cut.
func TestFromCharset(t *testing.T) {
	long := strings.Repeat("0123456789abcde,", 1<<12) // twice what is decoded at once
	for _, test := range []struct{ name, charset, in, want, err string }{
		{"nothing", "windows-1250", "", "", ""},
		{"ASCII", "windows-1250", "id,name\n1,a\n", "id,name\n1,a\n", ""},
		{"one byte a character", "iso-8859-2", "P\xf8\xedli\xb9\r\n", "Příliš\r\n", ""},
		{"a name with capitals", "Windows-1252", "\x80", "€", ""},
		{"latin1 is windows-1252", "latin1", "\x93\xe9\x94", "“é”", ""},
		{"two bytes a character", "shift_jis", "\x93\xfa\x96{,\xb1", "日本,ｱ", ""},
		{"four bytes a character", "gb18030", "\x84\x31\x95\x33,\xc4\xe3", "\ufeff,你", ""},
		{"escape sequences", "iso-2022-jp", "a\x1b$BF|K\\\x1b(Bb", "a日本b", ""},
		{"utf-16le", "utf-16le", "a\x00\xac\x20\x3d\xd8\x00\xde", "a€😀", ""},
		{"utf-16be", "utf-16be", "\x00a\x20\xac\xd8\x3d\xde\x00", "a€😀", ""},
		{"utf-16 is little-endian", "utf-16", "a\x00", "a", ""},
		{"a mark of UTF-8 wins", "windows-1250", "\xef\xbb\xbf\xc5\x99", "ř", ""},
		{"a mark of UTF-16LE wins", "utf-8", "\xff\xfea\x00", "a", ""},
		{"a mark of UTF-16BE wins", "utf-16le", "\xfe\xff\x00a", "a", ""},
		{"only a mark", "utf-16le", "\xff\xfe", "", ""},
		{"a second mark is text", "utf-16le", "\xff\xfe\xff\xfea\x00", "\ufeffa", ""},
		{"U+FFFD in UTF-8 is a character", "utf-8", "a\ufffdb", "a\ufffdb", ""},
		{"U+FFFD in UTF-16 is a character", "utf-16be", "\xff\xfd\x00a", "\ufffda", ""},
		{"U+FFFD in GB18030 is a character", "gb18030", "\x84\x31\xa4\x37", "\ufffd", ""},
		{"long", "windows-1250", long + "\x9e" + long, long + "ž" + long, ""},

		{"undefined", "windows-1252", "id\n\x81\n", "", "byte 3: 0x81 is no character of windows-1252"},
		{"undefined far behind", "windows-1250", long + "\x98", "", "byte 65536: 0x98 is no character of windows-1250"},
		{"a control character of ISO 8859", "iso-8859-2", "a\x85", "", "byte 1: 0x85 is no character of iso-8859-2"},
		{"UTF-8 that is not", "utf-8", "a\xffb", "", "byte 1: 0xff is no character of utf-8"},
		{"a surrogate in UTF-8", "utf-8", "\xed\xa0\x80", "", "byte 0: 0xeda080 is no character of utf-8"},
		{"a mark counts", "windows-1250", "\xef\xbb\xbfa\xff", "", "byte 4: 0xff is no character of utf-8"},
		{"a first byte without its second", "shift_jis", "\x93\n", "", "byte 0: 0x930a is no character of shift_jis"},
		{"half a pair", "utf-16le", "a\x00\x3d\xd8b\x00", "", "byte 2: 0x3dd86200 is no character of utf-16le"},
		{"an escape sequence of another", "iso-2022-jp", "a\x1b$A", "", "byte 1: 0x1b2441 is no character of iso-2022-jp"},
		{"an error and U+FFFD", "utf-8", "\ufffd\ufffd\xff", "", "byte 6: 0xff is no character of utf-8"},

		{"cut", "shift_jis", "a\x93", "", "byte 1: the source ends in the middle of a character of shift_jis"},
		{"cut in UTF-8", "utf-8", "a\xe2\x82", "", "byte 1: the source ends in the middle of a character of utf-8"},
		{"cut in UTF-16", "utf-16le", "a\x00b", "", "byte 2: the source ends in the middle of a character of utf-16le"},
		{"cut in a pair", "utf-16le", "a\x00\x3d\xd8", "", "byte 2: the source ends in the middle of a character of utf-16le"},
		{"cut in an escape sequence", "iso-2022-jp", "a\x1b$", "", "byte 1: the source ends in the middle of a character of iso-2022-jp"},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := test.err
			if want != "" {
				want = "step 1 FromCharset: " + want
			}
			for _, cut := range []func(io.Reader) io.Reader{
				func(r io.Reader) io.Reader { return r }, iotest.HalfReader, iotest.OneByteReader, iotest.DataErrReader,
			} {
				j := job{reader: cut(strings.NewReader(test.in))}
				got, err := j.run(t, chain.FromCharset(test.charset, false))
				wantError(t, err, want)
				if err == nil && got != test.want {
					t.Errorf("got %.100q, want %.100q", got, test.want)
				}
				var e *chain.Error
				if errors.As(err, &e) && !strings.HasPrefix(e.Err.Error(), fmt.Sprintf("byte %d:", e.Offset)) {
					t.Errorf("the offset is %d: %v", e.Offset, err)
				}
			}
		})
	}
}

// TestFromCharsetLossy reads on behind what is no character.
func TestFromCharsetLossy(t *testing.T) {
	for _, test := range []struct{ charset, in, want string }{
		{"windows-1252", "a\x81b\x9d", "a\ufffdb\ufffd"},
		{"utf-8", "a\xffb\xe2\x82", "a\ufffdb\ufffd"},
		{"shift_jis", "\x93\nb", "\ufffd\nb"},
		{"utf-16le", "\x3d\xd8b\x00c", "\ufffdb\ufffd"},
		{"iso-2022-jp", "a\x1b$Ab\xff\x1b$BF|", "a\ufffd$Ab\ufffd日"},
	} {
		for _, cut := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader} {
			j := job{reader: cut(strings.NewReader(test.in))}
			got, err := j.run(t, chain.FromCharset(test.charset, true))
			if err != nil || got != test.want {
				t.Errorf("%s: %q: got %q, %v, want %q", test.charset, test.in, got, err, test.want)
			}
		}
	}
}

// TestFromCharsetOfBrokenSource passes on what came before the failure, whose
// the source stays.
func TestFromCharsetOfBrokenSource(t *testing.T) {
	for _, in := range []string{"", "a", "id\n1\n\xf8", strings.Repeat("x", 100_000)} {
		j := job{reader: io.MultiReader(strings.NewReader(in), broken{})}
		_, err := j.run(t, chain.FromCharset("windows-1250", false))
		wantError(t, err, "source: it is broken")
	}
}

// TestFromCharsetThenRecords decodes before anything looks for commas and quotes.
func TestFromCharsetThenRecords(t *testing.T) {
	in := "\xff\xfe" + utf16le("id,name\n1,\"Žižkov, 3\"\n2,Brno\n")
	j := job{in: in}
	got, err := j.run(t, chain.FromCharset("windows-1250", false), chain.Select([]string{"name"}), chain.JSONLines())
	if want := `{"name":"Žižkov, 3"}` + "\n" + `{"name":"Brno"}` + "\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	// What was decoded before the failure has been read as rows, and no more.
	j = job{in: "id\n1\n2\n\x81\n"}
	_, err = j.run(t, chain.FromCharset("windows-1252", false), chain.Select([]string{"id"}))
	wantError(t, err, "step 1 FromCharset: byte 7: 0x81 is no character of windows-1252")
}

func utf16le(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteByte(byte(r))
		b.WriteByte(byte(r >> 8))
	}
	return b.String()
}

// TestToCharset writes objects in another charset, wherever writes are cut.
func TestToCharset(t *testing.T) {
	long := strings.Repeat("0123456789abcde,", 1<<13)
	for _, test := range []struct{ name, charset, in, want, err string }{
		{"nothing", "windows-1250", "", "", ""},
		{"nothing, with a mark", "utf-16", "", "", ""},
		{"one byte a character", "windows-1250", "Příliš €\n", "P\xf8\xedli\x9a \x80\n", ""},
		{"two bytes a character", "shift_jis", "日本", "\x93\xfa\x96{", ""},
		{"escape sequences, closed at the end", "iso-2022-jp", "日本", "\x1b$BF|K\\\x1b(B", ""},
		{"utf-8", "utf-8", "€\ufffd", "€\ufffd", ""},
		{"utf-16le has no mark", "utf-16le", "a€😀", "a\x00\xac\x20\x3d\xd8\x00\xde", ""},
		{"utf-16be has no mark", "UTF-16BE", "a€😀", "\x00a\x20\xac\xd8\x3d\xde\x00", ""},
		{"utf-16 has one", "utf-16", "a", "\xff\xfea\x00", ""},
		{"utf-16 has only one", "utf-16", "\ufeffa", "\xff\xfea\x00", ""},
		{"utf-16le keeps one", "utf-16le", "\ufeffa", "\xff\xfea\x00", ""},
		{"gb18030 keeps one", "gb18030", "\ufeffa", "\x84\x31\x95\x33a", ""},
		{"windows-1250 has none", "windows-1250", "\ufeffa", "a", ""},
		{"only a mark", "windows-1250", "\ufeff", "", ""},
		{"a character that UTF-16 writes long", "utf-16le", "\ufffd", "\xfd\xff", ""},
		{"long", "windows-1250", long + "ž" + long, long + "\x9e" + long, ""},

		{"lacking", "iso-8859-2", "id,price\n1,5 €\n", "",
			"line 2 of the object, byte 13 in UTF-8: the character U+20AC '€' is not in iso-8859-2"},
		{"lacking far behind", "iso-8859-2", long + "\n" + long + "€", "",
			"line 2 of the object, byte 262145 in UTF-8: the character U+20AC '€' is not in iso-8859-2"},
		{"a mark behind the beginning", "windows-1250", "a\ufeff", "",
			"line 1 of the object, byte 1 in UTF-8: the character U+FEFF is not in windows-1250"},
		{"a control character that browsers know", "windows-1252", "\u0081", "",
			"line 1 of the object, byte 0 in UTF-8: the character U+0081 is not in windows-1252"},
		{"U+FFFD", "windows-1252", "\ufffd", "",
			"line 1 of the object, byte 0 in UTF-8: the character U+FFFD '\ufffd' is not in windows-1252"},
		{"an escape", "iso-2022-jp", "\x1b", "",
			"line 1 of the object, byte 0 in UTF-8: the character U+001B is not in iso-2022-jp"},
		{"private use", "gb18030", "\ue000", "",
			"line 1 of the object, byte 0 in UTF-8: the character U+E000 is not in gb18030"},
		{"not UTF-8", "windows-1250", "a\xff", "",
			"line 1 of the object, byte 1 in UTF-8: 0xff is not UTF-8; FromCharset decodes a source in another charset"},
		{"not UTF-8, to UTF-8", "utf-8", "a\xff", "",
			"line 1 of the object, byte 1 in UTF-8: 0xff is not UTF-8; FromCharset decodes a source in another charset"},
		{"cut", "utf-16le", "a\xe2\x82", "",
			"line 1 of the object, byte 1 in UTF-8: 0xe2 is not UTF-8; FromCharset decodes a source in another charset"},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := test.err
			if want != "" {
				want = "step 2 ToCharset: " + want
			}
			for _, size := range []int{1 << 20, 1000, 1} {
				var o object
				j := job{in: test.in, object: &o}
				got, err := j.run(t, inPieces(size), chain.ToCharset(test.charset, false))
				wantError(t, err, want)
				if err == nil && got != test.want {
					t.Errorf("in pieces of %d: got %.100q, want %.100q", size, got, test.want)
				}
				o.wantEnd(t, err != nil)
			}
		})
	}
}

// TestToCharsetSplit bounds objects by their size in the charset, and uses it.
func TestToCharsetSplit(t *testing.T) {
	const size = 1000
	for _, test := range []struct{ charset, field string }{
		{"windows-1250", "žluť"}, {"utf-16", "abc"}, {"utf-16be", "žluť"}, {"iso-2022-jp", "日a本α"}, {"gb18030", "Žé"}, {"utf-8", "a"},
	} {
		for _, lossy := range []bool{false, true} {
			var objects []*object
			p, errs := chain.Compile([]chain.Step{chain.SplitSize(size), chain.ToCharset(test.charset, lossy)})
			if errs != nil {
				t.Fatal(errors.Join(errs...))
			}
			in := "id\n" + strings.Repeat(test.field+"\n", 1000)
			err := p.Run(t.Context(), chain.Input{
				Source: chain.Source{Open: func(context.Context) (io.Reader, io.Closer, error) {
					return strings.NewReader(in), nil, nil
				}},
				Dialect: record.Dialect{}.Resolve(), Parallel: 2, Share: p.Share(2, chain.Budget{Memory: 64 << 20, Object: 1 << 20}),
			}, new(chain.Counts), func(*chain.Object) (chain.ByteSink, error) {
				objects = append(objects, &object{})
				return objects[len(objects)-1], nil
			})
			if err != nil {
				t.Fatalf("%s: %v", test.charset, err)
			}
			got, stored := "", 0
			for i, o := range objects {
				if o.text.Len() > size {
					t.Errorf("%s: object %d has %d bytes", test.charset, i+1, o.text.Len())
				}
				stored += o.text.Len()
				text, err := read(t, test.charset, o.text.String(), size)
				if err != nil {
					t.Fatalf("%s: object %d: %v", test.charset, i+1, err)
				}
				got += strings.TrimPrefix(text, "id\n")
			}
			if "id\n"+got != in {
				t.Errorf("%s: the objects have %d bytes of text, want %d", test.charset, len(got), len(in))
			}
			if len(objects) > stored/size*5/4+1 {
				t.Errorf("%s: %d objects for %d bytes", test.charset, len(objects), stored)
			}
		}
	}
}

// TestToCharsetWrites is about who is to blame, and about the end.
func TestToCharsetWrites(t *testing.T) {
	for _, test := range []struct {
		name, in string
		object   object
		want     string
	}{
		{"write fails", "ab", object{failAt: 1}, "it is broken"},
		{"finish fails", "ab", object{finishErr: errBroken}, "it is broken"},
		{"the last write fails", "日", object{failAt: 2}, "it is broken"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := test.object
			j := job{in: test.in, object: &o}
			_, err := j.run(t, chain.ToCharset("iso-2022-jp", false))
			wantError(t, err, test.want)
			if o.finished+o.aborted != 1 {
				t.Errorf("the object was finished %d times and aborted %d times", o.finished, o.aborted)
			}
		})
	}
}

// TestToCharsetLossy writes something else.
func TestToCharsetLossy(t *testing.T) {
	for _, test := range []struct{ charset, in, want string }{
		{"windows-1250", "日本 ř\xff", "?? \xf8?"},
		{"iso-2022-jp", "日€本\x1b", "\x1b$BF|\x1b(B?\x1b$BK\\\x1b(B?"},
		{"utf-8", "a\xff\xe2\x82", "a\ufffd\ufffd\ufffd"},
		{"utf-16le", "a\xff", "a\x00\xfd\xff"},
		{"gb18030", "\ue000", "?"},
	} {
		for _, size := range []int{1 << 20, 1} {
			j := job{in: test.in}
			got, err := j.run(t, inPieces(size), chain.ToCharset(test.charset, true))
			if err != nil || got != test.want {
				t.Errorf("%s: %q: got %q, %v, want %q", test.charset, test.in, got, err, test.want)
			}
		}
	}
}

// TestToCharsetBeforeGzip: what is compressed is in the charset.
func TestToCharsetBeforeGzip(t *testing.T) {
	j := job{in: "id,name\n1,Žižkov\n"}
	got, err := j.run(t, chain.Select([]string{"name"}), chain.ToCharset("windows-1250", false), chain.Gzip(-1))
	if err != nil {
		t.Fatal(err)
	}
	wantMember(t, got, "name\n\x8ei\x9ekov\n")
}

// TestCharsetNames are checked before anything is read.
func TestCharsetNames(t *testing.T) {
	_, errs := chain.Compile([]chain.Step{
		chain.FromCharset("cp852", false), chain.FromCharset("iso-2022-kr", true), chain.FromCharset(" UTF-8\t", false),
		chain.ToCharset("", false), chain.ToCharset("windows-1250//TRANSLIT", true), chain.ToCharset("latin2", false),
	})
	unknown := `the names are those of https://encoding.spec.whatwg.org/#names-and-labels, such as "windows-1250" or "utf-16le"`
	wantError(t, errors.Join(errs...), strings.Join([]string{
		`step 1 FromCharset: there is no charset "cp852"; ` + unknown,
		`step 2 FromCharsetLossy: the charset "iso-2022-kr" is one that the WHATWG has given up; nothing decodes it`,
		`step 4 ToCharset: there is no charset ""; ` + unknown,
		`step 5 ToCharsetLossy: there is no charset "windows-1250//TRANSLIT"; ` + unknown,
	}, "\n"))
	if got := chain.ToCharset("latin2", true).String(); got != `ToCharsetLossy("latin2")` {
		t.Errorf("got %s", got)
	}
}

// charsets are one of every kind, and every one of several bytes.
var charsets = []string{"utf-8", "utf-16", "utf-16le", "utf-16be", "windows-1250", "windows-1252", "iso-8859-3", "iso-8859-8-i",
	"koi8-u", "macintosh", "ibm866", "x-user-defined", "gbk", "gb18030", "big5", "euc-jp", "iso-2022-jp", "shift_jis", "euc-kr"}

// FuzzCharset writes text and reads it again: what ToCharset writes without a
// complaint is what FromCharset reads.
func FuzzCharset(f *testing.F) {
	for i := range charsets {
		f.Add("id,name\n1,Žižkov €\n2,日本ｱ\x1b\u0081😀\ufeff\ufffd\ue000\xff", byte(i), uint16(7))
		f.Add("Ë\u00ca\u0304 ~\\¥‾−－\n", byte(i), uint16(1))
	}
	f.Fuzz(func(t *testing.T, text string, which byte, size uint16) {
		name := charsets[int(which)%len(charsets)]
		written := job{in: text}
		object, err := written.run(t, inPieces(int(size)+1), chain.ToCharset(name, false))
		if err != nil {
			lossy := job{in: text}
			object, err = lossy.run(t, chain.ToCharset(name, true))
			if err != nil {
				t.Fatalf("%s, lossy: %v", name, err)
			}
			if text, err = read(t, name, object, int(size)); err != nil || strings.Contains(text, "\ufffd") && name[:3] != "utf" && name != "gb18030" {
				t.Fatalf("%s: %q does not read again: %q, %v", name, object, text, err)
			}
			return
		}
		if name[:3] != "utf" && (strings.HasPrefix(object, "\xff\xfe") || strings.HasPrefix(object, "\xfe\xff") || strings.HasPrefix(object, "\xef\xbb\xbf")) ||
			name == "utf-16le" && strings.HasPrefix(text, "\ufffe") || name == "utf-16be" && strings.HasPrefix(text, "\ufffe") {
			return // reads as a byte order mark, to every reader that knows them
		}
		want := strings.TrimPrefix(text, "\ufeff")
		if name == "gb18030" { // whose mark the Encoding Standard takes for text
			want = text
		}
		if got, err := read(t, name, object, int(size)); err != nil || got != want {
			t.Fatalf("%s: wrote %q as %q, read %q, %v", name, text, object, got, err)
		}
	})
}

func read(t *testing.T, charset, object string, size int) (string, error) {
	j := job{reader: pieces{strings.NewReader(object), size + 1}}
	return j.run(t, chain.FromCharset(charset, false))
}

// FuzzFromCharset never fails when it may replace, whatever the bytes, and
// otherwise only where it would have replaced something.
func FuzzFromCharset(f *testing.F) {
	for i := range charsets {
		f.Add([]byte("a\x93\xfa\x1b$BF|\x84\x31\xa4\x37\xff"), byte(i), uint16(0))
	}
	f.Fuzz(func(t *testing.T, in []byte, which byte, size uint16) {
		name := charsets[int(which)%len(charsets)]
		j := job{reader: bytes.NewReader(in)}
		lossy, err := j.run(t, chain.FromCharset(name, true))
		if err != nil {
			t.Fatalf("%s, lossy: %q: %v", name, in, err)
		}
		got, err := read(t, name, string(in), int(size))
		var e *chain.Error
		switch {
		case err == nil && got != lossy:
			t.Fatalf("%s: %q reads as %q, lossy %q", name, in, got, lossy)
		case err != nil && !errors.As(err, &e):
			t.Fatalf("%s: %q: %v", name, in, err)
		case err != nil && (e.Offset < 0 || e.Offset >= int64(len(in)) || !strings.Contains(lossy, "\ufffd")):
			t.Fatalf("%s: %q: %v at %d, lossy %q", name, in, err, e.Offset, lossy)
		}
	})
}

package chain_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/record"
)

// TestTrim takes white space off the ends of values, and nothing else.
func TestTrim(t *testing.T) {
	for _, test := range []struct {
		name, in string
		dialect  record.Dialect
		columns  []string
		want     string
	}{
		{"nothing to trim", "a,b\n1,\"x\"\n,\"\"\n", record.Dialect{}, nil, "a,b\n1,\"x\"\n,\"\"\n"},
		{"both ends", "a,b\n x\t, y z \n", record.Dialect{}, nil, "a,b\nx,y z\n"},
		{"named columns only", "a,b\n x , y \n", record.Dialect{}, []string{"b"}, "a,b\n x ,y\n"},
		{"quoted", "a,b\n\" x \",\" y, z\"\n", record.Dialect{}, nil, "a,b\nx,\"y, z\"\n"},
		{"quoted, with quotes", "a,b\n\" \"\"x\"\" \",\"\"\" \"\n", record.Dialect{}, nil, "a,b\n\"\"\"x\"\"\",\"\"\"\"\n"},
		{"quoted, line ends", "a,b\n\"\nx\r\n\",1\n", record.Dialect{}, nil, "a,b\nx,1\n"},
		{"to the empty string, not NULL", "a,b\n  ,\" \"\n", record.Dialect{}, nil, "a,b\n\"\",\"\"\n"},
		{"NULL stays", "a,b\n,1\n , 2\n", record.Dialect{}, nil, "a,b\n,1\n\"\",2\n"},
		{"to what reads as NULL", "a,b\nNULL , NULL\nNULL,\n", record.Dialect{Null: "NULL"}, nil, "a,b\n\"NULL\",\"NULL\"\nNULL,\n"},
		{"white space of Unicode", "a,b\n\u00a0x\u2003,\u3000é\u0085\n", record.Dialect{}, nil, "a,b\nx,é\n"},
		{"bytes that are no characters", "a,b\n\xa0x\x85,\xff \n", record.Dialect{}, nil, "a,b\n\xa0x\x85,\xff\n"},
		{"other letters", "a,b\nžluť,日本\n", record.Dialect{}, nil, "a,b\nžluť,日本\n"},
		{"zero width is no white space", "a,b\n1,\u200bx\u200b\n", record.Dialect{}, nil, "a,b\n1,\u200bx\u200b\n"},
		{"escaped", "a,b\n\\ x\\ ,\"\\ y\"\n", record.Dialect{Escape: '\\'}, nil, "a,b\nx,y\n"},
		{"without quotes", "a|b\n \"x|\" y\" \n", record.Dialect{Comma: '|', NoQuote: true}, nil, "a|b\n\"x|\" y\"\n"},
		{"a quote that never ends", "a,b\n1,\" x ", record.Dialect{LazyQuotes: true}, nil, "a,b\n1,x\n"},
		{"rows that were padded", "a,b\n x\n", record.Dialect{Ragged: record.RaggedPad}, nil, "a,b\nx,\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			everyWay(t, test.in, func(t *testing.T, reader io.Reader, parallel int) {
				j := job{reader: reader, dialect: test.dialect, parallel: parallel}
				got, err := j.run(t, chain.Trim(test.columns))
				if err != nil || got != test.want {
					t.Errorf("got %q, %v, want %q", got, err, test.want)
				}
			})
		})
	}
}

// TestTrimOfValues made by steps, behind rows that are gone.
func TestTrimOfValues(t *testing.T) {
	j := job{in: "id\n1\n2\n3\n4\n"}
	odd := chain.Filter(func(r record.Record) bool { return r.Get("id") == "2" || r.Get("id") == "4" })
	spaced := chain.Derive("s", func(r record.Record) (record.Value, error) {
		if r.Get("id") == "4" {
			return record.Value{}, nil
		}
		return record.TextValue(" " + r.Get("id") + " "), nil
	})
	got, err := j.run(t, odd, spaced, chain.AddColumn("c", " c "), chain.Redact([]string{"id"}), chain.Trim(nil))
	if want := "id,s,c\n,2,c\n,,c\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// TestRedact makes values NULL and touches no others.
func TestRedact(t *testing.T) {
	in := "id,name,email\n1,\"Li, Wei\",li@example.com\n2,,\"\"\n"
	for _, test := range []struct {
		steps []chain.Step
		want  string
	}{
		{[]chain.Step{chain.Redact([]string{"email"})}, "id,name,email\n1,\"Li, Wei\",\n2,,\n"},
		{[]chain.Step{chain.Redact([]string{"email", "id"})}, "id,name,email\n,\"Li, Wei\",\n,,\n"},
		{[]chain.Step{chain.Redact([]string{"id", "name", "email"})}, "id,name,email\n,,\n,,\n"},
		{[]chain.Step{chain.Redact([]string{"name"}), chain.JSONLines()},
			`{"id":"1","name":null,"email":"li@example.com"}` + "\n" + `{"id":"2","name":null,"email":""}` + "\n"},
		{[]chain.Step{chain.Typed("id", record.Int64), chain.Redact([]string{"id"}), chain.Hash([]byte("k"), []string{"id"}), chain.Select([]string{"id"}),
			chain.JSONLines()}, "{\"id\":null}\n{\"id\":null}\n"},
	} {
		t.Run(fmt.Sprint(test.steps), func(t *testing.T) {
			everyWay(t, in, func(t *testing.T, reader io.Reader, parallel int) {
				j := job{reader: reader, parallel: parallel}
				got, err := j.run(t, test.steps...)
				if err != nil || got != test.want {
					t.Errorf("got %q, %v, want %q", got, err, test.want)
				}
			})
		})
	}
}

// TestCleaningForm is about arguments that cannot work.
func TestCleaningForm(t *testing.T) {
	for _, test := range []struct {
		step chain.Step
		want string
	}{
		{chain.Trim(nil), ""},
		{chain.Trim([]string{"id", "id"}), `step 1 Trim: names column "id" twice`},
		{chain.Trim([]string{"x"}), `step 1 Trim: no column "x": there are id, name`},
		{chain.Redact(nil), "step 1 Redact: takes at least one column"},
		{chain.Redact([]string{"id", "id"}), `step 1 Redact: names column "id" twice`},
		{chain.Redact([]string{"x"}), `step 1 Redact: no column "x": there are id, name`},
		{chain.Dedupe(nil), ""},
		{chain.Dedupe([]string{"id", "id"}), `step 1 Dedupe: names column "id" twice`},
		{chain.Dedupe([]string{"x"}), `step 1 Dedupe: no column "x": there are id, name`},
	} {
		_, errs := chain.Compile([]chain.Step{test.step})
		if len(errs) > 0 {
			wantError(t, errs[0], test.want)
			continue
		}
		j := job{in: "id,name\n1,a\n"}
		_, err := j.run(t, test.step)
		wantError(t, err, test.want)
	}
}

// TestTrimAllocates nothing for rows that have nothing to trim, quotes or not.
func TestTrimAllocates(t *testing.T) {
	allocations := func(rows int, steps ...chain.Step) float64 {
		in := "id,name,city\n" + strings.Repeat("1,\"Li, Wei\",Žižkov\n", rows)
		return testing.AllocsPerRun(3, func() {
			j := job{in: in, parallel: 1}
			if _, err := j.run(t, steps...); err != nil {
				t.Fatal(err)
			}
		})
	}
	const rows = 100_000
	for _, steps := range [][]chain.Step{{chain.Trim(nil)}, {chain.Redact([]string{"name"})}, {chain.Dedupe([]string{"id"})}} {
		if n := allocations(rows, steps...) - allocations(10, steps...); n > rows/100 {
			t.Errorf("%v: %d rows take %v allocations", steps, rows, n)
		}
	}
}

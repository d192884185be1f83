package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed149ec23d/s3writer"
)

// partitioned is a table whose first two columns become folders: values that Hive escapes, values that it does not,
// and rows of the same folder that do not stand together.
func partitioned() nastyTable {
	table := nastyTable{name: "partitioned", columns: []string{"country", "the city", "id", "note"}}
	countries := []string{
		"CZ", "DE", "a/b", "x=y", "50%", "%2F", "a:b", `back\slash`, `quo"te`, "it's", "[x]{y}", "čž 日本", " blanks ", "a+b", "a&b?c#d*e", "^~!@$()",
		"tab\there", "line\nbreak", "null", "..x",
	}
	for i := range 400 {
		country, city := text(countries[i%len(countries)]), text(fmt.Sprintf("city/%d", i%3))
		switch {
		case i%17 == 0:
			country = null()
		case i%19 == 0:
			city = text("")
		}
		table.rows = append(table.rows, row{country, city, text(fmt.Sprint(i)), text(strings.Repeat("long, \"quoted\"\n", i%5))})
	}
	return table
}

// fromFolders is the table as DuckDB can see it: NULL and the empty string share one folder, which is NULL, and the folder of
// the text null, in upper or lower case, is NULL to DuckDB as well.
func (n nastyTable) fromFolders(partitions int) []row {
	want := make([]row, len(n.rows))
	for i, r := range n.rows {
		want[i] = append(row(nil), r...)
		for p := range partitions {
			if v := want[i][p].String; v == "" || strings.EqualFold(v, "null") {
				want[i][p] = null()
			}
		}
	}
	return want
}

// TestDuckDBReadsPartitions finds every row again, from the folder that it was put in.
func TestDuckDBReadsPartitions(t *testing.T) {
	t.Parallel()
	table := partitioned()
	const hive = "hive_partitioning = true, hive_types_autocast = false, "
	left := table.columns[2:]
	fromCSV := func(files []string) string {
		return fmt.Sprintf("read_csv(%s, %s%v, %s)", list(files...), hive, csvOptions(s3writer.CSV{}), varchars(left))
	}
	fromJSON := func(files []string) string {
		return fmt.Sprintf("read_json(%s, %sformat = 'newline_delimited', %s)", list(files...), hive, varchars(left))
	}
	for _, test := range []struct {
		name       string
		processors []s3writer.Processor
		codec      codec
		from       func([]string) string
	}{
		{"CSV", nil, codecs[0], fromCSV},
		{"CSV, gzip", []s3writer.Processor{s3writer.Gzip()}, codecs[2], fromCSV},
		{"JSON Lines, zstd", []s3writer.Processor{s3writer.JSONLines(), s3writer.Zstd()}, codecs[3], fromJSON},
		{"split", []s3writer.Processor{s3writer.SplitRows(3), s3writer.Gzip()}, codecs[2], fromCSV},
	} {
		t.Run(test.name, func(t *testing.T) {
			db, f := openDuckDB(t), newFolder(t)
			processors := append([]s3writer.Processor{s3writer.PartitionBy(table.columns[:2]...)}, test.processors...)
			report, err := f.writer.Write(t.Context(), s3writer.NewTable("orders.csv", test.codec.source(table), processors...))
			if err != nil {
				t.Fatal(err)
			}
			for _, object := range report.Tables[0].Objects {
				f.lay(t, object.Key)
			}
			if keys := f.server.Keys("warehouse"); len(keys) != len(f.files) {
				t.Errorf("%d objects are there, %d reported", len(keys), len(f.files))
			}
			f.wantWhole(t, test.codec)
			_, got := db.mustQuery(`SELECT country, "the city", id, note FROM ` + test.from(f.files) + " ORDER BY id::BIGINT")
			if err := difference(got, table.fromFolders(2)); err != nil {
				t.Error(err)
			}
		})
	}
}

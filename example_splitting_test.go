package s3writer_test

import (
	"fmt"
	"os"
	"strings"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

const sales = `country,id,amount
CZ,1,10.50
US,2,3.00
CZ,3,7.25
,4,1.00
`

// Each country gets a folder, as Hive, Athena and Spark read them.
func ExamplePartitionBy() {
	deliver(s3writer.NewTable("sales.csv", strings.NewReader(sales), s3writer.PartitionBy("country")))
	// Output:
	// -- country=CZ/sales-00001.csv --
	// id,amount
	// 1,10.50
	// 3,7.25
	// -- country=US/sales-00001.csv --
	// id,amount
	// 2,3.00
	// -- country=__HIVE_DEFAULT_PARTITION__/sales-00001.csv --
	// id,amount
	// 4,1.00
}

// Every object has a header row of its own.
func ExampleSplitRows() {
	deliver(s3writer.NewTable("sales.csv", strings.NewReader(sales), s3writer.Select("id", "amount"), s3writer.SplitRows(3), s3writer.Gzip()))
	// Output:
	// -- sales-00001.csv.gz --
	// id,amount
	// 1,10.50
	// 2,3.00
	// 3,7.25
	// -- sales-00002.csv.gz --
	// id,amount
	// 4,1.00
}

// No object is larger than 25 bytes.
func ExampleSplitSize() {
	deliver(s3writer.NewTable("sales.csv", strings.NewReader(sales), s3writer.Select("id", "amount"), s3writer.SplitSize(25)))
	// Output:
	// -- sales-00001.csv --
	// id,amount
	// 1,10.50
	// 2,3.00
	// -- sales-00002.csv --
	// id,amount
	// 3,7.25
	// 4,1.00
}

// Rows of partitions wait on disk when memory is short.
func ExampleWithSpill() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	w, err := s3writer.New(ctx, "writer-sample", s3writer.WithAWSConfig(srv.Config()),
		s3writer.WithMemory(64<<20), s3writer.WithSpill(os.TempDir()))
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := w.Write(ctx, s3writer.NewTable("sales.csv", strings.NewReader(sales), s3writer.PartitionBy("country", "id")))
	if err != nil {
		fmt.Println(err)
	}
	for _, o := range report.Tables[0].Objects {
		fmt.Println(o.Key, o.Rows, o.Partition)
	}
	// Output:
	// country=CZ/id=1/sales-00001.csv 1 [CZ 1]
	// country=CZ/id=3/sales-00001.csv 1 [CZ 3]
	// country=US/id=2/sales-00001.csv 1 [US 2]
	// country=__HIVE_DEFAULT_PARTITION__/id=4/sales-00001.csv 1 [__HIVE_DEFAULT_PARTITION__ 4]
}

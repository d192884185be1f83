package s3writer_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// Two workers upload; a coordinator makes visible what both have, from the
// documents they sent it.
func ExampleWriter_Stage() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()

	worker := func(key, text string) []byte {
		w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithAWSConfig(srv.Config()))
		staged, err := w.Stage(ctx, s3writer.NewTable(key, strings.NewReader(text)))
		if err != nil {
			fmt.Println(err)
		}
		document, _ := json.Marshal(staged)
		return document
	}
	documents := [][]byte{worker("orders.csv", "id,user\n1,7\n"), worker("users.csv", "id\n7\n")}
	fmt.Println(len(srv.Keys("writer-sample")), "objects visible")

	coordinator, _ := s3writer.New(ctx, "writer-sample", s3writer.WithAWSConfig(srv.Config()), s3writer.WithAllOrNothing())
	var staged []*s3writer.Staged
	for _, document := range documents {
		s := new(s3writer.Staged)
		if err := json.Unmarshal(document, s); err != nil {
			fmt.Println(err)
			return
		}
		staged = append(staged, s)
	}
	if _, err := coordinator.Commit(ctx, staged...); err != nil {
		fmt.Println(err)
	}
	show(srv)
	// Output:
	// 0 objects visible
	// -- orders.csv --
	// id,user
	// 1,7
	// -- users.csv --
	// id
	// 7
}

// What was staged is not wanted after all.
func ExampleWriter_Abort() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithAWSConfig(srv.Config()))

	staged, _ := w.Stage(ctx, s3writer.NewTable("orders.csv", strings.NewReader("id\n1\n")))
	fmt.Println(len(srv.Uploads("writer-sample")), "upload")
	if err := w.Abort(ctx, staged); err != nil {
		fmt.Println(err)
	}
	fmt.Println(len(srv.Uploads("writer-sample")), "uploads,", len(srv.Keys("writer-sample")), "objects")
	// Output:
	// 1 upload
	// 0 uploads, 0 objects
}

// A commit that stopped half way is taken up again.
func ExampleWriter_Commit() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	srv.Fail(s3writertest.Fault{Op: "PutObject", Key: "k=b/t-00001.csv", N: 1, Status: http.StatusForbidden})
	w, _ := s3writer.New(ctx, "writer-sample", s3writer.WithAWSConfig(srv.Config()), s3writer.WithConcurrency(1))

	report, err := w.Write(ctx, s3writer.NewTable("t.csv", strings.NewReader("id,k\n1,a\n2,b\n"), s3writer.PartitionBy("k")))
	if errors.Is(err, s3writer.ErrPartialCommit) {
		for _, o := range report.Tables[0].Objects {
			fmt.Println(o.Key, o.State)
		}
		if _, err = w.Commit(ctx, report.Pending); err != nil {
			fmt.Println(err)
		}
	}
	show(srv)
	// Output:
	// k=a/t-00001.csv committed
	// k=b/t-00001.csv pending
	// -- k=a/t-00001.csv --
	// id
	// 1
	// -- k=b/t-00001.csv --
	// id
	// 2
}

package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/seed149ec23d/s3writer"
)

func main() {
	ctx := context.Background()
	w, err := s3writer.New(ctx, "writer-sample",
		s3writer.WithCredentials(s3writer.AssumeRole{
			AccountID: "123456789012", RoleName: "s3-writer", ExternalID: "project-42"}),
		s3writer.WithPrefix("exports"),
	)
	if err != nil {
		log.Fatal(err)
	}
	folder := os.DirFS(".")
	paid := func(r s3writer.Record) bool { return r.Get("status") == "paid" }
	report, err := w.Write(ctx,
		s3writer.NewTable("orders.csv", s3writer.File(folder, "orders.csv"),
			s3writer.Filter(paid), s3writer.Select("id", "amount"), s3writer.Gzip()),
		s3writer.NewTable("users.csv", s3writer.File(folder, "users.csv"),
			s3writer.Hash([]byte(os.Getenv("HASH_KEY")), "email"), s3writer.JSONLines()),
	)
	for _, t := range report.Tables {
		for _, o := range t.Objects {
			fmt.Println(o.State, o.Key, o.Rows, o.Size) // committed exports/orders.csv.gz …
		}
	}
	if err != nil {
		log.Fatal(err)
	}
}

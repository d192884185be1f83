// Database delivers the result of a query as JSON Lines, with the types and
// NULLs of the database. The bucket is one of a server in this process.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"

	_ "modernc.org/sqlite"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

func main() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	if err := deliver(context.Background(), srv); err != nil {
		log.Fatal(err)
	}
	body, _ := srv.Get("writer-sample", "exports/orders.jsonl")
	fmt.Printf("%s", body)
}

func deliver(ctx context.Context, srv *s3writertest.Server) error {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection of :memory: is a database of its own
	if _, err := db.ExecContext(ctx, `
		CREATE TABLE orders (id INTEGER, paid BOOLEAN, amount REAL, note TEXT, created TIMESTAMP);
		INSERT INTO orders VALUES
			(1, true,  9.90, 'gift',  '2026-01-02 15:04:05'),
			(2, false, 120,  NULL,    '2026-01-03 09:30:00'),
			(3, true,  0.5,  'a<b&c', NULL)`); err != nil {
		return err
	}

	id, secret := srv.Credentials()
	w, err := s3writer.New(ctx, "writer-sample",
		s3writer.WithEndpoint(srv.URL),
		s3writer.WithCredentials(s3writer.StaticCredentials(id, secret, "")),
		s3writer.WithPrefix("exports"),
	)
	if err != nil {
		return err
	}
	rows, err := db.QueryContext(ctx, `SELECT * FROM orders ORDER BY id`)
	if err != nil {
		return err
	}
	_, err = w.Write(ctx, s3writer.NewTable("orders", s3writer.Rows(rows), s3writer.JSONLines()))
	return err // the Writer has closed the rows
}

// Role delivers through a role that a bucket's owner made for us. The role,
// the bucket and the STS that gives sessions are those of a server in this
// process; at AWS leave out the two endpoints and Base.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

func main() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()

	// The owner's side: a role that may write into one bucket, and is given
	// only to us, and only with the external ID.
	srv.AddKey("AKIAOURSERVICE000001", "our secret")
	srv.AddRole(s3writertest.Role{
		ARN:        "arn:aws:iam::123456789012:role/s3-writer",
		ExternalID: "project-42",
		Trusted:    []string{"AKIAOURSERVICE000001"},
		Allow:      []s3writertest.Allow{s3writertest.LeastPrivilege("writer-sample")},
	})

	// Our side.
	role := s3writer.AssumeRole{
		AccountID:  "123456789012",
		RoleName:   "s3-writer",
		ExternalID: "project-42",
		Base:       s3writer.StaticCredentials("AKIAOURSERVICE000001", "our secret", ""),
	}
	fmt.Println(role) // a secret is never printed
	role.Endpoint = srv.URL
	if err := deliver(srv.URL, role); err != nil {
		log.Fatal(err)
	}
	body, _ := srv.Get("writer-sample", "exports/orders.csv")
	fmt.Printf("%s", body)

	// What a customer sees who made a mistake.
	role.ExternalID = "project-43"
	err := deliver(srv.URL, role)
	fmt.Println("wrong credentials:", errors.Is(err, s3writer.ErrCredentials))
	log.Print(err)
}

func deliver(endpoint string, role s3writer.AssumeRole) error {
	ctx := context.Background()
	w, err := s3writer.New(ctx, "writer-sample",
		s3writer.WithEndpoint(endpoint),
		s3writer.WithCredentials(role),
		s3writer.WithPrefix("exports"),
	)
	if err != nil {
		return err
	}
	_, err = w.Write(ctx, s3writer.NewTable("orders.csv", strings.NewReader("id,amount\n1,9.90\n")))
	return err
}

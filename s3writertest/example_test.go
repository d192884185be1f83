package s3writertest_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed149ec23d/s3writer/s3writertest"
)

func Example() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	client := s3.NewFromConfig(srv.Config(), func(o *s3.Options) { o.UsePathStyle = true })

	_, err := client.PutObject(context.Background(), &s3.PutObjectInput{
		Bucket: aws.String("writer-sample"),
		Key:    aws.String("orders.csv"),
		Body:   strings.NewReader("id,amount\n1,9.90\n"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	body, _ := srv.Get("writer-sample", "orders.csv")
	fmt.Printf("%q has %q\n", srv.Keys("writer-sample"), body)
	// Output:
	// ["orders.csv"] has "id,amount\n1,9.90\n"
}

// A key that may write and nothing else.
func ExampleServer_AddKey() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	srv.AddKey("AKIACUSTOMER", "secret", s3writertest.LeastPrivilege("writer-sample"))
	client := s3.NewFromConfig(srv.Config(), func(o *s3.Options) {
		o.UsePathStyle = true
		o.Credentials = credentials.NewStaticCredentialsProvider("AKIACUSTOMER", "secret", "")
	})

	_, err := client.PutObject(context.Background(), &s3.PutObjectInput{
		Bucket: aws.String("writer-sample"), Key: aws.String("orders.csv"), Body: strings.NewReader("id\n1\n"),
	})
	fmt.Println("put:", err)
	_, err = client.DeleteObject(context.Background(), &s3.DeleteObjectInput{
		Bucket: aws.String("writer-sample"), Key: aws.String("orders.csv"),
	})
	fmt.Println("delete:", err != nil, srv.Requests()[1].Err)
	// Output:
	// put: <nil>
	// delete: true AccessDenied
}

// The answer to the first PutObject is lost; the client sends it again.
func ExampleServer_Fail() {
	srv := s3writertest.NewServer("writer-sample")
	defer srv.Close()
	srv.Fail(s3writertest.Fault{Op: "PutObject", N: 1, When: s3writertest.After, Cut: true})
	client := s3.NewFromConfig(srv.Config(), func(o *s3.Options) { o.UsePathStyle = true })

	_, err := client.PutObject(context.Background(), &s3.PutObjectInput{
		Bucket: aws.String("writer-sample"), Key: aws.String("orders.csv"), Body: strings.NewReader("id\n1\n"),
	})
	fmt.Println(err)
	for _, r := range srv.Requests() {
		fmt.Println(r.Op, r.Key, r.Status)
	}
	// Output:
	// <nil>
	// PutObject orders.csv 0
	// PutObject orders.csv 200
}

package s3writer_test

import (
	"fmt"
	"strings"
	"sync"

	"github.com/seed149ec23d/s3writer"
	"github.com/seed149ec23d/s3writer/s3writertest"
)

// Three customers get their tables at once, with their own credentials into
// their own buckets, in 64 MiB and with 16 requests in flight altogether.
func ExampleWithPool() {
	customers := []string{"customer-a", "customer-b", "customer-c"}
	srv := s3writertest.NewServer(customers...)
	defer srv.Close()
	for _, name := range customers {
		srv.AddKey("AKIA"+name, "secret of "+name, s3writertest.LeastPrivilege(name))
	}
	pool := s3writer.NewPool(64<<20, 16)
	var deliveries sync.WaitGroup
	for _, name := range customers {
		deliveries.Go(func() {
			w, err := s3writer.New(ctx, name, s3writer.WithPool(pool), s3writer.WithEndpoint(srv.URL),
				s3writer.WithCredentials(s3writer.StaticCredentials("AKIA"+name, "secret of "+name, "")))
			if err != nil {
				fmt.Println(err)
				return
			}
			orders := strings.NewReader("id,customer\n1," + name + "\n")
			if _, err := w.Write(ctx, s3writer.NewTable("orders.csv", orders)); err != nil {
				fmt.Println(err)
			}
		})
	}
	deliveries.Wait()
	for _, name := range customers {
		body, _ := srv.Get(name, "orders.csv")
		fmt.Printf("%s: %q\n", name, body)
	}
	// Output:
	// customer-a: "id,customer\n1,customer-a\n"
	// customer-b: "id,customer\n1,customer-b\n"
	// customer-c: "id,customer\n1,customer-c\n"
}

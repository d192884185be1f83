package main

func Example() {
	main()
	// Output:
	// AssumeRole{AccountID:"123456789012", RoleName:"s3-writer", ExternalID:"project-42", Base:"redacted"}
	// id,amount
	// 1,9.90
	// wrong credentials: true
}

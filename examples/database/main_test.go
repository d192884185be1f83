package main

func Example() {
	main()
	// Output:
	// {"id":1,"paid":true,"amount":9.9,"note":"gift","created":"2026-01-02T15:04:05.000000Z"}
	// {"id":2,"paid":false,"amount":120,"note":null,"created":"2026-01-03T09:30:00.000000Z"}
	// {"id":3,"paid":true,"amount":0.5,"note":"a<b&c","created":null}
}

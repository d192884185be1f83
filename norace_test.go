//go:build !race

package s3writer_test

const raceEnabled = false

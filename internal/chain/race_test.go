//go:build race

package chain_test

// The race detector makes a sync.Pool forget.
func init() { poolsForget = true }

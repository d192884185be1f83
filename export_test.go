package s3writer

// WithMiniature makes parts and pauses n times smaller, so that a test of many
// deliveries takes no time.
func WithMiniature(n int) Option { return func(o *options) { o.miniature = n } }

package s3writer

import (
	"fmt"
	"log/slog"
)

// A Writer holds credentials, and processors may hold keys. What they print is
// what they were made of, never what fmt finds by reflection.

// String returns the bucket and the prefix, such as
// `Writer{bucket: "writer-sample", prefix: "exports/"}`.
func (w *Writer) String() string {
	if w == nil {
		return "Writer(nil)"
	}
	if w.opts == nil || w.opts.prefix == "" {
		return fmt.Sprintf("Writer{bucket: %q}", w.bucket)
	}
	return fmt.Sprintf("Writer{bucket: %q, prefix: %q}", w.bucket, w.opts.prefix)
}

// GoString is String with the package's name.
func (w *Writer) GoString() string { return "s3writer." + w.String() }

// Format prints String, whatever the verb.
func (w *Writer) Format(f fmt.State, verb rune) { formatRedacted(f, verb, w.String()) }

// LogValue is String.
func (w *Writer) LogValue() slog.Value { return slog.StringValue(w.String()) }

// GoString is String with the package's name.
func (p Processor) GoString() string { return "s3writer." + p.String() }

// Format prints String, whatever the verb.
func (p Processor) Format(f fmt.State, verb rune) { formatRedacted(f, verb, p.String()) }

// LogValue is String.
func (p Processor) LogValue() slog.Value { return slog.StringValue(p.String()) }

package s3writer

import (
	"errors"
	"fmt"
	"strings"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/record"
	"github.com/seed149ec23d/s3writer/internal/upload"
)

// What errors.Is finds in the errors of this package. An [Error] around each
// says where; the answer of AWS, with its code, message and request ID, is in
// the text, and errors.As finds its smithy.APIError.
var (
	// ErrAccessDenied: the credentials are good, but may not do this.
	ErrAccessDenied = upload.ErrAccessDenied
	// ErrCredentials: there are none, they are wrong, or the role could not
	// be assumed.
	ErrCredentials = upload.ErrCredentials
	// ErrNoSuchBucket: the bucket is not there.
	ErrNoSuchBucket = upload.ErrNoSuchBucket
	// ErrExists: the object is there already, and WithNoOverwrite was given.
	ErrExists = upload.ErrExists
	// ErrPartialCommit: some objects became visible and others did not; each
	// [Object] of the report has its State.
	ErrPartialCommit = errors.New("only part of the objects became visible")
	// ErrCommitUnknown: the answer to the request that makes an object
	// visible was lost, and what happened cannot be told.
	ErrCommitUnknown = upload.ErrCommitUnknown
	// ErrNothingToWrite: Write was called without a table.
	ErrNothingToWrite = errors.New("nothing to write: no table was given")
)

// Error says where in a delivery something failed. Fields that do not apply
// are empty. Its text reads from large to small:
//
//	s3writer: table "orders.csv": step 1 Filter: row 3: no column "contry": there are id, country
type Error struct {
	Table     string // key of the table, as given
	Step      int    // number of the processor in the chain, from 1; the Writer's own follow the table's
	Processor string // its name
	Object    string // key of the object, with the Writer's prefix
	UploadID  string // of the multipart upload, where it matters
	Row       int64  // of the source, from 1, the header row not counted
	Offset    int64  // of that row, in the decoded source; -1 where it is not known
	Column    string
	Err       error
}

func (e *Error) Error() string { return "s3writer: " + e.text() }

func (e *Error) text() string {
	var b strings.Builder
	if e.Table != "" {
		fmt.Fprintf(&b, "table %q: ", e.Table)
	}
	switch {
	case e.Processor != "":
		fmt.Fprintf(&b, "step %d %s: ", e.Step, e.Processor)
	case e.Step > 0: // the zero Processor has no name
		fmt.Fprintf(&b, "step %d: ", e.Step)
	}
	if e.Object != "" && e.Object != e.Table {
		fmt.Fprintf(&b, "object %q: ", e.Object)
	}
	if e.Row > 0 {
		fmt.Fprintf(&b, "row %d", e.Row)
		if e.Offset >= 0 {
			fmt.Fprintf(&b, " (byte %d)", e.Offset)
		}
		b.WriteString(": ")
	}
	var unknown *record.UnknownColumnError // says the name itself
	if e.Column != "" && !errors.As(e.Err, &unknown) {
		fmt.Fprintf(&b, "column %q: ", e.Column)
	}
	return b.String() + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// tableError makes an *Error of whatever failed in a table.
func tableError(table string, err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		if e.Table == "" {
			e.Table = table
		}
		return e
	}
	var ce *chain.Error
	if errors.As(err, &ce) {
		e := &Error{Table: table, Step: ce.Step, Processor: ce.Processor,
			Row: ce.Row, Offset: ce.Offset, Column: ce.Column, Err: ce.Err}
		var unknown *record.UnknownColumnError
		if errors.As(ce.Err, &unknown) && e.Column == "" {
			e.Column = unknown.Name
		}
		return e
	}
	return &Error{Table: table, Offset: -1, Err: err}
}

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
	// visible was lost, and what happened cannot be told; or a staged upload
	// was gone before its commit.
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

	number int // of the table in its Write, from 1, if its key is empty
}

func (e *Error) Error() string { return "s3writer: " + e.text() }

func (e *Error) text() string {
	var b strings.Builder
	switch {
	case e.Table != "":
		fmt.Fprintf(&b, "table %q: ", e.Table)
	case e.number > 0:
		fmt.Fprintf(&b, "table %d: ", e.number)
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
	if _, named := e.Err.(*record.UnknownColumnError); e.Column != "" && !named {
		fmt.Fprintf(&b, "column %q: ", e.Column)
	}
	return b.String() + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// error makes an *Error of whatever failed in the table. It looks at err itself
// and not at what err wraps: that may be the error of another Write, which
// somebody's function has passed on.
func (d *delivery) error(err error) *Error {
	e := &Error{Table: d.report.Key, Offset: -1, Err: err}
	if e.Table == "" {
		e.number = d.number
	}
	ce, ok := err.(*chain.Error)
	if !ok {
		return e
	}
	e.Step, e.Processor, e.Err = ce.Step, ce.Processor, ce.Err
	e.Row, e.Offset, e.Column = ce.Row, ce.Offset, ce.Column
	if ce.Object != nil {
		e.Object = d.keys.of(ce.Object)
	}
	if unknown, ok := ce.Err.(*record.UnknownColumnError); ok && e.Column == "" {
		e.Column = unknown.Name
	}
	return e
}

// objectError makes an *Error of what failed in one of the table's objects.
func (d *delivery) objectError(key string, err error) *Error {
	e := d.error(err)
	e.Object = key
	var unknown *upload.UnknownCommit
	if errors.As(err, &unknown) {
		e.UploadID = unknown.UploadID
	}
	return e
}

// uploadError is an error of a table's object on its way through the chain,
// where the caller's writers may wrap it, or as the cause of the table's
// context, if it was sent in the background.
type uploadError struct {
	of  *delivery
	err *Error
}

func (e *uploadError) Error() string { return e.err.Error() }
func (e *uploadError) Unwrap() error { return e.err }

// siblingError is the error of the tables that another one's failure stopped.
type siblingError struct {
	of  *delivery
	why string
}

func (e *siblingError) Error() string { return "not delivered: " + e.why }

func failedSibling(d *delivery) *siblingError {
	if !d.w.opts.allOrNothing {
		return &siblingError{d, fmt.Sprintf("%s cannot be committed, and then nothing is", d.name())}
	}
	return &siblingError{d, fmt.Sprintf("%s failed, and WithAllOrNothing was given", d.name())}
}

// isSibling tells whether a table's error is that of another one.
func isSibling(err error) bool {
	e, ok := err.(*Error)
	if !ok {
		return false
	}
	_, ok = e.Err.(*siblingError)
	return ok
}

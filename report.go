package s3writer

import (
	"fmt"
	"time"

	"github.com/seed149ec23d/s3writer/internal/upload"
)

// Report says what a Write did. It is there after a failure too. Objects of
// Pending that could not be uploaded stay in memory beside the budget, for as
// long as the Report.
type Report struct {
	Tables   []TableReport // in the order they were given
	Orphans  []Orphan      // what could not be cleaned up
	Pending  *Staged       // objects that others became visible without: to Commit or Abort; nil: none
	Duration time.Duration

	// Warnings say what the delivery had to go on without, such as checksums
	// that the server rejects, and what should be known of it, such as keys
	// that readers pass over. Each is there once, and nothing has failed.
	Warnings []string
}

// TableReport says what became of one table. Rows are counted where rows are
// looked at: where bytes were copied as they are, the counts of rows are -1.
type TableReport struct {
	Key          string // as given
	RowsRead     int64  // of the source, bad ones included; 0 where the header was as far as it got
	RowsWritten  int64
	RowsFiltered int64 // left out by Filter, Dedupe or a RecordStep that emitted none for them; not those behind a Limit
	RowsRejected int64 // left out by OnBadRow
	BytesRead    int64 // of the source, before Decompress
	Objects      []Object
	Duration     time.Duration
	Err          error // nil: every object is committed, or the run was dry
}

// Object is one object of a table.
type Object struct {
	Key       string // with the Writer's prefix
	Size      int64  // as stored
	Rows      int64  // -1: not counted
	ETag      string
	VersionID string   // of a bucket with versions
	CRC64NVME string   // of the whole object, base64, as S3 shows it
	Parts     int      // it was sent in; a single put is one
	Partition []string // the values of the columns of PartitionBy, in their order
	State     State
	Err       error // why it is not committed
}

// State says whether an object is visible.
type State uint8

// The states of an object.
const (
	Pending   State = iota // not visible: nothing of it was published; also the end of a dry run
	Committed              // visible, whole
	Unknown                // the answer that would tell was lost, or the upload was gone before its commit
)

// String returns the state's name in lower case.
func (s State) String() string {
	switch s {
	case Pending:
		return "pending"
	case Committed:
		return "committed"
	case Unknown:
		return "unknown"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// Orphan is a multipart upload that could not be aborted, and why. It is
// invisible, but its parts are stored and billed until it is aborted by
// somebody who may, or by a lifecycle rule (AbortIncompleteMultipartUpload),
// which every bucket that is written to should have. The upload of an object whose
// commit has an unknown outcome is one, too, as long as it is: it is also what
// [Report].Pending needs to settle that, so commit or abort the Pending, if there
// is one, rather than the upload.
type Orphan struct {
	Key      string
	UploadID string // "": the answer that named it was lost
	Err      error
	terms    upload.Terms // of the requests that made it
}

// Progress is how far a table is.
type Progress struct {
	Table     string // its key
	Objects   int    // begun
	RowsRead  int64  // -1: not counted
	BytesRead int64  // of the source
	BytesSent int64  // acknowledged by the server
	Done      bool   // the table has ended, well or not
}

package s3writer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed149ec23d/s3writer/internal/upload"
)

// Staged is what [Writer.Stage] has uploaded: objects that are whole and
// invisible, until [Writer.Commit] or [Writer.Abort]. It is plain data, and
// JSON in both directions: keys, upload IDs, parts, checksums and counts, about
// 120 bytes per part, and no secret. So many processes or machines can stage,
// and one place commits what all of them have. Where it is kept, keep it safe:
// who has it and the right to write can make the objects visible, and without
// it nobody can.
//
// The parts of staged objects are stored and billed until they are committed or
// aborted; the lifecycle rule of the bucket that removes incomplete uploads
// bounds how long they may wait.
type Staged struct {
	target  target
	created time.Time
	took    time.Duration
	tables  []stagedTable
	orphans []Orphan

	warnings []string
}

// target is where a document's objects go.
type target struct {
	Bucket   string `json:"bucket"`
	Endpoint string `json:"endpoint,omitempty"`
	Region   string `json:"region,omitempty"`
	Given    string `json:"givenRegion,omitempty"` // which the server has corrected
	Owner    string `json:"owner,omitempty"`
	DryRun   bool   `json:"dryRun,omitempty"`
}

type stagedTable struct {
	report  TableReport
	objects []stagedObject // as many as the report has
	// table has the ObjectInput that the objects were made with, in this process:
	// the key of SSE-C is in no document.
	table Table
}

type stagedObject struct {
	upload.Staged
	uploaded bool            // Staged is set: what others than this process need is there
	pending  *upload.Pending // in this process, if it has the object's bytes
}

// Report says what Stage did: its objects are Pending, and tables that failed
// have their error. Of a document that was JSON, errors have their text only.
func (s *Staged) Report() *Report {
	if s == nil { // as a Report's Pending may be
		return &Report{}
	}
	r := &Report{Duration: s.took, Orphans: s.orphans, Warnings: s.warnings}
	for _, t := range s.tables {
		table := t.report
		table.Objects = slices.Clone(table.Objects) // the caller may sort them
		r.Tables = append(r.Tables, table)
	}
	return r
}

// stagedVersion is the version of the documents this library writes, and the
// last one that it reads.
const stagedVersion = 1

type stagedDocument struct {
	Version int       `json:"version"`
	Created time.Time `json:"created"`
	target
	Duration time.Duration         `json:"duration,omitempty"` // nanoseconds
	Tables   []stagedTableDocument `json:"tables"`
	Orphans  []orphanDocument      `json:"orphans,omitempty"`
	Warnings []string              `json:"warnings,omitempty"`
}

type stagedTableDocument struct {
	Key          string                 `json:"key"`
	RowsRead     int64                  `json:"rowsRead"`
	RowsWritten  int64                  `json:"rowsWritten"`
	RowsFiltered int64                  `json:"rowsFiltered"`
	RowsRejected int64                  `json:"rowsRejected"`
	BytesRead    int64                  `json:"bytesRead"`
	Duration     time.Duration          `json:"duration,omitempty"`
	Error        string                 `json:"error,omitempty"`
	Objects      []stagedObjectDocument `json:"objects,omitempty"`
}

type stagedObjectDocument struct {
	Key       string   `json:"key"`
	Size      int64    `json:"size"`
	Rows      int64    `json:"rows"`
	CRC64NVME string   `json:"crc64nvme,omitempty"`
	Partition []string `json:"partition,omitempty"`
	UploadID  string   `json:"uploadId,omitempty"`
	termsDocument
	NoOverwrite bool                `json:"noOverwrite,omitempty"`
	Unknown     bool                `json:"unknown,omitempty"`
	Error       string              `json:"error,omitempty"`
	PartCount   int                 `json:"partCount,omitempty"`
	Parts       []upload.StagedPart `json:"parts,omitempty"`
}

type orphanDocument struct {
	Key      string `json:"key"`
	UploadID string `json:"uploadId,omitempty"`
	termsDocument
	Error string `json:"error,omitempty"`
}

type termsDocument struct {
	RequestPayer string `json:"requestPayer,omitempty"`
	Owner        string `json:"owner,omitempty"` // that must own the bucket, if it is not the document's
}

func (t target) document(terms upload.Terms) termsDocument {
	if terms.Owner == t.Owner {
		terms.Owner = ""
	}
	return termsDocument(terms)
}

// MarshalJSON writes the document. It fails if the bytes of an object are in
// this process alone, as they can be in [Report].Pending after a server has
// refused them: such a document is committed or aborted by the Writer it is of.
// Of an object that may be visible already, because the answer to its PutObject
// was lost, the document says just that: the Writer it is of can send the bytes
// again, for any other it stays an [ErrCommitUnknown], and the rest is committed.
func (s Staged) MarshalJSON() ([]byte, error) {
	doc := stagedDocument{Version: stagedVersion, Created: s.created, target: s.target, Duration: s.took, Tables: []stagedTableDocument{}}
	for _, t := range s.tables {
		r := t.report
		td := stagedTableDocument{Key: r.Key, RowsRead: r.RowsRead, RowsWritten: r.RowsWritten, RowsFiltered: r.RowsFiltered,
			RowsRejected: r.RowsRejected, BytesRead: r.BytesRead, Duration: r.Duration, Error: errorText(r.Err)}
		for i, o := range r.Objects {
			st := t.objects[i]
			if !st.known() && st.pending != nil && !s.target.DryRun {
				return nil, fmt.Errorf("object %q could not be uploaded and is in the memory of this process: commit or abort it here", o.Key)
			}
			td.Objects = append(td.Objects, stagedObjectDocument{Key: o.Key, Size: o.Size, Rows: o.Rows, CRC64NVME: o.CRC64NVME,
				Partition: o.Partition, Error: errorText(o.Err), UploadID: st.UploadID, termsDocument: s.target.document(st.Terms),
				NoOverwrite: st.NoOverwrite, Unknown: st.Doubtful, PartCount: len(st.Parts), Parts: st.Parts})
		}
		doc.Tables = append(doc.Tables, td)
	}
	doc.Warnings = s.warnings
	for _, o := range s.orphans {
		doc.Orphans = append(doc.Orphans, orphanDocument{o.Key, o.UploadID, s.target.document(o.terms), errorText(o.Err)})
	}
	return json.Marshal(doc)
}

// UnmarshalJSON reads a document that MarshalJSON wrote, in this version of the
// library or an earlier one. As everywhere in encoding/json, null changes nothing.
func (s *Staged) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	var doc stagedDocument
	if err := json.Unmarshal(data, &doc); err != nil {
		return err
	}
	if doc.Version == 0 {
		return errors.New("s3writer: this is no staged document: it has no version")
	}
	if doc.Version < 1 || doc.Version > stagedVersion {
		return fmt.Errorf("s3writer: the staged document has version %d; this version of the library reads 1 to %d", doc.Version, stagedVersion)
	}
	*s = Staged{target: doc.target, created: doc.Created, took: doc.Duration}
	for _, td := range doc.Tables {
		t := stagedTable{report: TableReport{Key: td.Key, RowsRead: td.RowsRead, RowsWritten: td.RowsWritten, RowsFiltered: td.RowsFiltered,
			RowsRejected: td.RowsRejected, BytesRead: td.BytesRead, Duration: td.Duration, Err: textError(td.Error)}}
		for _, od := range td.Objects {
			if err := od.check(); err != nil && !doc.DryRun && (td.Error == "" || od.UploadID != "" || od.Unknown) {
				return fmt.Errorf("s3writer: the staged document is damaged: object %q: %w", od.Key, err)
			}
			o := Object{Key: od.Key, Size: od.Size, Rows: od.Rows, CRC64NVME: od.CRC64NVME, Parts: max(1, len(od.Parts)),
				Partition: od.Partition, Err: textError(od.Error)}
			if od.Unknown {
				o.State = Unknown
			}
			t.report.Objects = append(t.report.Objects, o)
			t.objects = append(t.objects, stagedObject{Staged: upload.Staged{Key: od.Key, UploadID: od.UploadID, Size: od.Size,
				CRC64NVME: od.CRC64NVME, Parts: od.Parts, Terms: upload.Terms(od.termsDocument), NoOverwrite: od.NoOverwrite, Doubtful: od.Unknown}, uploaded: od.UploadID != "" || od.Unknown})
		}
		s.tables = append(s.tables, t)
	}
	s.warnings = doc.Warnings
	for _, o := range doc.Orphans {
		s.orphans = append(s.orphans, Orphan{o.Key, o.UploadID, textError(o.Error), upload.Terms(o.termsDocument)})
	}
	return nil
}

// check finds what nobody but an accident makes.
func (o *stagedObjectDocument) check() error {
	switch {
	case o.UploadID == "" && o.Unknown && len(o.Parts) == 0 && o.PartCount == 0:
		return checkKey(o.Key)
	case o.UploadID == "":
		return errors.New("it has no upload ID")
	case len(o.Parts) == 0:
		return errors.New("it has no parts")
	case len(o.Parts) != o.PartCount:
		return fmt.Errorf("it has %d parts, and should have %d", len(o.Parts), o.PartCount)
	}
	for i, p := range o.Parts {
		if p.Number != int32(i+1) || p.ETag == "" {
			return fmt.Errorf("part %d has number %d and ETag %q", i+1, p.Number, p.ETag)
		}
	}
	return checkKey(o.Key)
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func textError(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(text)
}

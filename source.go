package s3writer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"sync"

	"github.com/seed149ec23d/s3writer/internal/chain"
	"github.com/seed149ec23d/s3writer/internal/record"
)

// Source is an io.Reader that opens itself: late, when the table's turn comes,
// with the Writer's context. The Writer closes it at every ending; a Close
// during a Read that blocks is what unblocks files and connections.
type Source struct {
	open    func(context.Context) (io.ReadCloser, error)
	records func() chain.RecordSource
	fresh   bool  // what open opens is read from its first byte on
	once    any   // what is read and cannot be read again; a pointer, or nil
	err     error // what is wrong with how it was made

	mu     sync.Mutex
	reader io.ReadCloser // of Read
}

// File is the source that opens the file called name in fsys, such as
// os.DirFS("/data") or an embed.FS. A regular file that has ReadAt is read at
// offsets where [Table] says so.
func File(fsys fs.FS, name string) *Source {
	s := SourceFunc(func(context.Context) (io.ReadCloser, error) {
		if fsys == nil {
			return nil, fmt.Errorf("open %s: the file system is nil", name)
		}
		return fsys.Open(name)
	})
	s.fresh = true
	return s
}

// SourceFunc is the source that open opens, once per table: a download, a
// pipe, anything whose opening should wait for its turn.
func SourceFunc(open func(context.Context) (io.ReadCloser, error)) *Source {
	return &Source{open: open}
}

// Records is the source of records with the given columns. Every record has a
// field for each column; an error ends the table. NULL and types need [Values].
func Records(columns []string, seq iter.Seq2[[]string, error]) *Source {
	cols := make([]record.Column, len(columns))
	for i, name := range columns {
		cols[i].Name = name
	}
	return &Source{records: func() chain.RecordSource {
		return &sequence[string]{columns: cols, seq: seq, add: func(b *record.Builder, _ record.Column, s string) error {
			b.Text(s)
			return nil
		}}
	}}
}

// Values is the source of records of values, which may be NULL, with typed
// columns. A value that is not of its column's type fails with its row.
func Values(columns []Column, seq iter.Seq2[[]Value, error]) *Source {
	cols := internalColumns(columns)
	return &Source{err: record.CheckTypes(cols), records: func() chain.RecordSource {
		return &sequence[Value]{columns: cols, seq: seq, add: addValue}
	}}
}

func addValue(b *record.Builder, c record.Column, v Value) error {
	if c.Type != record.Text && !v.IsNull() {
		if err := c.Type.Check(v.String()); err != nil {
			return err
		}
	}
	b.Value(v.v)
	return nil
}

// sequence is a source of records that an iterator yields.
type sequence[T any] struct {
	columns []record.Column
	seq     iter.Seq2[[]T, error]
	add     func(*record.Builder, record.Column, T) error
}

func (s *sequence[T]) Columns(context.Context) ([]record.Column, error) {
	if s.seq == nil {
		return nil, errors.New("the sequence is nil")
	}
	return s.columns, nil
}

func (s *sequence[T]) Each(b *record.Builder, row func() error) (err error) {
	var failed error // why the sequence is to end
	defer func() {
		if v := recover(); v != nil {
			if failed == nil {
				panic(v)
			}
			err = thenPanicked(failed, v)
		}
	}()
	var number int64
	for fields, err := range s.seq {
		number++
		if failed = s.append(b, number, fields, err); failed == nil {
			failed = row()
		}
		if failed != nil {
			return failed
		}
	}
	return nil
}

// thenPanicked adds to the error of a sequence that it panicked behind that, as one
// does that goes on.
func thenPanicked(failed error, v any) error {
	place, ok := failed.(*chain.Error)
	if !ok {
		return failed
	}
	own := *place
	own.Err = fmt.Errorf("%w; and then the sequence, which has to return when yield returns false, panicked: %v", place.Err, v)
	return &own
}

// append appends a record to b.
func (s *sequence[T]) append(b *record.Builder, number int64, fields []T, err error) error {
	if err == nil && len(fields) != len(s.columns) {
		err = fmt.Errorf("the record has %d fields, there are %d columns", len(fields), len(s.columns))
	}
	if err != nil {
		return &chain.Error{Row: number, Offset: -1, Err: chain.Sound(err)}
	}
	for i, f := range fields {
		if err := s.add(b, s.columns[i], f); err != nil {
			return &chain.Error{Row: number, Offset: -1, Column: s.columns[i].Name, Err: err}
		}
	}
	b.EndRow()
	return nil
}

func (s *sequence[T]) Close() error { return nil }

// chain makes what a run reads of the source.
func (s *Source) chain() chain.Source {
	if s.records != nil {
		return chain.Source{Records: s.records()}
	}
	return chain.Source{Fresh: s.fresh, Open: func(ctx context.Context) (io.Reader, io.Closer, error) {
		if s.open == nil {
			return nil, nil, errors.New("the source has nothing to open; make one with File, Rows, Records, Values or SourceFunc")
		}
		r, err := s.open(ctx)
		if err == nil && r == nil {
			err = errors.New("the source opened nothing")
		}
		if err != nil {
			return nil, nil, err
		}
		return r, r, nil
	}}
}

// Read opens the source at the first call and reads its bytes; at its end or
// its first error the source is closed. A [Writer] does not need it.
// [Rows], [Records] and [Values] have records and no bytes: for them it is an
// error.
func (s *Source) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reader == nil {
		if s.records != nil {
			return 0, errors.New("s3writer: the source has records, not bytes: give it to a Table")
		}
		_, closer, err := s.chain().Open(context.Background())
		if err != nil {
			return 0, err
		}
		s.reader = closer.(io.ReadCloser)
	}
	n, err := s.reader.Read(p)
	if err != nil {
		if closeErr := s.reader.Close(); err == io.EOF && closeErr != nil {
			err = closeErr
		}
		s.reader = ended{err}
	}
	return n, err
}

// ended is the reader of a source that has been read.
type ended struct{ err error }

func (e ended) Read([]byte) (int, error) { return 0, e.err }
func (e ended) Close() error             { return nil }

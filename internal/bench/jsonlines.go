package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
)

// rowEncoder makes a function that writes rows of the columns of header.
type rowEncoder func(header []string, to *json.Encoder) func(row []string) error

// mapEncoder is what most programs do: fields are written in the order of their names.
func mapEncoder(header []string, to *json.Encoder) func([]string) error {
	object := make(map[string]string, len(header))
	return func(row []string) error {
		for i, name := range header {
			object[name] = row[i]
		}
		return to.Encode(object)
	}
}

// structEncoder is what a program can do that knows the columns when it is
// compiled, which saves encoding/json the sorting.
func structEncoder(header []string, to *json.Encoder) func([]string) error {
	fields := make([]reflect.StructField, len(header))
	for i, name := range header {
		fields[i] = reflect.StructField{
			Name: fmt.Sprintf("F%d", i), Type: reflect.TypeFor[string](), Tag: reflect.StructTag(fmt.Sprintf("json:%q", name)),
		}
	}
	object := reflect.New(reflect.StructOf(fields))
	values := make([]*string, len(header))
	for i := range values {
		values[i] = object.Elem().Field(i).Addr().Interface().(*string)
	}
	pointer := object.Interface()
	return func(row []string) error {
		for i, text := range row {
			*values[i] = text
		}
		return to.Encode(pointer)
	}
}

func rivalJSONLines(encoder rowEncoder) func(context.Context, *site) error {
	return func(_ context.Context, s *site) error {
		r := csv.NewReader(bufio.NewReaderSize(s.in.open(), rivalBuffer))
		r.ReuseRecord = true
		record, err := r.Read()
		if err != nil {
			return err
		}
		w := bufio.NewWriterSize(s.discard, rivalBuffer)
		to := json.NewEncoder(w)
		to.SetEscapeHTML(false)
		write := encoder(append([]string(nil), record...), to)
		for {
			record, err := r.Read()
			if errors.Is(err, io.EOF) {
				return w.Flush()
			}
			if err != nil {
				return err
			}
			if err := write(record); err != nil {
				return err
			}
		}
	}
}

package chain

import (
	"context"
	"errors"
	"fmt"
	"reflect"
)

// Sound returns an error that came out of somebody's code, or, if looking at it
// panics, one that says so: a nil pointer of an error's type is what a forgotten
// check leaves, and anybody's errors.Is would end the process.
func Sound(err error) (sound error) {
	if err == nil {
		return nil
	}
	defer func() {
		if recover() != nil {
			sound = unsound{nameOf(err)}
		}
	}()
	_ = err.Error()
	var nowhere unseen // so that all of it is looked at
	_, _ = errors.Is(err, nowhere), errors.As(err, &nowhere)
	return err
}

// Cause is why ctx has ended, which a caller may have put into words with any error.
func Cause(ctx context.Context) error { return Sound(context.Cause(ctx)) }

// unseen is an error that nobody makes.
type unseen struct{}

func (unseen) Error() string { return "unseen" }

// unsound takes the place of an error that panics. It is a value, so that one can
// be told from another.
type unsound struct{ name string }

func (e unsound) Error() string { return "an error that panics when it is read: " + e.name }

func nameOf(err error) string {
	if v := reflect.ValueOf(err); v.Kind() == reflect.Pointer && v.IsNil() {
		return fmt.Sprintf("(%T)(nil)", err)
	}
	return fmt.Sprintf("%T", err)
}

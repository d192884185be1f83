package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// millerFilterSelect runs the command line that Miller's users would.
func millerFilterSelect(ctx context.Context, s *site) error {
	d := s.in.dataset
	out, err := os.Create(filepath.Join(string(s.folder), "table.csv"))
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "mlr", "--csv",
		"filter", fmt.Sprintf("$%s == %q", d.filter, d.value), "then",
		"cut", "-o", "-f", strings.Join(d.keep, ","), s.in.file)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	return errors.Join(cmd.Run(), out.Close())
}

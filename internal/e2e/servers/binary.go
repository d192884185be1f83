package servers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Binary returns the path of a server's program. Where it is not installed the test is skipped, or fails if
// S3WRITER_E2E_REQUIRED is set.
func Binary(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range binaryDirs() {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	const how = "%s is not installed: run internal/e2e/install.sh, or set S3WRITER_E2E_BIN to the folder that has it"
	if os.Getenv("S3WRITER_E2E_REQUIRED") != "" {
		t.Fatalf(how, name)
	}
	t.Skipf(how, name)
	return ""
}

// binaryDirs lists where the servers may be, besides PATH: the first is where install.sh is told to put them, the
// second where it puts them by itself, the others where "go install" does.
func binaryDirs() []string {
	dirs := []string{os.Getenv("S3WRITER_E2E_BIN")}
	if cache, err := os.UserCacheDir(); err == nil {
		dirs = append(dirs, filepath.Join(cache, "s3writer-e2e", "bin"))
	}
	if out, err := exec.Command("go", "env", "GOBIN", "GOPATH").Output(); err == nil {
		gobin, gopath, _ := strings.Cut(strings.TrimRight(string(out), "\n"), "\n")
		dirs = append(dirs, gobin)
		for _, dir := range filepath.SplitList(gopath) {
			dirs = append(dirs, filepath.Join(dir, "bin"))
		}
	}
	present := dirs[:0]
	for _, dir := range dirs {
		if dir != "" {
			present = append(present, dir)
		}
	}
	return present
}

package processortest

import (
	"bytes"
	"fmt"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"time"
)

// label is the profiler's label of the goroutines that a Test starts. Those that they start have it too, so that no
// other test's are counted.
const label = "processortest"

var tests atomic.Int64

func newID() string { return fmt.Sprint(tests.Add(1)) }

// patience is how long goroutines may take to end after the Write that they are of.
const patience = 2 * time.Second

// goroutines says which goroutine is left of what was delivered.
func (c *contract) goroutines() error {
	mark := fmt.Appendf(nil, "%q:%q", label, c.id)
	deadline := time.Now().Add(patience)
	for wait := time.Microsecond; ; wait *= 2 {
		var profile bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
			return err
		}
		stack := marked(profile.Bytes(), mark)
		if stack == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return broken("goroutines", "one is left, in %s", functions(stack))
		}
		time.Sleep(min(wait, 50*time.Millisecond)) // nothing announces a goroutine's end
	}
}

func marked(profile, mark []byte) []byte {
	for stack := range bytes.SplitSeq(profile, []byte("\n\n")) {
		if bytes.Contains(stack, mark) {
			return stack
		}
	}
	return nil
}

// functions are the innermost functions of a stack that are not the runtime's.
func functions(stack []byte) string {
	var names []string
	for line := range strings.Lines(string(stack)) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] != "#" || fields[1] == "labels:" || strings.HasPrefix(fields[2], "runtime.") || strings.HasPrefix(fields[2], "sync.") {
			continue
		}
		name, _, _ := strings.Cut(fields[2], "+0x")
		if names = append(names, name); len(names) == 3 {
			break
		}
	}
	return strings.Join(names, ", called by ")
}

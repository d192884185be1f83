package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
)

// Contestants and the server run in processes of their own, so that memory, CPU
// time and GOMAXPROCS are each one's own: the program runs itself again, with
// its task in the environment.
const taskVariable = "S3WRITER_BENCH_TASK"

const (
	roleContestant = "contestant"
	roleServer     = "server"
)

// task is what a subprocess has to do.
type task struct {
	Role       string   `json:"role"`
	Comparison string   `json:"comparison,omitempty"`
	Contestant string   `json:"contestant,omitempty"`
	Dataset    int      `json:"dataset,omitempty"`
	Data       string   `json:"data,omitempty"`
	Size       int64    `json:"size,omitempty"`
	Endpoint   endpoint `json:"endpoint"`
	Profile    string   `json:"profile,omitempty"`  // folder
	File       string   `json:"file,omitempty"`     // with the input
	Folder     string   `json:"folder,omitempty"`   // for the output
	Together   bool     `json:"together,omitempty"` // with another: it says "ready" and begins when its input ends
}

// outcome is what a contestant's subprocess prints.
type outcome struct {
	usage
	Sent int64 `json:"sent"` // bytes of objects that reached the sink
	Rows int64 `json:"rows"` // in local files

	Refused int64 `json:"refused"` // requests, at a sink that refuses some
}

func subprocess(t task) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), taskVariable+"="+string(text))
	return cmd, nil
}

// running is a contestant's subprocess that has begun.
type running struct {
	task    task
	cmd     *exec.Cmd
	begin   io.Closer // what a task that is Together waits for
	answers *bufio.Reader
}

func start(t task, procs int) (*running, error) {
	cmd, err := subprocess(t)
	if err != nil {
		return nil, err
	}
	cmd.Env = append(cmd.Env, fmt.Sprintf("GOMAXPROCS=%d", procs))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &running{t, cmd, in, bufio.NewReader(out)}, cmd.Start()
}

// outcome waits for the end.
func (r *running) outcome() (o outcome, err error) {
	if err = errors.Join(json.NewDecoder(r.answers).Decode(&o), r.cmd.Wait()); err != nil {
		err = fmt.Errorf("%s: %s: %w", r.task.Comparison, r.task.Contestant, err)
	}
	return o, err
}

// runProcess runs one contestant once, in a subprocess.
func runProcess(t task, procs int) (outcome, error) {
	r, err := start(t, procs)
	if err != nil {
		return outcome{}, err
	}
	return r.outcome()
}

// runPair runs a contestant in two subprocesses at once and tells what each of the two
// pieces of work took: half of the time until both were done.
func runPair(t task, procs int) (outcome, error) {
	t.Together = true
	var pair [2]*running
	for i := range pair {
		r, err := start(t, procs)
		if err != nil {
			return outcome{}, err
		}
		defer r.cmd.Process.Kill()
		pair[i], t.Profile = r, "" // one profile is enough
	}
	for _, r := range pair {
		if line, err := r.answers.ReadString('\n'); line != ready {
			return outcome{}, fmt.Errorf("%s: %s: not ready: %q, %w", t.Comparison, t.Contestant, line, err)
		}
	}
	for _, r := range pair {
		r.begin.Close()
	}
	first, err := pair[0].outcome()
	second, failed := pair[1].outcome()
	first.Elapsed = max(first.Elapsed, second.Elapsed) / 2
	first.CPU = (first.CPU + second.CPU) / 2
	return first, errors.Join(err, failed)
}

const ready = "ready\n"

// perform does the task that this process was started for.
func perform(text string) error {
	var t task
	if err := json.Unmarshal([]byte(text), &t); err != nil {
		return err
	}
	if t.Role == roleServer {
		return serve(newServices(), os.Stdin, func(e map[sinkKind]endpoint) error { return json.NewEncoder(os.Stdout).Encode(e) })
	}
	o, err := t.compete()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(o)
}

func (t task) compete() (outcome, error) {
	c, who, err := t.find()
	if err != nil {
		return outcome{}, err
	}
	in, err := c.load(datasets[t.Dataset], t.Data, t.Size)
	if err != nil {
		return outcome{}, err
	}
	in.file = t.File
	if c.sink.remote() {
		t.Endpoint.trust()
	}
	s := newSite(c, who, in, t.Endpoint, t.Folder)
	if who.prepare != nil {
		if err := who.prepare(s); err != nil {
			return outcome{}, err
		}
	}
	stop, err := t.profile()
	if err != nil {
		return outcome{}, err
	}
	if t.Together {
		fmt.Print(ready)
		if _, err := io.ReadAll(os.Stdin); err != nil {
			return outcome{}, err
		}
	}
	u, err := measure(func() error { return who.run(context.Background(), s) })
	if err = errors.Join(err, stop()); err != nil {
		return outcome{}, err
	}
	size, rows, err := s.sent()
	return outcome{usage: u, Sent: size, Rows: rows}, err
}

func (t task) find() (*comparison, contestant, error) {
	for _, c := range comparisons {
		for _, who := range c.contestants {
			if c.name == t.Comparison && who.name == t.Contestant {
				return c, who, nil
			}
		}
	}
	return nil, contestant{}, fmt.Errorf("no contestant %q in a comparison %q", t.Contestant, t.Comparison)
}

// profile starts a CPU profile if the task asks for one; stop ends it and adds
// one of all allocations.
func (t task) profile() (stop func() error, err error) {
	if t.Profile == "" {
		return func() error { return nil }, nil
	}
	name := fmt.Sprintf("%s_%s_%s", t.Comparison, strings.TrimSuffix(datasets[t.Dataset].file, ".csv"), t.Contestant)
	path := filepath.Join(t.Profile, strings.NewReplacer("/", "-", " ", "", ",", "-").Replace(name))
	cpu, err := os.Create(path + ".cpu.pprof")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, err
	}
	return func() error {
		pprof.StopCPUProfile()
		return errors.Join(cpu.Close(), writeAllocs(path+".allocs.pprof"))
	}, nil
}

func writeAllocs(path string) error {
	runtime.GC() // the profile is as of the last one
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
}

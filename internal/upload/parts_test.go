package upload

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc64"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/minio/crc64nvme"
)

func TestCombineIsTheChecksumOfTheWhole(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		a, b := data(rng.IntN(5000)), data(rng.IntN(5000))
		whole := crc64.Checksum(append(append([]byte{}, a...), b...), crc64.MakeTable(crc64nvme.NVME))
		if got := combine(crc64nvme.Update(0, a), crc64nvme.Update(0, b), int64(len(b))); got != whole {
			t.Fatalf("%d + %d bytes: %x, want %x", len(a), len(b), got, whole)
		}
	}
	const far = 1 << 32 // the checksum of x, y, z in either order of combining
	x, y, z := rng.Uint64(), rng.Uint64(), rng.Uint64()
	if combine(combine(x, y, far), z, far) != combine(x, combine(y, z, far), 2*far) {
		t.Error("long lengths do not add up")
	}
	if got := encodeCRC(crc64nvme.Update(0, []byte("123456789"))); got != "rosUhgp5mIg=" {
		t.Errorf("check value is %s", got)
	}
}

// The reach of the real limits, in parts of the real sizes.
func TestGrowingReach(t *testing.T) {
	for memory, want := range map[int64]int64{256 << 20: 768 << 30, 8 << 30: 5 << 40} {
		s, err := newSchedule(s3Limits, 0, -1, memory)
		if err != nil {
			t.Fatal(err)
		}
		var last int64
		for !s.full() {
			size := s.size()
			if size < last || size%(1<<20) != 0 || size > memory/2 || size > 5<<30 {
				t.Fatalf("part %d has %d bytes after %d", s.parts+1, size, last)
			}
			if s.sent < 16<<30 && size != 8<<20 {
				t.Fatalf("part %d has %d bytes after %d", s.parts+1, size, s.sent)
			}
			if want := max(8<<20, roundUp((s.sent-9<<30)/1000, 1<<20)); size != min(want, memory/2) {
				t.Fatalf("part %d has %d bytes, want %d", s.parts+1, size, want)
			}
			last = size
			s.begin(size)
		}
		if s.sent < want {
			t.Errorf("memory %s reaches %s", byteCount(memory), byteCount(s.sent))
		}
	}
}

// Parts that were sent short cost no reach, wherever a crowd begins to take the
// memory: only so many are, and later ones make up for them.
func TestShortPartsAreMadeUpFor(t *testing.T) {
	for memory, want := range map[int64]int64{256 << 20: 768 << 30, 8 << 30: 5 << 40} {
		for from := 0; from < s3Limits.maxParts; from += 500 {
			s, _ := newSchedule(s3Limits, 0, -1, memory)
			for !s.full() {
				if s.parts < from || s.sparing() {
					s.begin(s.size())
				} else {
					s.begin(s.minPart)
				}
			}
			if s.sent < want {
				t.Errorf("memory %s reaches %s if parts from %d on are short", byteCount(memory), byteCount(s.sent), from)
			}
		}
	}
}

func TestKnownSizesFit(t *testing.T) {
	for _, size := range []int64{1, 8 << 20, 80_000 << 20, 80_000<<20 + 1, 1 << 40, 48 << 40} {
		s, err := newSchedule(s3Limits, 0, size, 10<<30)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; s.sent < size; i++ {
			if s.full() {
				t.Fatalf("%d bytes do not fit: %d after %d parts", size, s.sent, s.parts)
			}
			n := min(s.size(), size-s.sent)
			if i%3 == 0 && !s.sparing() {
				n = min(n, s.minPart) // cut short by want of memory
			}
			s.begin(n)
		}
	}
	if _, err := newSchedule(s3Limits, 0, 49<<40, 10<<30); err == nil {
		t.Error("49 TiB were accepted")
	}
	if _, err := newSchedule(s3Limits, 5<<20, 49<<30, 1<<30); err == nil {
		t.Error("more than 10,000 equal parts were accepted")
	}
}

func TestBodyIsASeekableReader(t *testing.T) {
	for _, size := range []int{0, 1, 15, 16, 17, 100, 128} {
		p := &part{page: 16}
		for rest := data(size); len(rest) > 0; {
			if len(p.room()) == 0 {
				p.pages = append(p.pages, make([]byte, 16))
			}
			n := copy(p.room(), rest)
			p.extend(p.room()[:n])
			rest = rest[n:]
		}
		b := &body{part: p, progress: func() {}}
		if err := iotest.TestReader(b, data(size)); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		b = &body{part: p, progress: func() {}}
		var out bytes.Buffer
		if n, err := io.Copy(&out, b); n != int64(size) || err != nil || !bytes.Equal(out.Bytes(), data(size)) {
			t.Errorf("WriteTo: %d, %v", n, err)
		}
		if !p.intact() {
			t.Error("not intact")
		}
		if size > 0 {
			p.pages[0][0]++
			if p.intact() {
				t.Error("a change went unseen")
			}
		}
	}
}

// Everything that can be set for a multipart upload reaches a single put, and
// what later requests need reaches them, fields of future SDKs included.
func TestInputsAreCopied(t *testing.T) {
	s := settings{CreateMultipartUploadInput: new(s3.CreateMultipartUploadInput)}
	create := reflect.ValueOf(s.CreateMultipartUploadInput).Elem()
	for i := range create.NumField() {
		fill(create.Field(i))
	}
	s.key = *s.Key
	p := &part{page: 16}
	a := attempt{used: used{checksums: true}}
	for name, in := range map[string]any{
		"PutObject": s.putInput(p, a), "UploadPart": s.partInput("id", p, a),
		"Complete": s.completeInput("id", nil, 0, "", true), "Abort": s.abortInput("id"),
	} {
		got := reflect.ValueOf(in).Elem()
		for i := range create.NumField() {
			field := create.Type().Field(i)
			f := got.FieldByName(field.Name)
			if !field.IsExported() || !f.IsValid() || field.Name == "ChecksumAlgorithm" || field.Name == "ChecksumType" {
				continue
			}
			if !reflect.DeepEqual(f.Interface(), create.Field(i).Interface()) {
				t.Errorf("%s: %s is not carried over", name, field.Name)
			}
		}
	}
	put := reflect.TypeFor[s3.PutObjectInput]()
	for i := range create.NumField() {
		name := create.Type().Field(i).Name
		if _, ok := put.FieldByName(name); !ok && name != "ChecksumType" {
			t.Errorf("PutObject has no %s", name)
		}
	}
	if in := s.putInput(p, a); in.ChecksumAlgorithm != "" || in.ChecksumCRC64NVME == nil {
		t.Error("PutObject must carry the checksum and not ask the SDK for one")
	}
	if in := s.createInput(true); in.ChecksumAlgorithm != types.ChecksumAlgorithmCrc64nvme || in.ChecksumType != types.ChecksumTypeFullObject {
		t.Error("Create must announce the checksum")
	}
}

func fill(v reflect.Value) {
	if !v.CanSet() {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Int32:
		v.SetInt(7)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"a": "b"}))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		if v.Type() == reflect.TypeFor[*time.Time]() {
			v.Set(reflect.ValueOf(new(time.Time)))
			return
		}
		fill(v.Elem())
	}
}

// rounds fills l with requests again and again; all of a round take the same
// time, as took has it for that many in flight.
func rounds(l *limiter, n int, took func(inFlight int) time.Duration) (peak int) {
	return roundsOf(l, n, 8<<20, took)
}

func roundsOf(l *limiter, n int, bytes int64, took func(inFlight int) time.Duration) (peak int) {
	for range n {
		_, limit := l.stats()
		peak = max(peak, limit)
		for range limit {
			l.acquire(context.Background(), false)
		}
		d := took(limit)
		time.Sleep(d) // of the bubble's clock
		for range limit {
			l.release(succeeded, sample{bytes: bytes, took: d})
		}
	}
	return peak
}

func TestLimiterFindsThePace(t *testing.T) {
	for _, tt := range []struct {
		name string
		took func(int) time.Duration
		want int
		peak int
	}{
		{"far away", func(int) time.Duration { return 120 * time.Millisecond }, mostLimit, mostLimit},
		{"bound by the processor", func(n int) time.Duration { return time.Duration(n) * 5 * time.Millisecond }, leastLimit, leastLimit},
		{"a line of twenty connections", func(n int) time.Duration { return time.Duration(max(n, 20)) * 10 * time.Millisecond }, 24, 48},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(0)
				if peak := rounds(l, 12, tt.took); peak > tt.peak {
					t.Errorf("limit was %d, want at most %d", peak, tt.peak)
				}
				if _, limit := l.stats(); limit != tt.want {
					t.Errorf("limit is %d, want %d", limit, tt.want)
				}
			})
		})
	}
}

// TestLimiterLeavesWellAlone where nothing has changed: trying more requests takes memory.
func TestLimiterLeavesWellAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(0)
		bound := func(n int) time.Duration { return time.Duration(n) * 50 * time.Millisecond }
		rounds(l, 20, bound)
		if peak := rounds(l, 500, bound); peak > leastLimit {
			t.Errorf("%d requests were tried though nothing had changed", peak)
		}
		if peak := rounds(l, 500, func(int) time.Duration { return 400 * time.Millisecond }); peak < farLimit {
			t.Errorf("no more than %d requests were tried of a server that has become slow", peak)
		}
	})
}

// TestLimiterIsNotMisled by a machine that was busy when few requests were measured, or
// has become faster at whatever number of them: more would only take memory.
func TestLimiterIsNotMisled(t *testing.T) {
	bound := func(each time.Duration) func(int) time.Duration {
		return func(n int) time.Duration { return time.Duration(n) * each }
	}
	const busy, idle = 100 * time.Millisecond, 50 * time.Millisecond
	for name, phases := range map[string][]struct {
		rounds int
		each   time.Duration
	}{
		"busy at first":      {{2, busy}, {20, idle}},
		"faster later":       {{500, busy}, {500, idle}},
		"slower later":       {{500, idle}, {500, busy}},
		"now this, now that": {{200, idle}, {200, busy}, {200, idle}, {200, busy}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(0)
				for _, phase := range phases {
					if peak := rounds(l, phase.rounds, bound(phase.each)); peak > leastLimit {
						t.Errorf("%d requests were tried", peak)
					}
				}
				if _, limit := l.stats(); limit != leastLimit {
					t.Errorf("the limit is %d, want %d", limit, leastLimit)
				}
			})
		})
	}
}

// TestLimiterSlowsDown halves the limit with every round that is refused, pauses
// when one request at a time is too much, and comes back.
func TestLimiterSlowsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(64)
		ctx := context.Background()
		round := func(r result) {
			_, limit := l.stats()
			begun := time.Now()
			for range limit {
				l.acquire(ctx, false)
			}
			begun = later(begun, l.lastCut)
			time.Sleep(30 * time.Millisecond)
			for range limit {
				l.release(r, sample{begun: begun, bytes: 8 << 20, took: 30 * time.Millisecond})
			}
		}
		for _, want := range []int{32, 16, 8, 4, 2, 1, 1} {
			round(throttled)
			if _, limit := l.stats(); limit != want {
				t.Fatalf("the limit is %d, want %d", limit, want)
			}
		}
		for _, pause := range []time.Duration{l.pauses.first, 2 * l.pauses.first, 4 * l.pauses.first} {
			if wait := time.Until(l.until); wait < pause/2 || wait > 2*pause {
				t.Errorf("the pause is %v, want about %v", wait, pause)
			}
			round(throttled)
		}
		l.cut(sample{begun: time.Now(), wish: 10 * time.Second}, time.Now())
		begun := time.Now()
		round(succeeded)
		if waited := time.Since(begun); waited < 10*time.Second {
			t.Errorf("the server was waited for for %v", waited)
		}
		for range 60 {
			round(succeeded)
		}
		if _, limit := l.stats(); limit != 64 {
			t.Errorf("the limit is %d after a calm, want 64", limit)
		}
	})
}

// TestLimiterKeepsItsBound also when it has found that fewer requests do.
func TestLimiterKeepsItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(2)
		l.cut(sample{begun: time.Now()}, time.Now())
		time.Sleep(time.Minute)
		if peak := rounds(l, 40, func(n int) time.Duration { return time.Duration(n) * 50 * time.Millisecond }); peak > 2 {
			t.Errorf("the limit was %d, the bound is 2", peak)
		}
	})
}

// TestLimiterOfAFarServer has many requests in flight from the first answer on.
func TestLimiterOfAFarServer(t *testing.T) {
	l := newLimiter(0)
	l.answered(far - 1)
	if _, limit := l.stats(); limit != firstLimit {
		t.Errorf("the limit is %d for a server that is near, want %d", limit, firstLimit)
	}
	l.answered(far)
	if _, limit := l.stats(); limit != farLimit {
		t.Errorf("the limit is %d for a server that is far, want %d", limit, farLimit)
	}
}

// TestLimiterOfAServerThatOnlySeemedFar asks for no more than it would of one
// nearby: where the first answers were slow since nobody had a processor for
// them, twice as many requests are no gain for being a little faster.
func TestLimiterOfAServerThatOnlySeemedFar(t *testing.T) {
	pace := func(n int) time.Duration {
		return time.Duration(math.Pow(float64(n), 0.5) * 50 * float64(time.Millisecond))
	}
	for _, test := range []struct {
		name        string
		answers     []time.Duration
		least, most int
	}{
		{"far", []time.Duration{2 * far, far}, 2 * farLimit, mostLimit},
		{"near after all", []time.Duration{2 * far, far - 1}, farLimit, 2 * farLimit},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(0)
				for _, took := range test.answers {
					l.answered(took)
				}
				if peak := rounds(l, 40, pace); peak <= test.least || peak > test.most {
					t.Errorf("the limit was %d, want more than %d and at most %d", peak, test.least, test.most)
				}
			})
		})
	}
}

// TestLimiterOfSmallRequests asks for many more at a time over a distance, and not where
// they wait for each other, though the first answer came late.
func TestLimiterOfSmallRequests(t *testing.T) {
	const first = 2 * far
	for _, test := range []struct {
		name        string
		took        func(inFlight int) time.Duration
		least, most int // the limit at last
		peak        int
	}{
		{"far", func(n int) time.Duration { return first + time.Duration(n)*far/200 }, 128, mostLimit, mostLimit},
		{"far, and slower than an answer", func(int) time.Duration { return 3 * first }, mostLimit, mostLimit, mostLimit},
		{"far, and full", func(n int) time.Duration { return max(first, time.Duration(n)*first/64) }, 64, 128, 256},
		{"near, and busy", func(n int) time.Duration { return max(2*time.Millisecond, time.Duration(n)*2*time.Millisecond) },
			leastLimit, leastLimit, farLimit},
		{"near, and less busy later", func(n int) time.Duration {
			if n <= farLimit {
				return first
			}
			return time.Duration(n) * time.Millisecond
		}, farLimit, 2 * farLimit, 2 * farLimit},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(0)
				l.answered(first)
				if peak := roundsOf(l, 20, 4<<10, test.took); peak > test.peak {
					t.Errorf("the limit was %d, want at most %d", peak, test.peak)
				}
				if _, limit := l.stats(); limit < test.least || limit > test.most {
					t.Errorf("the limit is %d, want %d to %d", limit, test.least, test.most)
				}
			})
		})
	}
}

// TestLimiterRampsUp over a distance, by one request for each small one that was answered in
// time, and no more behind a large one or once the server has asked for less.
func TestLimiterRampsUp(t *testing.T) {
	const answer = 2 * far
	ctx := context.Background()
	for _, test := range []struct {
		name  string
		took  time.Duration
		bytes int64 // of the first
		first result
		want  int // the limit after a full round
	}{
		{"in time", answer, 4 << 10, succeeded, 2 * farLimit},
		{"late", strain*answer + 1, 4 << 10, succeeded, farLimit},
		{"behind a large one", answer, 8 << 20, succeeded, farLimit},
		{"refused once", answer, 4 << 10, throttled, farLimit / 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(0)
				l.answered(answer)
				for range farLimit {
					l.acquire(ctx, false)
				}
				time.Sleep(test.took) // of the bubble's clock
				l.release(test.first, sample{bytes: test.bytes, took: test.took})
				for range farLimit - 1 {
					l.release(succeeded, sample{bytes: 4 << 10, took: test.took})
				}
				if _, limit := l.stats(); limit != test.want {
					t.Errorf("the limit is %d after %d answers, want %d", limit, farLimit, test.want)
				}
				l.answered(far - 1) // it is near after all
				if _, limit := l.stats(); limit != min(test.want, farLimit) {
					t.Errorf("the limit is %d of a server nearby, want %d", limit, min(test.want, farLimit))
				}
			})
		})
	}
}

// TestLimiterRampsUpAgain after some rounds whose requests waited for connections that were
// being made.
func TestLimiterRampsUpAgain(t *testing.T) {
	const answer = 2 * far
	for _, test := range []struct{ before, busy int }{{0, 1}, {0, 2}, {1, 2}, {2, 1}, {2, 2}, {2, 5}} {
		t.Run(fmt.Sprintf("%d rounds, then %d", test.before, test.busy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(0)
				l.answered(answer)
				roundsOf(l, test.before, 4<<10, func(int) time.Duration { return answer })
				roundsOf(l, test.busy, 4<<10, func(int) time.Duration { return strain*answer + 1 })
				_, limit := l.stats()
				if limit < farLimit/2 {
					t.Errorf("the limit is %d while connections are being made, want %d at least", limit, farLimit/2)
				}
				roundsOf(l, 20, 4<<10, func(int) time.Duration { return answer })
				if _, limit := l.stats(); limit != mostLimit {
					t.Errorf("the limit is %d at last, want %d", limit, mostLimit)
				}
			})
		})
	}
}

// TestLimiterKeepsWhatIsNeeded of as many requests as wait for each other: as many as take
// twice as long as one. Those of somebody who has few at a time do not wait for each other.
func TestLimiterKeepsWhatIsNeeded(t *testing.T) {
	const answer = 2 * far
	for _, test := range []struct {
		name  string
		few   int
		bytes int64
		took  time.Duration
		want  int
	}{
		{"late", mostLimit, 4 << 10, 3 * answer, mostLimit * 2 / 3},
		{"late, of the largest of the small", mostLimit, tiny, 3 * answer, mostLimit * 2 / 3},
		{"few and late", 8, 4 << 10, 3 * answer, mostLimit},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(0)
				l.answered(answer)
				roundsOf(l, 10, 4<<10, func(int) time.Duration { return answer })
				for done := 0; done < mostLimit; done += test.few {
					for range test.few {
						l.acquire(context.Background(), false)
					}
					time.Sleep(test.took) // of the bubble's clock
					for range test.few {
						l.release(succeeded, sample{bytes: test.bytes, took: test.took})
					}
				}
				if _, limit := l.stats(); limit != test.want {
					t.Errorf("the limit is %d, want %d", limit, test.want)
				}
			})
		})
	}
}

// TestLimiterOfSmallRequestsRoundByRound is what it makes of how long those of each round
// take, as a multiple of the answer.
func TestLimiterOfSmallRequestsRoundByRound(t *testing.T) {
	const answer = 2 * far
	for _, test := range []struct {
		name  string
		took  []int
		limit []int // behind each round
	}{
		{"in time", []int{1, 1, 1, 1, 1}, []int{64, 128, 256, 384, 384}},
		{"late for a moment", []int{3, 3, 1}, []int{32, 32, 64}},
		{"always late", []int{3, 3, 3, 3, 3, 3}, []int{32, 32, 16, 32, 64, 128}},
		{"few are in time", []int{3, 3, 3, 1}, []int{32, 32, 16, 3}},
		{"late behind the first", []int{1, 3}, []int{64, 42}},
		{"late once", []int{1, 1, 1, 1, 3, 1, 1}, []int{64, 128, 256, 384, 256, 256, 384}},
		{"late again, and then not", []int{1, 1, 1, 1, 8, 8, 1, 1, 3}, []int{64, 128, 256, 384, 96, 96, 192, 384, 256}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(0)
				l.answered(answer)
				for i, times := range test.took {
					roundsOf(l, 1, 4<<10, func(int) time.Duration { return time.Duration(times) * answer })
					if _, limit := l.stats(); limit != test.limit[i] {
						t.Fatalf("the limit is %d behind round %d, want %d", limit, i+1, test.limit[i])
					}
				}
			})
		})
	}
}

// TestLimiterForgetsADoubt where few requests, which have no need of as many, were in time.
func TestLimiterForgetsADoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const answer = 2 * far
		l := newLimiter(0)
		l.answered(answer)
		late := func(int) time.Duration { return 3 * answer }
		roundsOf(l, 2, 4<<10, late)
		for range farLimit {
			l.acquire(context.Background(), false)
			time.Sleep(answer) // of the bubble's clock
			l.release(succeeded, sample{bytes: 4 << 10, took: answer})
		}
		roundsOf(l, 1, 4<<10, late)
		if _, limit := l.stats(); limit != farLimit {
			t.Errorf("the limit is %d, want %d", limit, farLimit)
		}
	})
}

// TestLimiterComesBackFromAFullServer that is slow, and not full, later.
func TestLimiterComesBackFromAFullServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const answer = 2 * far
		l := newLimiter(0)
		l.answered(answer)
		roundsOf(l, 5, 4<<10, func(int) time.Duration { return answer })
		for range 8 { // there are places for four
			roundsOf(l, 1, 4<<10, func(n int) time.Duration { return time.Duration(n) * answer / 4 })
			if _, limit := l.stats(); limit == farLimit/2 {
				break
			}
		}
		roundsOf(l, 1, 4<<10, func(n int) time.Duration { return time.Duration(n) * answer / 4 })
		if _, limit := l.stats(); limit != farLimit {
			t.Errorf("the limit is %d where fewer take as many times less, want %d", limit, farLimit)
		}
		roundsOf(l, 20, 4<<10, func(int) time.Duration { return 20 * answer })
		if _, limit := l.stats(); limit != mostLimit {
			t.Errorf("the limit is %d at last, want %d", limit, mostLimit)
		}
	})
}

// TestLimiterMeasuresADistantServer that gets slow behind a refusal: it is asked for more as
// long as that pays.
func TestLimiterMeasuresADistantServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const answer = 2 * far
		l := newLimiter(0)
		l.answered(answer)
		roundsOf(l, 4, 4<<10, func(int) time.Duration { return answer })
		roundsOf(l, 1, 4<<10, func(int) time.Duration { return 3 * answer })
		l.cut(sample{begun: time.Now()}, time.Now())
		time.Sleep(calm) // of the bubble's clock
		roundsOf(l, 20, 4<<10, func(int) time.Duration { return 20 * answer })
		if _, limit := l.stats(); limit != mostLimit {
			t.Errorf("the limit is %d, want %d", limit, mostLimit)
		}
	})
}

// TestLimiterBeginsALevel where it stops to judge requests by how long each takes: what is
// measured next is measured at the limit as it is.
func TestLimiterBeginsALevel(t *testing.T) {
	for name, end := range map[string]func(*limiter){
		"a large request": func(l *limiter) { l.release(succeeded, sample{bytes: 8 << 20, took: 2 * far}) },
		"near after all":  func(l *limiter) { l.answered(far - 1) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(0)
				l.answered(2 * far)
				for range farLimit {
					l.acquire(context.Background(), false)
				}
				time.Sleep(2 * far) // of the bubble's clock
				for range farLimit / 2 {
					l.release(succeeded, sample{bytes: 4 << 10, took: 2 * far})
				}
				if l.level.count == 0 {
					t.Error("nothing was measured")
				}
				end(l)
				if l.timed || l.level.limit != l.limit || l.level.count != 0 {
					t.Errorf("%d requests were measured of %v at once, and the limit is %v", l.level.count, l.level.limit, l.limit)
				}
			})
		})
	}
}

// TestLimiterRampsUpOnDemand only.
func TestLimiterRampsUpOnDemand(t *testing.T) {
	l := newLimiter(0)
	l.answered(2 * far)
	for range 1000 {
		l.acquire(context.Background(), false)
		l.release(succeeded, sample{bytes: 4 << 10, took: 2 * far})
	}
	if _, limit := l.stats(); limit != farLimit {
		t.Errorf("the limit is %d of one request at a time, want %d", limit, farLimit)
	}
}

// TestLimiterKeepsItsBoundOverADistance too, behind a refusal: no more than that, and no less
// without a reason.
func TestLimiterKeepsItsBoundOverADistance(t *testing.T) {
	for _, test := range []struct {
		bound, least, last int
		took               func(inFlight int) time.Duration
	}{
		{2, 1, 1, func(n int) time.Duration { return time.Duration(n) * 4 * far }},
		{12, 12, 12, func(int) time.Duration { return far }},
		{64, 32, 64, func(int) time.Duration { return far }},
	} {
		t.Run(fmt.Sprint(test.bound), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLimiter(test.bound)
				l.cut(sample{begun: time.Now()}, time.Now())
				time.Sleep(time.Minute)
				roundsOf(l, 1, 4<<10, func(int) time.Duration { return far })
				l.answered(far)
				for range 40 {
					roundsOf(l, 1, 4<<10, test.took)
					if _, limit := l.stats(); limit > test.bound || limit < test.least {
						t.Fatalf("the limit is %d, want %d at most and %d at least", limit, test.bound, test.least)
					}
				}
				if _, limit := l.stats(); limit < test.last {
					t.Errorf("the limit is %d at last, want %d", limit, test.last)
				}
			})
		})
	}
}

// TestLimiterOfAServerThatGetsSlow asks for no less: fewer requests would not be quicker.
func TestLimiterOfAServerThatGetsSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(0)
		l.answered(2 * far)
		for _, took := range []time.Duration{2 * far, 8 * far, 3 * far, 12 * far} {
			roundsOf(l, 20, 4<<10, func(int) time.Duration { return took })
			if _, limit := l.stats(); limit != mostLimit {
				t.Errorf("the limit is %d after requests of %v, want %d", limit, took, mostLimit)
			}
		}
	})
}

// serve has 600 callers send requests through l for as long as this, one after the other
// each, that take as long as took has it; those of a refused time are refused. It returns how
// many were answered.
func serve(l *limiter, total time.Duration, took func() time.Duration, refused func(at time.Duration) bool) (n int) {
	ctx, cancel := context.WithTimeout(context.Background(), total)
	defer cancel()
	began := time.Now()
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 600 {
		all.Go(func() {
			for l.acquire(ctx, false) == nil {
				mu.Lock()
				d := took()
				mu.Unlock()
				begun := time.Now()
				r := succeeded
				if refused(begun.Sub(began)) {
					r = throttled
				}
				time.Sleep(d) // of the bubble's clock
				l.release(r, sample{begun: begun, bytes: 4 << 10, took: d})
				mu.Lock()
				if r == succeeded {
					n++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return n
}

func never(time.Duration) bool { return false }

// TestLimiterOfAnswersThatSpread, as those of S3 do, without any that waits for another: many
// take more than twice as long as the shortest.
func TestLimiterOfAnswersThatSpread(t *testing.T) {
	for _, sigma := range []float64{0.3, 0.5, 0.7, 1} {
		t.Run(fmt.Sprint(sigma), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(1, 2))
				l := newLimiter(0)
				l.answered(far + time.Millisecond)
				n := serve(l, 5*time.Second, func() time.Duration {
					return far + time.Duration(math.Exp(sigma*rng.NormFloat64())*float64(2*far))
				}, never)
				if _, limit := l.stats(); limit != mostLimit {
					t.Errorf("the limit is %d after %d requests, want %d", limit, n, mostLimit)
				}
			})
		})
	}
}

// TestLimiterIsNotWornDown by refusals now and then of a server that has become slow: it always
// comes back to many requests.
func TestLimiterIsNotWornDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(0)
		l.answered(2 * far)
		began := time.Now()
		serve(l, time.Minute, func() time.Duration {
			if time.Since(began) < time.Second {
				return 2 * far
			}
			return 5 * far
		}, func(at time.Duration) bool { return at%(5*time.Second) > 4800*time.Millisecond && at < 50*time.Second })
		if _, limit := l.stats(); limit < mostLimit/2 {
			t.Errorf("the limit is %d ten seconds after the last refusal, want %d or more", limit, mostLimit/2)
		}
	})
}

// TestLimitersShareAFullServer that is far away: a few more requests than it takes at once
// wait for each other, which is no reason to ask for nearly none, nor is what others ask for.
func TestLimitersShareAFullServer(t *testing.T) {
	const n, answer = 3000, 2 * far
	for _, test := range []struct{ places, writers int }{{17, 1}, {20, 1}, {24, 1}, {64, 1}, {64, 2}, {64, 3}, {64, 4}} {
		t.Run(fmt.Sprintf("%d places, %d Writers", test.places, test.writers), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := context.Background()
				places := make(chan struct{}, test.places)
				began := time.Now()
				var all sync.WaitGroup
				for range test.writers {
					l := newLimiter(0)
					l.answered(answer)
					all.Go(func() {
						for range n {
							if err := l.acquire(ctx, false); err != nil {
								t.Error(err)
							}
							all.Go(func() {
								begun := time.Now()
								places <- struct{}{}
								time.Sleep(answer) // of the bubble's clock
								<-places
								l.release(succeeded, sample{begun: begun, bytes: 4 << 10, took: time.Since(begun)})
							})
						}
					})
				}
				all.Wait()
				least := time.Duration(test.writers) * n * answer / time.Duration(test.places)
				if took := time.Since(began); took > least+least/3 {
					t.Errorf("it took %v, want about %v", took, least)
				}
			})
		})
	}
}

func TestLimiterWaitsForItsTurn(t *testing.T) {
	ctx := context.Background()
	fixed := newLimiter(2)
	fixed.acquire(ctx, false)
	fixed.acquire(ctx, false)
	gone, cancel := context.WithCancel(ctx)
	got := make(chan error)
	go func() { got <- fixed.acquire(gone, false) }()
	waitFor(t, func() bool { fixed.mu.Lock(); defer fixed.mu.Unlock(); return len(fixed.queue) == 1 })
	cancel()
	if err := <-got; err == nil {
		t.Error("a third request was let in")
	}
	fixed.release(succeeded, sample{})
	fixed.release(succeeded, sample{})
	if n, limit := fixed.stats(); n != 0 || limit != 2 {
		t.Errorf("%d in flight of %d", n, limit)
	}
}

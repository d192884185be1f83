package upload

import "fmt"

// limits are what S3 and the engine allow; tests use smaller ones.
type limits struct {
	page     int64 // bytes of a page
	pages    int64 // eighths of the memory that pages may take at least
	beside   int64 // of a memory larger than four times this, pages may take three quarters
	minPart  int64 // the least a part that is not the last may have
	basePart int64 // the size parts start with, and the largest body of a single put
	maxPart  int64 // the most S3 takes in one part
	round    int64 // part sizes are multiples of this
	maxParts int   // of one upload
	growth   int64 // the share of what is sent that the next part has
	level    int64 // but for so many bytes: at first parts do not grow
}

var s3Limits = limits{
	page:     256 << 10,
	pages:    5,
	beside:   24 << 20,
	minPart:  5 << 20,
	basePart: 8 << 20,
	maxPart:  5 << 30,
	round:    1 << 20,
	maxParts: 10_000,
	growth:   1000,
	level:    9 << 30,
}

func (l limits) divided(n int64) limits {
	for _, size := range []*int64{&l.page, &l.beside, &l.minPart, &l.basePart, &l.maxPart, &l.round, &l.level} {
		*size /= n
	}
	return l
}

// schedule decides how large each part of one object is.
type schedule struct {
	limits
	equal int64 // > 0: all parts have this size
	known int64 // > 0: the object's size
	most  int64 // the largest part that memory allows
	sure  int64 // the largest that can be had now, whatever others do
	parts int   // parts begun so far
	sent  int64 // bytes in them
	// nominal is what would have been sent had no part been cut short by want
	// of memory. Growing with it, and with what is missing, makes up for parts
	// that were.
	nominal int64
}

func newSchedule(l limits, equal, known, memory int64) (*schedule, error) {
	s := &schedule{limits: l, equal: equal, known: known, most: min(l.maxPart, memory/2)}
	if equal > 0 {
		s.most = equal
	}
	if reach := s.most * int64(l.maxParts); known > reach {
		return nil, s.tooLarge(fmt.Sprintf("an object of %s", byteCount(known)), reach)
	}
	s.sure = s.most
	return s, nil
}

// size is the size of the part that follows.
func (s *schedule) size() int64 {
	switch {
	case s.equal > 0:
		return s.equal
	case s.known > 0:
		left := int64(s.maxParts - s.parts)
		return s.clamp((max(0, s.known-s.sent) + left - 1) / max(1, left))
	}
	return s.clamp((2*s.nominal - s.sent - s.level) / s.growth)
}

func (s *schedule) clamp(n int64) int64 {
	return max(1, min(roundUp(max(s.basePart, n), s.round), s.most))
}

// full says that no further part may follow.
func (s *schedule) full() bool { return s.parts >= s.maxParts }

// sparing says that so many part numbers are used up, or needed, that the next
// part should not be sent short only because memory is scarce: what is left then
// always fits into what is sure.
func (s *schedule) sparing() bool {
	if s.equal > 0 {
		return false // never sent short
	}
	left := int64(s.maxParts - s.parts)
	if s.known > 0 {
		return (left-1)*(s.sure/4*3) < s.known-s.sent
	}
	missing := s.nominal - s.sent
	return left <= int64(s.maxParts/2) || missing > s.most*int64(s.maxParts)/128
}

// need is how large the parts that follow will become.
func (s *schedule) need() int64 {
	if s.known > 0 {
		return s.size()
	}
	return s.most
}

// begin counts a part of n bytes.
func (s *schedule) begin(n int64) {
	s.nominal += max(n, s.size())
	s.sent += n
	s.parts++
}

// overflow is the error for an object that goes on after the last part.
func (s *schedule) overflow() error {
	what := "this object, of unknown size at the start,"
	if s.known > 0 {
		what = fmt.Sprintf("an object of %s", byteCount(s.known))
	}
	return s.tooLarge(what, s.sent)
}

func (s *schedule) tooLarge(what string, reach int64) error {
	remedy := "give the engine more memory, or split the table"
	if s.equal > 0 {
		remedy = "choose a larger part size, or split the table"
	}
	return fmt.Errorf("%s does not fit into %d parts of at most %s (%s): %s",
		what, s.maxParts, byteCount(s.most), byteCount(reach), remedy)
}

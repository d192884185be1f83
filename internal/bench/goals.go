package main

import "fmt"

// goal is a figure to reach. It judges the first contestant, which is ours.
type goal struct {
	text  string
	rival string // which must have run; "" if that is the second contestant, or none
	judge func(*result) (figure string, reached bool)
}

// ratioOf asks to be at least so many times as fast as the second contestant.
// Tuned rivals that are nearer than that are named.
func ratioOf(least float64) goal {
	return goal{text: fmt.Sprintf("≥ %g×", least), judge: func(r *result) (string, bool) {
		ratio := r.speedup(1)
		return times(ratio, least) + r.tunedWithin(least), ratio >= least
	}}
}

// ratioTo asks the same about the rival called name.
func ratioTo(name string, least float64) goal {
	return goal{text: fmt.Sprintf("≥ %g× %s", least, name), rival: name, judge: func(r *result) (string, bool) {
		i := r.find(name)
		ratio := r.speedup(i)
		figure := times(ratio, least)
		if !r.comparison.contestants[i].tuned {
			figure += r.tunedWithin(least)
		}
		return figure, ratio >= least
	}}
}

// scaling asks the contestant called name, ours with more cores, to be at least
// so many times as fast as the first.
func scaling(name string, least float64) goal {
	return goal{text: fmt.Sprintf("%s ≥ %g× of one", name, least), rival: name, judge: func(r *result) (string, bool) {
		ratio := r.ratio(r.find(name), 0)
		return times(ratio, least), ratio >= least
	}}
}

// allocationsUnder asks all contestants for fewer allocations in a million rows.
func allocationsUnder(limit float64) goal {
	return goal{text: fmt.Sprintf("< %.0f in a million rows", limit), judge: func(r *result) (string, bool) {
		worst, most := 0, 0.0
		for i := range r.comparison.contestants {
			if n := r.allocations(i); n > most {
				worst, most = i, n
			}
		}
		return fmt.Sprintf("%.0f at most: %s", most, r.comparison.contestants[worst].name), most < limit
	}}
}

// times returns a ratio, near one to more places.
func times(ratio, least float64) string {
	if least < 2 {
		return fmt.Sprintf("%.2f×", ratio)
	}
	return fmt.Sprintf("%.1f×", ratio)
}

// tunedWithin names the tuned rivals that ours is not least times as fast as.
func (r *result) tunedWithin(least float64) (text string) {
	for i, c := range r.comparison.contestants {
		if c.tuned && r.speedup(i) < least {
			text += fmt.Sprintf("; %s of %s", times(r.speedup(i), r.speedup(i)), c.name)
		}
	}
	return text
}

// noSlowerAndSmaller asks to be no slower than the fastest rival at its
// defaults, with a smaller peak heap than that one's. A tuned rival that is
// faster than ours is named.
var noSlowerAndSmaller = goal{text: "no slower than the fastest, smaller peak", judge: func(r *result) (string, bool) {
	best := r.least(atDefaults, r.elapsed)
	ratio, ours, theirs := r.speedup(best), r.peak(0), r.peak(best)
	return fmt.Sprintf("%.2f× of %s; %.0f MiB to its %.0f", ratio, r.comparison.contestants[best].name, ours/mib, theirs/mib) + r.tunedWithin(1),
		ratio >= 1 && ours < theirs
}}

// peakWithin asks for a peak heap of at most so many bytes.
func peakWithin(most float64) goal {
	return goal{text: fmt.Sprintf("≤ %.0f MiB", most/mib), judge: func(r *result) (string, bool) {
		return fmt.Sprintf("%.0f MiB", r.peak(0)/mib), r.peak(0) <= most
	}}
}

// rssWithin asks for a peak RSS of at most so many bytes.
func rssWithin(most float64) goal {
	return goal{text: fmt.Sprintf("RSS ≤ %.0f MiB", most/mib), judge: func(r *result) (string, bool) {
		return fmt.Sprintf("%.0f MiB", r.rss(0)/mib), r.rss(0) <= most
	}}
}

// atDefaults are the rivals that goals count against.
func atDefaults(c contestant) bool { return !c.ours && !c.tuned && !c.bare }

// anyRival is one at its defaults or tuned.
func anyRival(c contestant) bool { return !c.ours && !c.bare }

func isTuned(c contestant) bool { return c.tuned }

// ratioToEach asks to be at least so many times as fast as each rival at its
// defaults.
func ratioToEach(least float64) goal {
	return goal{text: fmt.Sprintf("≥ %g× each rival", least), judge: func(r *result) (string, bool) {
		best := r.least(atDefaults, r.elapsed)
		ratio := r.speedup(best)
		return fmt.Sprintf("%s of %s", times(ratio, least), r.comparison.contestants[best].name), ratio >= least
	}}
}

// variantToEach asks that of a contestant of ours that is not the first.
func variantToEach(variant string, least float64) goal {
	return goal{text: fmt.Sprintf("%s: ≥ %g× each rival", variant, least), rival: variant, judge: func(r *result) (string, bool) {
		best := r.least(atDefaults, r.elapsed)
		ratio := r.ratio(r.find(variant), best)
		return fmt.Sprintf("%s of %s", times(ratio, least), r.comparison.contestants[best].name), ratio >= least
	}}
}

// variantTo asks a contestant of ours to be so many times as fast as the one
// called name.
func variantTo(variant, name string, least float64) goal {
	return goal{text: fmt.Sprintf("%s: ≥ %g× %s", variant, least, name), rival: name, judge: func(r *result) (string, bool) {
		ratio := r.ratio(r.find(variant), r.find(name))
		return times(ratio, least), ratio >= least
	}}
}

// noSlowerThan asks to be no slower than any rival of a kind, with a peak heap
// below a share of the smallest one's.
func noSlowerThan(text string, kind func(contestant) bool, share float64) goal {
	return goal{text: text, judge: func(r *result) (string, bool) {
		fastest, smallest := r.least(kind, r.elapsed), r.least(kind, r.peak)
		ratio, ours, theirs := r.speedup(fastest), r.peak(0), r.peak(smallest)
		return fmt.Sprintf("%.2f× of %s; %.0f MiB to %.0f of %s", ratio, r.comparison.contestants[fastest].name,
			ours/mib, theirs/mib, r.comparison.contestants[smallest].name), ratio >= 1 && ours < share*theirs
	}}
}

// noMoreCPU asks for no more CPU time than any rival at its defaults takes.
var noMoreCPU = goal{text: "no more CPU than any rival", judge: func(r *result) (string, bool) {
	best := r.least(atDefaults, r.cpu)
	return fmt.Sprintf("%.2f s; %.2f s of %s", r.cpu(0), r.cpu(best), r.comparison.contestants[best].name), r.cpu(0) <= r.cpu(best)
}}

// sameTimePerByte asks the contestants, which read more and more, for the same
// time per byte, within a share of the least.
func sameTimePerByte(share float64) goal {
	return goal{text: fmt.Sprintf("time per byte within %.0f %%", 100*share), judge: func(r *result) (string, bool) {
		more := r.spread(r.speedup)
		return fmt.Sprintf("%.0f %%", 100*more), more <= share
	}}
}

// sameMemory asks them for the same peaks of heap and RSS.
func sameMemory(share float64) goal {
	return goal{text: fmt.Sprintf("peak heap and RSS within %.0f %%", 100*share), judge: func(r *result) (string, bool) {
		heap, rss := r.spread(r.peak), r.spread(r.rss)
		return fmt.Sprintf("%.0f %%, %.0f %%", 100*heap, 100*rss), heap <= share && rss <= share
	}}
}

// calmer asks to have at most a share of the requests refused that the
// contestant called name has, and to take no longer.
func calmer(name string, share float64) goal {
	return goal{text: fmt.Sprintf("refused ≤ %.2f of %s, no slower", share, name), rival: name, judge: func(r *result) (string, bool) {
		other := r.find(name)
		ours, theirs, ratio := r.refused(0), r.refused(other), r.speedup(other)
		return fmt.Sprintf("%.0f to %.0f; %.2f×", ours, theirs, ratio), ours <= share*theirs && ratio >= 1
	}}
}

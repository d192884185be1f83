package main

import "slices"

func (r *result) elapsed(i int) float64 {
	return median(r.values(i, func(o outcome) float64 { return o.Elapsed.Seconds() }))
}

// speedup tells how many times as fast as contestant i ours is, byte for byte.
func (r *result) speedup(i int) float64 { return r.ratio(0, i) }

// ratio tells how many times as fast as contestant j contestant i is, byte for byte: the
// median of the rounds, each of which compares what ran one soon after the other.
func (r *result) ratio(i, j int) float64 {
	rounds := make([]float64, min(len(r.outcomes[i]), len(r.outcomes[j])))
	for k := range rounds {
		rounds[k] = r.perByte(j, k) / r.perByte(i, k)
	}
	slices.Sort(rounds)
	return median(rounds)
}

// perByte returns what as much input as the comparison's took in a round.
func (r *result) perByte(i, round int) float64 {
	return r.outcomes[i][round].Elapsed.Seconds() / float64(max(1, r.comparison.contestants[i].times))
}

func (r *result) cpu(i int) float64 {
	return median(r.values(i, func(o outcome) float64 { return o.CPU.Seconds() }))
}

func (r *result) refused(i int) float64 {
	return median(r.values(i, func(o outcome) float64 { return float64(o.Refused) }))
}

// peak returns the highest peak heap of all repetitions.
func (r *result) peak(i int) float64 {
	return slices.Max(r.values(i, func(o outcome) float64 { return float64(o.PeakHeap) }))
}

// rss returns the highest peak RSS of all repetitions.
func (r *result) rss(i int) float64 {
	return slices.Max(r.values(i, func(o outcome) float64 { return float64(o.PeakRSS) }))
}

// least returns the contestant of a kind with the least figure. There is
// one: see TestGoalsHaveContestants.
func (r *result) least(kind func(contestant) bool, figure func(int) float64) int {
	least := -1
	for i, c := range r.comparison.contestants {
		if kind(c) && len(r.outcomes[i]) > 0 && (least < 0 || figure(i) < figure(least)) {
			least = i
		}
	}
	return least
}

// spread tells by which share the highest figure of all contestants is above the
// lowest.
func (r *result) spread(figure func(int) float64) float64 {
	low, high := figure(0), figure(0)
	for i := range r.comparison.contestants {
		low, high = min(low, figure(i)), max(high, figure(i))
	}
	return high/low - 1
}

// allocations returns how many a million rows took.
func (r *result) allocations(i int) float64 {
	n := median(r.values(i, func(o outcome) float64 { return float64(o.Allocs) }))
	return n / (float64(r.input.count()*int64(r.comparison.tables)) / 1e6)
}

// values returns f of every outcome of a contestant, ascending.
func (r *result) values(i int, f func(outcome) float64) []float64 {
	v := make([]float64, len(r.outcomes[i]))
	for k, o := range r.outcomes[i] {
		v[k] = f(o)
	}
	slices.Sort(v)
	return v
}

// median returns the middle of sorted values.
func median(v []float64) float64 {
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

package linkage_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rapport-engine/rapport/learn/linkage"
)

// grouped lists the clusters of the records that are left, by their numbers in the file.
func grouped(x *linkage.Index, at map[int]int) string {
	var out []string
	for _, number := range at {
		var members []int
		for file, n := range at {
			if x.Cluster(n) == x.Cluster(number) {
				members = append(members, file)
			}
		}
		slices.Sort(members)
		out = append(out, fmt.Sprint(members))
	}
	slices.Sort(out)
	return fmt.Sprint(slices.Compact(out))
}

func TestARemovedRecordLeavesTheClustersAsIfItHadNeverBeen(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		records, _ := synthetic(20+seed, 300, 12, 20)
		m, err := linkage.Train(linkage.Person(), records, nil)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(seed, 5))
		records = append(records, records[:40]...) // some say the same
		x := linkage.NewIndex(m, linkage.Options{})
		at := map[int]int{}
		for i, rec := range records {
			at[i] = x.Add(rec)
			if r.IntN(3) == 0 {
				for file, number := range at {
					x.Remove(number)
					delete(at, file)
					break
				}
			}
		}
		fresh := linkage.NewIndex(m, linkage.Options{})
		left := map[int]int{}
		for i, rec := range records {
			if _, ok := at[i]; ok {
				left[i] = fresh.Add(rec)
			}
		}
		if got, want := grouped(x, at), grouped(fresh, left); got != want {
			t.Fatalf("seed %d: after %d removals\n%s\nwithout them\n%s", seed, x.Gone(), got, want)
		}
	}
}

func TestOnlyTouchedRecordsChangeTheirPairs(t *testing.T) {
	t.Parallel()
	records, _ := synthetic(31, 400, 12, 20)
	m, err := linkage.Train(linkage.Person(), records, nil)
	if err != nil {
		t.Fatal(err)
	}
	records = append(records, records[:50]...)
	r := rand.New(rand.NewPCG(1, 6))
	x := linkage.NewIndex(m, linkage.Options{})
	pairs := func() map[[2]int]string {
		out := map[[2]int]string{}
		for i := range x.Len() {
			x.Pairs(i, func(j int, bits float64, together bool) { out[[2]int{i, j}] = fmt.Sprintf("%.3f %v", bits, together) })
		}
		return out
	}
	before := pairs()
	left := []int{}
	for _, rec := range records {
		left = append(left, x.Add(rec))
		if r.IntN(4) == 0 {
			k := r.IntN(len(left))
			gone := left[k]
			left = slices.Delete(left, k, k+1)
			x.Remove(gone)
		}
		touched := map[int]bool{}
		for _, i := range x.Touched() {
			touched[i] = true
		}
		after := pairs()
		for p, is := range after {
			if back, ok := after[[2]int{p[1], p[0]}]; !ok || back != is {
				t.Fatalf("%v is %s, seen from the other end %s", p, is, back)
			}
			if before[p] != is && !touched[p[0]] && !touched[p[1]] {
				t.Fatalf("%v was %q and is %q, untouched", p, before[p], is)
			}
		}
		before = after
	}
}

package topic_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/rapport-engine/rapport/learn/topic"
)

// plant draws topics of a few words each over a common ground, and people who
// are mixtures of one to three of them.
func plant(rng *rand.Rand, topics, words, people, tokens int) (truth [][]float64, did [][]topic.Count, mixes [][]float64) {
	for k := range topics {
		p := make([]float64, words)
		for w := range p {
			p[w] = .2 / float64(words)
		}
		for i := range 8 {
			p[(k*7+i*i)%words] += .1 * (.5 + rng.Float64())
		}
		scale := 0.0
		for _, x := range p {
			scale += x
		}
		for w := range p {
			p[w] /= scale
		}
		truth = append(truth, p)
	}
	draw := func(p []float64) int {
		at := rng.Float64()
		for i, x := range p {
			if at -= x; at < 0 {
				return i
			}
		}
		return len(p) - 1
	}
	for range people {
		mix := make([]float64, topics)
		var sum float64
		for range 1 + rng.IntN(3) {
			x := rng.ExpFloat64()
			mix[rng.IntN(topics)] += x
			sum += x
		}
		counts := map[int]float64{}
		for k := range mix {
			mix[k] /= sum
		}
		for range tokens {
			counts[draw(truth[draw(mix)])]++
		}
		var list []topic.Count
		for w, n := range counts {
			list = append(list, topic.Count{Word: w, N: n})
		}
		slices.SortFunc(list, func(a, b topic.Count) int { return a.Word - b.Word })
		did, mixes = append(did, list), append(mixes, mix)
	}
	return truth, did, mixes
}

func cosine(a, b []float64) float64 {
	var ab, aa, bb float64
	for i := range a {
		ab, aa, bb = ab+a[i]*b[i], aa+a[i]*a[i], bb+b[i]*b[i]
	}
	return ab / math.Sqrt(aa*bb)
}

func same(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func TestPlantedMixturesAreRecovered(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5) {
		rng := rand.New(rand.NewPCG(seed, 1))
		truth, did, mixes := plant(rng, 6, 80, 1200, 40)
		m, err := topic.Fit(did, 80, topic.Options{Topics: 6, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		known := &topic.Model{IDs: same(6), Word: truth, Share: make([]float64, 6)}
		m.Align(known, same(80))
		at := map[int]int{}
		for k, id := range m.IDs {
			at[id] = k
		}
		worst, people := 1.0, 0.0
		for id := range truth {
			k, found := at[id]
			if !found {
				t.Fatalf("seed %d: topic %d is lost: %v", seed, id, m.IDs)
			}
			worst = min(worst, cosine(m.Word[k], truth[id]))
		}
		for i, d := range did {
			got := m.Degrees(m.Infer(d))
			placed := make([]float64, 6)
			for k, id := range m.IDs {
				if id < 6 {
					placed[id] = got[k]
				}
			}
			people += cosine(placed, mixes[i]) / float64(len(did))
		}
		t.Logf("seed %d: worst topic %.3f, people %.3f", seed, worst, people)
		if worst < .9 || people < .9 {
			t.Errorf("seed %d: worst topic %.3f, people %.3f", seed, worst, people)
		}
	}
}

func TestTopicsKeepTheirIDsFromModelToModel(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	_, did, _ := plant(rng, 5, 60, 1600, 40)
	first, err := topic.Fit(did[:800], 60, topic.Options{Topics: 5, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	for k := range first.IDs {
		first.IDs[k] = 10 + k
	}
	// The later model is of other people, and of a vocabulary in another order with a new word.
	from := make([]int, 61)
	var moved [][]topic.Count
	for w := range 60 {
		from[(w+7)%60] = w
	}
	from[60] = -1
	for _, d := range did[800:] {
		var list []topic.Count
		for _, c := range d {
			list = append(list, topic.Count{Word: (c.Word + 7) % 60, N: c.N})
		}
		moved = append(moved, append(list, topic.Count{Word: 60, N: 1}))
	}
	second, err := topic.Fit(moved, 61, topic.Options{Topics: 5, Seed: 9})
	if err != nil {
		t.Fatal(err)
	}
	second.Align(first, from)
	for k, id := range second.IDs {
		old := slices.Index(first.IDs, id)
		if old < 0 {
			t.Fatalf("ids %v", second.IDs)
		}
		back := make([]float64, 60)
		for w, p := range second.Word[k] {
			if from[w] >= 0 {
				back[from[w]] = p
			}
		}
		if c := cosine(back, first.Word[old]); c < .85 {
			t.Errorf("topic %d is not about what it was: %.3f", id, c)
		}
	}
	if tells := second.Tells(0, 5); len(tells) != 5 || !(tells[0].Lift > 1.5) {
		t.Errorf("%+v", tells)
	}
}

func TestOneTokenAfterTheOtherLeadsWhereAllTogetherDo(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 3))
	_, did, _ := plant(rng, 5, 60, 800, 40)
	m, err := topic.Fit(did, 60, topic.Options{Topics: 5})
	if err != nil {
		t.Fatal(err)
	}
	var near float64
	for _, d := range did {
		var mix topic.Mixture
		var tokens []int
		for _, c := range d {
			for range int(c.N) {
				tokens = append(tokens, c.Word)
			}
		}
		rng.Shuffle(len(tokens), func(i, j int) { tokens[i], tokens[j] = tokens[j], tokens[i] })
		for _, w := range tokens {
			mix = m.Observe(mix, w, 1)
		}
		near += cosine(m.Degrees(mix), m.Degrees(m.Infer(d))) / float64(len(did))
	}
	if near < .95 {
		t.Errorf("cosine %.3f", near)
	}
	var sum float64
	for _, x := range m.Degrees(nil) {
		sum += x
	}
	if math.Abs(sum-1) > 1e-9 {
		t.Errorf("degrees add up to %v", sum)
	}
}

func TestTheSamePeopleGiveTheSameTopics(t *testing.T) {
	t.Parallel()
	_, did, _ := plant(rand.New(rand.NewPCG(4, 4)), 3, 30, 200, 20)
	a, _ := topic.Fit(did, 30, topic.Options{Topics: 3})
	b, _ := topic.Fit(did, 30, topic.Options{Topics: 3})
	for k := range a.Word {
		if !slices.Equal(a.Word[k], b.Word[k]) {
			t.Fatal("two fits differ")
		}
	}
	if _, err := topic.Fit(did[:3], 30, topic.Options{}); err == nil {
		t.Error("three people make eight topics")
	}
	if _, err := topic.Fit([][]topic.Count{{{Word: 9, N: 1}}}, 3, topic.Options{}); err == nil {
		t.Error("a word outside the vocabulary is taken")
	}
}

func BenchmarkObserve(b *testing.B) {
	_, did, _ := plant(rand.New(rand.NewPCG(5, 5)), 16, 200, 400, 20)
	m, _ := topic.Fit(did, 200, topic.Options{Topics: 16, Passes: 5, Starts: 1})
	mix := m.Observe(nil, 1, 1)
	b.ReportAllocs()
	for b.Loop() {
		mix = m.Observe(mix, 3, 1e-9)
	}
}

func TestCountsThatHaveFadedAreStillToldApart(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 4))
	var people [][]topic.Count
	for i := range 200 {
		var p []topic.Count
		for w := range 6 {
			p = append(p, topic.Count{Word: i%2*6 + w, N: math.Exp2(-40 * r.Float64())})
		}
		people = append(people, p)
	}
	m, err := topic.Fit(people, 12, topic.Options{Topics: 2, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	for k := range m.Word {
		for w, p := range m.Word[k] {
			if !(p > 0 && p < 1) {
				t.Errorf("topic %d says word %d has the chance %v", k, w, p)
			}
		}
	}
}

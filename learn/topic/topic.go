// Package topic discovers what people are about from what they do: each person
// is a mixture of topics, each topic a distribution over behaviour tokens.
//
// It is pure and deterministic. Models are fitted in batches by collapsed
// variational Bayes and followed online: one token moves a person's mixture in
// O(topics). A later model is aligned to an earlier one, so that a topic keeps
// its id, and with it its name, while it is about the same things.
//
// Sources: Blei, Ng, Jordan, "Latent Dirichlet allocation", JMLR 3 (2003);
// Asuncion, Welling, Smyth, Teh, "On smoothing and inference for topic models",
// UAI 2009 (CVB0); Foulds et al., "Stochastic collapsed variational Bayesian
// inference for latent Dirichlet allocation", KDD 2013 (the online step).
package topic

import (
	"cmp"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
)

// Count is how often a person did one thing, by its number in the vocabulary.
type Count struct {
	Word int
	N    float64 // > 0
}

// Options say how to fit; zero fields take the default.
type Options struct {
	Topics int     // default 8
	Alpha  float64 // prior of a person's mixture; default 0.1
	Beta   float64 // prior of a topic's words; default 0.02
	Passes int     // over all people; default 60
	Starts int     // fits begun anew, the best of which is kept; default 3
	Seed   uint64
}

// Model is a set of topics over a vocabulary. It is immutable.
type Model struct {
	// IDs name the topics; they survive alignment.
	IDs []int `json:"ids"`
	// Word is the chance of each word in each topic: Word[k][w].
	Word [][]float64 `json:"word"`
	// Share is each topic's part of everything done.
	Share []float64 `json:"share"`
	Alpha float64   `json:"alpha"`
}

// ErrTooFew is returned when there is too little to tell topics apart.
var ErrTooFew = errors.New("topic: too few people with more than one token")

// Fit finds topics in what people did. vocabulary is the number of words.
func Fit(people [][]Count, vocabulary int, o Options) (*Model, error) {
	o.Topics, o.Passes, o.Starts = or(o.Topics, 8), or(o.Passes, 60), or(o.Starts, 3)
	if o.Alpha == 0 {
		o.Alpha = 0.1
	}
	if o.Beta == 0 {
		o.Beta = 0.02
	}
	useful := 0
	for _, p := range people {
		for _, c := range p {
			if c.Word < 0 || c.Word >= vocabulary || !(c.N > 0) || math.IsInf(c.N, 0) {
				return nil, errors.New("topic: a token is outside the vocabulary or has no positive count")
			}
		}
		if len(p) > 1 {
			useful++
		}
	}
	if useful < 2*o.Topics {
		return nil, ErrTooFew
	}
	var best *Model
	most := math.Inf(-1)
	for start := range o.Starts {
		rng := rand.New(rand.NewPCG(o.Seed, uint64(start)))
		f := newFit(people, vocabulary, o, rng)
		for range o.Passes {
			f.pass()
		}
		if l := f.likelihood(); l > most {
			most, best = l, f.model()
		}
	}
	if best == nil {
		return nil, errors.New("topic: the counts are too far apart in size to be told apart")
	}
	return best, nil
}

func or(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// fit is a running collapsed variational fit.
type fit struct {
	o       Options
	people  [][]Count
	words   int
	resp    [][]float64 // per person, responsibilities of each token's topics
	person  [][]float64 // counts person x topic
	word    [][]float64 // counts word x topic
	total   []float64
	scratch []float64
}

func newFit(people [][]Count, words int, o Options, rng *rand.Rand) *fit {
	f := &fit{o: o, people: people, words: words, total: make([]float64, o.Topics), scratch: make([]float64, o.Topics)}
	f.word = make([][]float64, words)
	for w := range f.word {
		f.word[w] = make([]float64, o.Topics)
	}
	// Begin from people far apart, as k-means++ does: each topic from one person's tokens.
	seeds := f.apart(rng)
	for _, p := range people {
		resp, counts := make([]float64, len(p)*o.Topics), make([]float64, o.Topics)
		near := make([]float64, o.Topics)
		for k, s := range seeds {
			near[k] = math.Exp(6 * cosine(p, people[s]))
		}
		for i, c := range p {
			var sum float64
			r := resp[i*o.Topics : (i+1)*o.Topics]
			for k := range r {
				r[k] = near[k] * (0.5 + rng.Float64())
				sum += r[k]
			}
			for k := range r {
				r[k] /= sum
				counts[k] += c.N * r[k]
				f.word[c.Word][k] += c.N * r[k]
				f.total[k] += c.N * r[k]
			}
		}
		f.resp, f.person = append(f.resp, resp), append(f.person, counts)
	}
	return f
}

// apart chooses people unlike each other.
func (f *fit) apart(rng *rand.Rand) []int {
	seeds := []int{rng.IntN(len(f.people))}
	far := make([]float64, len(f.people))
	for i := range far {
		far[i] = 1
	}
	for len(seeds) < f.o.Topics {
		var sum float64
		for i, p := range f.people {
			d := 1 - cosine(p, f.people[seeds[len(seeds)-1]])
			far[i] = min(far[i], d*d)
			sum += far[i]
		}
		at, next := rng.Float64()*sum, 0
		for i, d := range far {
			if at -= d; at < 0 {
				next = i
				break
			}
		}
		seeds = append(seeds, next)
	}
	return seeds
}

func cosine(a, b []Count) float64 {
	var ab, aa, bb float64
	for _, x := range a {
		aa += x.N * x.N
		for _, y := range b {
			if x.Word == y.Word {
				ab += x.N * y.N
			}
		}
	}
	for _, y := range b {
		bb += y.N * y.N
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return ab / math.Sqrt(aa) / math.Sqrt(bb)
}

// pass moves every token once (CVB0): each counts toward a topic by what all
// the others say.
func (f *fit) pass() {
	alpha, beta, size := f.o.Alpha, f.o.Beta, f.o.Beta*float64(f.words)
	next := f.scratch
	for d, p := range f.people {
		mine := f.person[d]
		for i, c := range p {
			r := f.resp[d][i*f.o.Topics : (i+1)*f.o.Topics]
			of := f.word[c.Word]
			var sum float64
			one := min(c.N, 1) // a faded count may be less than one token
			for k := range next {
				own := one * r[k]
				next[k] = max(mine[k]-own, 0) + alpha
				next[k] *= (max(of[k]-own, 0) + beta) / (max(f.total[k]-own, 0) + size)
				sum += next[k]
			}
			for k := range next {
				change := c.N * (next[k]/sum - r[k])
				r[k] = next[k] / sum
				mine[k] += change
				of[k] += change
				f.total[k] += change
			}
		}
	}
}

func (f *fit) likelihood() float64 {
	m := f.model()
	var sum float64
	for d, p := range f.people {
		var all float64
		for _, n := range f.person[d] {
			all += n + f.o.Alpha
		}
		for _, c := range p {
			var chance float64
			for k, n := range f.person[d] {
				chance += (n + f.o.Alpha) / all * m.Word[k][c.Word]
			}
			sum += c.N * math.Log(chance)
		}
	}
	return sum
}

// model reads the topics out, the largest first.
func (f *fit) model() *Model {
	m := &Model{Alpha: f.o.Alpha}
	var all float64
	for _, t := range f.total {
		all += t
	}
	order := make([]int, f.o.Topics)
	for k := range order {
		order[k] = k
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(f.total[b], f.total[a]) })
	for id, k := range order {
		words := make([]float64, f.words)
		for w := range words {
			words[w] = (f.word[w][k] + f.o.Beta) / (f.total[k] + f.o.Beta*float64(f.words))
		}
		m.IDs, m.Word, m.Share = append(m.IDs, id), append(m.Word, words), append(m.Share, f.total[k]/all)
	}
	return m
}

// Mixture is one person's counts per topic, without the prior. A nil Mixture
// is a person of whom nothing is known.
type Mixture []float64

// Observe moves a mixture by n occurrences of a word, in O(topics), and returns it.
func (m *Model) Observe(mix Mixture, word int, n float64) Mixture {
	if mix == nil {
		mix = make(Mixture, len(m.Word))
	}
	if word < 0 || len(m.Word) == 0 || word >= len(m.Word[0]) {
		return mix
	}
	var sum float64
	for k := range mix {
		sum += (mix[k] + m.Alpha) * m.Word[k][word]
	}
	scale := n / sum
	for k := range mix {
		mix[k] += scale * (mix[k] + m.Alpha) * m.Word[k][word]
	}
	return mix
}

// Infer returns the mixture of a person who did all of this, whatever the order.
func (m *Model) Infer(did []Count) Mixture {
	mix := make(Mixture, len(m.Word))
	for i := range mix {
		mix[i] = 1
	}
	next := make(Mixture, len(mix))
	for range 30 {
		clear(next)
		for _, c := range did {
			if c.Word < 0 || len(m.Word) == 0 || c.Word >= len(m.Word[0]) {
				continue
			}
			var sum float64
			for k := range mix {
				sum += (mix[k] + m.Alpha) * m.Word[k][c.Word]
			}
			for k := range mix {
				next[k] += c.N * (mix[k] + m.Alpha) * m.Word[k][c.Word] / sum
			}
		}
		mix, next = next, mix
	}
	return mix
}

// Degrees returns how much of a person each topic is: shares that add up to 1.
func (m *Model) Degrees(mix Mixture) []float64 {
	out := make([]float64, len(m.Word))
	var sum float64
	for k := range out {
		out[k] = m.Alpha
		if mix != nil {
			out[k] += mix[k]
		}
		sum += out[k]
	}
	for k := range out {
		out[k] /= sum
	}
	return out
}

// Lift is how much more often a word comes up in a topic than in all.
type Lift struct {
	Word  int
	Lift  float64
	Share float64 // of the topic
}

// Tells returns the n words that tell a topic best, for naming it: frequent in
// it and more so than elsewhere.
func (m *Model) Tells(k, n int) []Lift {
	var out []Lift
	for w, p := range m.Word[k] {
		var all float64
		for j := range m.Word {
			all += m.Share[j] * m.Word[j][w]
		}
		out = append(out, Lift{w, p / all, p})
	}
	score := func(l Lift) float64 { return l.Share * math.Log(l.Lift) }
	slices.SortStableFunc(out, func(a, b Lift) int { return cmp.Compare(score(b), score(a)) })
	return out[:min(n, len(out))]
}

// same is from which cosine on two topics are about the same things.
const same = 0.6

// Align gives m's topics the ids of old's that are about the same things, the
// most alike first; the others get ids never used before. from maps m's words
// to old's, -1 for words old did not know.
func (m *Model) Align(old *Model, from []int) {
	next := 0
	for _, id := range old.IDs {
		next = max(next, id+1)
	}
	type pair struct {
		mine, theirs int
		cosine       float64
	}
	var pairs []pair
	for k := range m.Word {
		for j := range old.Word {
			var ab, aa, bb float64
			for w, p := range m.Word[k] {
				aa += p * p
				if from[w] >= 0 {
					ab += p * old.Word[j][from[w]]
				}
			}
			for _, p := range old.Word[j] {
				bb += p * p
			}
			pairs = append(pairs, pair{k, j, ab / math.Sqrt(aa*bb)})
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(b.cosine, a.cosine) })
	mine, theirs := make([]bool, len(m.Word)), make([]bool, len(old.Word))
	for _, p := range pairs {
		if p.cosine < same || mine[p.mine] || theirs[p.theirs] {
			continue
		}
		mine[p.mine], theirs[p.theirs] = true, true
		m.IDs[p.mine] = old.IDs[p.theirs]
	}
	for k := range m.IDs {
		if !mine[k] {
			m.IDs[k] = next
			next++
		}
	}
}

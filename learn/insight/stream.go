package insight

import "math"

// Stream decides over one test after another, for ever, which are discoveries,
// holding the share of false ones among them at Level: LORD++. Its fields are
// its whole memory; the zero value with a Level is ready.
type Stream struct {
	Level float64 `json:"level"`
	Tests int     `json:"tests"`
	// Found are the numbers of the tests that were discoveries, from 1; those
	// too long ago to earn anything any more are left out.
	Found []int `json:"found"`
	First bool  `json:"first"` // the first of Found is the first discovery ever
	// Spent is the sum of the levels of all tests, Discoveries how many there were.
	Spent       float64 `json:"spent"`
	Discoveries int     `json:"discoveries"`
}

// mostFound bounds what a stream remembers: older discoveries earn next to nothing.
const mostFound = 1000

// gamma is the share of the wealth spent j tests after it was earned, j >= 1;
// over all j it comes to 1 (Javanmard and Montanari, 2018).
func gamma(j int) float64 {
	x := float64(j)
	return 0.0722 * math.Log(max(x, 2)) / (x * math.Exp(math.Sqrt(math.Log(x))))
}

// Next tells whether the next test, with the p-value p, is a discovery.
func (s *Stream) Next(p float64) bool {
	level := s.Allowed()
	s.Tests++
	s.Spent += level
	if p > level {
		return false
	}
	s.Discoveries++
	s.First = s.First || len(s.Found) == 0
	s.Found = append(s.Found, s.Tests)
	if len(s.Found) > mostFound {
		s.Found, s.First = append([]int(nil), s.Found[1:]...), false
	}
	return true
}

// Allowed is the level of the next test: the largest p-value it may have as a discovery.
func (s *Stream) Allowed() float64 {
	start, next := s.Level/2, s.Tests+1
	level := gamma(next) * start
	for i, at := range s.Found {
		if i == 0 && s.First {
			level += (s.Level - start) * gamma(next-at)
		} else {
			level += s.Level * gamma(next-at)
		}
	}
	return level
}

// Left is what may still be spent: half of Level to begin with, the other half
// with the first discovery and all of it with each further one, less Spent.
func (s *Stream) Left() float64 {
	earned := s.Level / 2
	if s.Discoveries > 0 {
		earned += s.Level/2 + s.Level*float64(s.Discoveries-1)
	}
	return max(earned-s.Spent, 0)
}

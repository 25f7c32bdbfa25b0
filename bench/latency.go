package bench

import (
	"encoding/json"
	"math"
	"slices"
	"time"
)

// Latency is a distribution in milliseconds. Count is how many it is of; if it
// is of none, JSON has null for what is not known.
type Latency struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	Max   float64 `json:"max"`
}

// MarshalJSON implements json.Marshaler.
func (l Latency) MarshalJSON() ([]byte, error) {
	if l.Count == 0 {
		return []byte(`{"count":0,"p50":null,"p90":null,"p99":null,"p999":null,"max":null}`), nil
	}
	type plain Latency
	return json.Marshal(plain(l))
}

// latencies keeps every sample: a run has a few hundred thousand at most.
type latencies []time.Duration

func (l latencies) summary() Latency {
	if len(l) == 0 {
		return Latency{}
	}
	slices.Sort(l)
	at := func(q float64) float64 {
		i := int(math.Ceil(q*float64(len(l)))) - 1
		return float64(l[max(i, 0)].Microseconds()) / 1000
	}
	return Latency{int64(len(l)), at(0.5), at(0.9), at(0.99), at(0.999), at(1)}
}

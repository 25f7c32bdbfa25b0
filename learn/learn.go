// Package learn is the mathematics of learning from what people do: posterior
// beliefs, draws from them, the chances of each choice, and honest intervals.
//
// It is pure: no I/O, no clock, no global randomness, no knowledge of the
// other rooms. The same inputs give the same outputs, so a decision can be
// replayed from its seed and every replica that folds the same examples learns
// the same. Each file names the source of its method.
package learn

package segmentwire

import "github.com/rapport-engine/rapport"

// Object reads one JSON object into Fields, within the limits of an event. The
// error is Invalid and says what is wrong and where.
func Object(body []byte) (rapport.Fields, error) {
	p := parser{scanner: scanner{b: body}, limits: Limits{}.withDefaults()}
	if len(body) > p.limits.EventBytes {
		return nil, rapport.Errorf(rapport.TooLarge, "the object has %d bytes, at most %d are taken", len(body), p.limits.EventBytes)
	}
	f, ok := p.fields("object")
	if p.peek(); ok && p.i < len(body) {
		ok = p.broken("the end of the object")
	}
	if !ok {
		if err := p.err(); err != nil {
			return nil, err
		}
	}
	if p.problem.Code != "" {
		return nil, rapport.WithHint(rapport.Errorf(rapport.Invalid, "%s %s", p.problem.Path, p.problem.Why), "%s", p.problem.Fix)
	}
	if !ok {
		return nil, rapport.Errorf(rapport.Invalid, "the object cannot be read")
	}
	return f, nil
}

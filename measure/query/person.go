package query

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/profile"
)

// holds evaluates a condition on properties.v0, v1 and so on.
func holds(known *sync.Map, text string, list []any) (any, error) {
	c, ok := known.Load(text)
	if !ok {
		parsed, err := condition.Parse(text)
		if err != nil {
			return nil, err
		}
		c, _ = known.LoadOrStore(text, parsed)
	}
	var f rapport.Fields
	for i, x := range list {
		if x == nil {
			continue
		}
		v, err := parseValue(fmt.Sprint(x))
		if err != nil {
			return nil, err
		}
		f = rapport.AppendField(f, "v"+strconv.Itoa(i), v)
	}
	return strconv.FormatBool(c.(*condition.Condition).Holds(&condition.EventEnv{Properties: f})), nil
}

// question is what rapport_answer is asked.
type question struct {
	aggregate *condition.Aggregate
	at        int64
}

// answerOf answers a question from the list of its events; JSON, "null" if there is no answer.
func answerOf(known *sync.Map, spec string, list []any) (any, error) {
	q, ok := known.Load(spec)
	if !ok {
		a, at, err := condition.ParseSpec(spec)
		if err != nil {
			return nil, err
		}
		q, _ = known.LoadOrStore(spec, question{a, at})
	}
	events := make([]profile.Match, 0, len(list))
	for _, x := range list {
		at, rest, _ := strings.Cut(fmt.Sprint(x), " ")
		step, value, _ := strings.Cut(rest, " ")
		ms, err1 := strconv.ParseInt(at, 10, 64)
		n, err2 := strconv.Atoi(step)
		v, err3 := parseValue(value)
		if err1 != nil || err2 != nil || err3 != nil {
			return nil, fmt.Errorf("%q is no event of a question", x)
		}
		events = append(events, profile.Match{At: ms, Step: n, Value: v})
	}
	v := profile.Answer(q.(question).aggregate, events, q.(question).at)
	return string(v.AppendJSON(nil)), nil
}

// consentOf weighs what was said of a purpose.
func consentOf(channel string, list []any) (any, error) {
	said := make([]profile.Said, 0, len(list))
	for _, x := range list {
		at, rest, _ := strings.Cut(fmt.Sprint(x), " ")
		allowed, on, _ := strings.Cut(rest, " ")
		ms, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q says nothing of consent", x)
		}
		said = append(said, profile.Said{Purpose: "p", Channel: on, Allowed: allowed == "true", At: ms})
	}
	return strconv.FormatBool(profile.ConsentOf(said).Allows("p", channel)), nil
}

// nowOf returns a part of the time of day in a zone.
func nowOf(zones *profile.Zones, spec string, list []any) (any, error) {
	name, at, _ := strings.Cut(spec, " ")
	ms, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return nil, err
	}
	zone := ""
	if len(list) > 0 && list[0] != nil {
		zone = fmt.Sprint(list[0])
	}
	return strconv.FormatFloat(condition.NowPart(name, time.UnixMilli(ms).In(zones.Find(zone))), 'g', -1, 64), nil
}

package epcis

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Query is a compiled SimpleEventQuery (EPCIS 2.0, section 8.2.7.1).
type Query struct {
	tests []func(*Event) bool
	// masters are tests that ask master data, after all others.
	masters []masterTest
	// seeks are the alternatives of the narrowest index that a parameter allows.
	seeks                []seek
	event, record        span64
	byRecord, ascending  bool
	limit, most, perPage int
	token                string
}

// seek is one place in the index where every match of a parameter stands.
type seek struct {
	roles []role
	of    id
}

// Params are the parameters of a query as a JSON query document has them.
type Params map[string]any

// ParamsOf reads parameters from a URL's query: alternatives stand apart by
// '|' or repeat.
func ParamsOf(values map[string][]string) Params {
	p := Params{}
	for k, vs := range values {
		var list []any
		for _, v := range vs {
			for part := range strings.SplitSeq(v, "|") {
				if part != "" || strings.HasPrefix(k, "EXISTS_") {
					list = append(list, part)
				}
			}
		}
		p[k] = list
	}
	return p
}

// DecodeParams reads a JSON query document. Exception: QueryValidation.
func DecodeParams(data []byte) (Params, error) {
	m, err := decodeObject(data)
	if err != nil {
		return nil, Raise(QueryValidationException, "the query is not a JSON object: %v", err)
	}
	return m, nil
}

const (
	pageMost     = 1000
	pageStandard = 30
)

// queryPaging are parameters of the interface, not of the query.
var queryPaging = []string{"@context", "perPage", "nextPageToken", "queryType", "query", "name", "minRecordTime", "reportIfEmpty", "initialRecordTime", "stream", "schedule"}

// Compile checks parameters and returns the query. Exceptions: QueryParameter
// for an unknown name or a value that does not fit it.
func Compile(p Params) (*Query, error) {
	q := &Query{event: span64{math.MinInt64, math.MaxInt64}, record: span64{math.MinInt64, math.MaxInt64}, perPage: pageStandard}
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if err := q.param(name, p[name]); err != nil {
			return nil, err
		}
	}
	if q.limit > 0 && q.most > 0 {
		return nil, Raise(QueryParameterException, "eventCountLimit and maxEventCount exclude each other")
	}
	return q, nil
}

func (q *Query) param(name string, raw any) error {
	bad := func(format string, args ...any) error {
		return Raise(QueryParameterException, "%s: %s", name, fmt.Sprintf(format, args...))
	}
	list, err := texts(raw)
	if err != nil {
		return bad("%v", err)
	}
	one := ""
	if len(list) > 0 {
		one = list[0]
	}
	count := func(into *int, most int) error {
		n, err := strconv.Atoi(one)
		if err != nil || n < 1 {
			return bad("%q is not a positive number", one)
		}
		*into = min(n, most)
		return nil
	}
	switch name {
	case "perPage":
		return count(&q.perPage, pageMost)
	case "eventCountLimit":
		return count(&q.limit, math.MaxInt32)
	case "maxEventCount":
		return count(&q.most, math.MaxInt32)
	case "nextPageToken":
		q.token = one
		return nil
	case "orderBy":
		if one != "eventTime" && one != "recordTime" {
			return bad("events are ordered by eventTime or recordTime, not by %q", one)
		}
		q.byRecord = one == "recordTime"
		return nil
	case "orderDirection":
		if one != "ASC" && one != "DESC" {
			return bad("%q is neither ASC nor DESC", one)
		}
		q.ascending = one == "ASC"
		return nil
	case "eventType":
		for _, t := range list {
			if _, known := fieldsOf[Type(t)]; !known && !isURI(t) {
				return bad("%q is no event type", t)
			}
		}
		q.where(func(e *Event) bool { return slices.Contains(list, string(e.Type)) })
		return nil
	case "EQ_action":
		for _, a := range list {
			if a != Add && a != Observe && a != Delete {
				return bad("%q is none of ADD, OBSERVE and DELETE", a)
			}
		}
		q.where(func(e *Event) bool { return slices.Contains(list, e.Action) })
		return nil
	}
	if slices.Contains(queryPaging, name) {
		return nil
	}
	if len(list) == 0 && !strings.HasPrefix(name, "EXISTS_") {
		return bad("a value is missing")
	}
	op, field, ok := strings.Cut(name, "_")
	if !ok {
		return bad("there is no such parameter")
	}
	switch op {
	case "GE", "LT", "GT", "LE", "EQ":
		return q.compare(op, field, list, bad)
	case "EXISTS":
		return q.exists(field, bad)
	case "MATCH":
		return q.match(field, list, bad)
	case "WD":
		return q.within(field, list, bad)
	case "HASATTR", "EQATTR":
		return q.attributes(op, field, list, bad)
	}
	return bad("there is no such parameter")
}

func (q *Query) where(test func(*Event) bool) { q.tests = append(q.tests, test) }

// texts returns a parameter's values as text.
func texts(raw any) ([]string, error) {
	switch v := raw.(type) {
	case nil:
		return nil, nil
	case string:
		return []string{v}, nil
	case json.Number:
		return []string{string(v)}, nil
	case bool:
		return []string{strconv.FormatBool(v)}, nil
	case []any:
		var out []string
		for _, x := range v {
			if _, nested := x.([]any); nested || len(out) >= 1000 {
				return nil, fmt.Errorf("a list of at most 1000 values is expected")
			}
			t, err := texts(x)
			if err != nil {
				return nil, err
			}
			out = append(out, t...)
		}
		return out, nil
	}
	return nil, fmt.Errorf("a text, a number or a list of them is expected")
}

type refuse func(format string, args ...any) error

// compare handles EQ_, GE_, GT_, LE_ and LT_.
func (q *Query) compare(op, field string, list []string, bad refuse) error {
	one := list[0]
	times := map[string]func(*Event) []int64{
		"errorDeclarationTime": func(e *Event) []int64 {
			if e.Error == nil {
				return nil
			}
			return []int64{e.Error.Time}
		},
		"time":      func(e *Event) []int64 { return e.sensorTimes(0) },
		"startTime": func(e *Event) []int64 { return e.sensorTimes(1) },
		"endTime":   func(e *Event) []int64 { return e.sensorTimes(2) },
	}
	switch field {
	case "eventTime", "recordTime":
		at, ok := parseTime(one)
		if !ok || op != "GE" && op != "LT" {
			return bad("%q is not a time with its zone, or the comparison is not GE or LT", one)
		}
		into := &q.event
		if field == "recordTime" {
			into = &q.record
		}
		if op == "GE" {
			into.from = max(into.from, at)
		} else {
			into.to = min(into.to, at-1)
		}
		return nil
	case "errorDeclarationTime", "errorDeclaration_Time", "time", "startTime", "endTime":
		at, ok := parseTime(one)
		if !ok || op != "GE" && op != "LT" {
			return bad("%q is not a time with its zone, or the comparison is not GE or LT", one)
		}
		get := times[strings.Replace(field, "_", "", 1)]
		q.where(func(e *Event) bool {
			return slices.ContainsFunc(get(e), func(x int64) bool { return op == "GE" && x >= at || op == "LT" && x < at })
		})
		return nil
	}
	if op == "EQ" {
		if done, err := q.equal(field, list, bad); done || err != nil {
			return err
		}
	}
	if name, unit, _ := strings.Cut(field, "_"); name == "quantity" || slices.Contains(reportNumbers, name) {
		var wants []float64
		for _, s := range list {
			x, err := strconv.ParseFloat(s, 64)
			if err != nil {
				return bad("%q is not a number", s)
			}
			wants = append(wants, x)
		}
		q.where(func(e *Event) bool {
			return slices.ContainsFunc(e.numbers(name, unit), func(x float64) bool {
				return slices.ContainsFunc(wants, func(w float64) bool { return holds(op, cmp.Compare(x, w)) })
			})
		})
		return nil
	}
	where, path, inner, ok := extension(field)
	if !ok {
		return bad("there is no such parameter")
	}
	q.where(func(e *Event) bool {
		return slices.ContainsFunc(e.extensions(where, path, inner), func(v string) bool {
			return slices.ContainsFunc(list, func(w string) bool { return compareText(op, v, w) })
		})
	})
	return nil
}

func holds(op string, order int) bool {
	switch op {
	case "EQ":
		return order == 0
	case "GT":
		return order > 0
	case "GE":
		return order >= 0
	case "LT":
		return order < 0
	}
	return order <= 0
}

func compareText(op, v, w string) bool {
	if x, err := strconv.ParseFloat(v, 64); err == nil {
		if y, err := strconv.ParseFloat(w, 64); err == nil {
			return holds(op, cmp.Compare(x, y))
		}
	}
	if x, ok := parseTime(v); ok {
		if y, ok := parseTime(w); ok {
			return holds(op, cmp.Compare(x, y))
		}
	}
	return op == "EQ" && v == w
}

// equal handles EQ_ of the standard's own fields.
func (q *Query) equal(field string, list []string, bad refuse) (done bool, err error) {
	any := func(get func(*Event) []string, v *vocabulary, named bool) {
		wants := slices.Clone(list)
		for i, w := range wants {
			if v != nil {
				wants[i] = v.bare(w)
			} else if named {
				wants[i] = Name(w)
			}
		}
		q.where(func(e *Event) bool {
			return slices.ContainsFunc(get(e), func(x string) bool {
				if named {
					x = Name(x)
				}
				return slices.Contains(wants, x)
			})
		})
	}
	single := func(get func(*Event) string) func(*Event) []string {
		return func(e *Event) []string {
			if s := get(e); s != "" {
				return []string{s}
			}
			return nil
		}
	}
	report := func(name string) func(*Event) []string {
		return func(e *Event) []string { return e.reports(name) }
	}
	switch field {
	case "bizStep":
		any(single(func(e *Event) string { return e.BizStep }), &bizSteps, false)
	case "disposition":
		any(single(func(e *Event) string { return e.Disposition }), &dispositions, false)
	case "persistentDisposition_set":
		any(func(e *Event) []string { return e.Set }, &dispositions, false)
	case "persistentDisposition_unset":
		any(func(e *Event) []string { return e.Unset }, &dispositions, false)
	case "readPoint":
		q.seek(list, asReadPoint)
		any(single(func(e *Event) string { return e.ReadPoint }), nil, true)
	case "bizLocation":
		q.seek(list, asLocation)
		any(single(func(e *Event) string { return e.BizLocation }), nil, true)
	case "transformationID":
		q.seek(list, asTransformation)
		any(single(func(e *Event) string { return e.TransformationID }), nil, true)
	case "eventID":
		any(single(func(e *Event) string { return e.ID }), nil, false)
	case "errorReason":
		any(func(e *Event) []string {
			if e.Error == nil {
				return nil
			}
			return []string{e.Error.Reason}
		}, &errorReasons, false)
	case "correctiveEventID":
		any(func(e *Event) []string {
			if e.Error == nil {
				return nil
			}
			return e.Error.Corrective
		}, nil, false)
	case "type":
		any(report("type"), &measurements, false)
	case "exception":
		any(report("exception"), &alertTypes, false)
	case "component":
		any(report("component"), &components, false)
	case "deviceID", "deviceMetadata", "rawData", "dataProcessingMethod", "bizRules", "microorganism", "chemicalSubstance", "stringValue",
		"hexBinaryValue", "uriValue", "booleanValue", "coordinateReferenceSystem":
		any(report(field), nil, false)
	default:
		kind, t, _ := strings.Cut(field, "_")
		var get func(*Event) []Typed
		var v *vocabulary
		switch kind {
		case "bizTransaction":
			get, v = func(e *Event) []Typed { return e.Transactions }, &transactionTypes
			q.seek(list, asTransaction)
		case "source":
			get, v = func(e *Event) []Typed { return e.Sources }, &endpointTypes
		case "destination":
			get, v = func(e *Event) []Typed { return e.Destinations }, &endpointTypes
		default:
			return false, nil
		}
		t = v.bare(t)
		any(func(e *Event) []string {
			var out []string
			for _, x := range get(e) {
				if t == "" || x.Type == t {
					out = append(out, x.ID)
				}
			}
			return out
		}, nil, true)
	}
	return true, nil
}

// seek offers an index for exact values; the one with the fewest alternatives is used.
func (q *Query) seek(values []string, roles ...role) {
	if q.seeks != nil && len(q.seeks) <= len(values) {
		return
	}
	seeks := make([]seek, 0, len(values))
	for _, v := range values {
		if strings.Contains(v, "*") {
			return
		}
		seeks = append(seeks, seek{roles, idOf(Name(v))})
	}
	q.seeks = seeks
}

package epcis_test

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/twin/epcis"
)

// fill captures about n events: canisters six levels deep, shipped and received.
func fill(b *testing.B, w *world, n int) (things int) {
	b.Helper()
	const perCase = 24
	var events []string
	made := 0
	flush := func(least int) {
		if len(events) >= least && len(events) > 0 {
			doc, err := epcis.Parse(document(events...), "application/ld+json", epcis.Limits{Events: 10_000, Bytes: 64 << 20})
			if err != nil {
				b.Fatal(err)
			}
			if j, err := w.chain.Capture(b.Context(), doc, epcis.Rollback); err != nil || !j.Success {
				b.Fatal(j, err)
			}
			made += len(events)
			events = events[:0]
		}
	}
	for c := 0; made < n; c++ {
		kids := make([]string, perCase)
		for i := range kids {
			kids[i] = canister(c*perCase + i)
		}
		for _, k := range kids {
			events = append(events, object(0, "ADD", "commissioning", factory, k))
		}
		events = append(events, pack(1, "ADD", "packing", sscc(c*6), kids...))
		for level := 1; level < 6; level++ {
			events = append(events, pack(1+level, "ADD", "packing", sscc(c*6+level), sscc(c*6+level-1)))
		}
		for hour := 10; hour < 20; hour++ {
			events = append(events, object(hour, "OBSERVE", []string{"shipping", "receiving"}[hour%2], shop, sscc(c*6+5)))
		}
		things += perCase
		flush(2000)
	}
	flush(1)
	if err := w.chain.Settle(b.Context()); err != nil {
		b.Fatal(err)
	}
	return things
}

func size(b *testing.B, otherwise int) int {
	if s := os.Getenv("EPCIS_EVENTS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	return otherwise
}

// BenchmarkTraceThroughSixLevels follows a canister through six containers.
// EPCIS_EVENTS says how many events there are.
func BenchmarkTraceThroughSixLevels(b *testing.B) {
	w := startWorld(b, epcis.Deps{Log: memory(b), Store: openStore(b), Clock: rapport.SystemClock{}, Logger: slog.New(slog.DiscardHandler)})
	things := fill(b, w, size(b, 20_000))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		t, err := w.chain.Trace(b.Context(), canister(i*7919%things), epcis.Upstream|epcis.Downstream)
		if err != nil || len(t.Steps) < 17 {
			b.Fatal(len(t.Steps), err)
		}
		i++
	}
}

// BenchmarkCapture parses, checks and appends documents of 100 events.
func BenchmarkCapture(b *testing.B) {
	w := newWorld(b, memory(b), openStore(b), nil)
	events := make([]string, 100)
	for i := range events {
		events[i] = object(i%24, "OBSERVE", "storing", shop, canister(i))
	}
	data := document(events...)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		doc, err := epcis.Parse(data, "", epcis.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.chain.Capture(b.Context(), doc, epcis.Rollback); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.chain.Settle(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkParse reads documents of 100 events in both notations.
func BenchmarkParse(b *testing.B) {
	events, elements := make([]string, 100), make([]string, 100)
	for i := range events {
		events[i] = object(i%24, "OBSERVE", "storing", shop, canister(i))
		elements[i] = fmt.Sprintf("<ObjectEvent><eventTime>%s</eventTime><eventTimeZoneOffset>+00:00</eventTimeZoneOffset><epcList><epc>%s</epc></epcList><action>OBSERVE</action></ObjectEvent>", at(i), canister(i))
	}
	for name, data := range map[string][]byte{
		"json": document(events...),
		"xml":  []byte(`<epcis:EPCISDocument xmlns:epcis="urn:epcglobal:epcis:xsd:2" schemaVersion="2.0" creationDate="2026-01-01T00:00:00Z"><EPCISBody><EventList>` + strings.Join(elements, "") + `</EventList></EPCISBody></epcis:EPCISDocument>`),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := epcis.Parse(data, "", epcis.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "events/s")
		})
	}
}

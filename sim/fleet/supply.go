package fleet

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
)

// perCase is how many things go into a case.
const perCase = 12

// supply tells the supply chain of the things as EPCIS events: made, packed in
// cases, shipped, received, unpacked, sold.
func (f *Fleet) supply(ctx context.Context) error {
	sorted := slices.Clone(f.things)
	slices.SortStableFunc(sorted, func(a, b *thing) int { return cmp.Or(cmp.Compare(a.gtin, b.gtin), cmp.Compare(a.made, b.made)) })
	n := 0
	for len(sorted) > 0 {
		end := 1
		for end < len(sorted) && end < perCase && sorted[end].gtin == sorted[0].gtin && sorted[end].made-sorted[0].made < 60*day {
			end++
		}
		n++
		if err := f.capture(ctx, n, sorted[:end]); err != nil {
			return err
		}
		sorted = sorted[end:]
	}
	return nil
}

// capture tells of one case.
func (f *Fleet) capture(ctx context.Context, n int, list []*thing) error {
	const factory, depot, shop = "urn:epc:id:sgln:9506000.00001.0", "urn:epc:id:sgln:9506000.00002.0", "urn:epc:id:sgln:9506000.00003.0"
	var epcs []string
	last, first := list[0].made, list[0].sold
	for _, t := range list {
		epcs = append(epcs, "https://id.gs1.org/01/"+t.gtin+"/21/"+t.serial)
		last, first = max(last, t.made), min(first, t.sold)
	}
	last = min(last, first-3*day)
	sscc := fmt.Sprintf("urn:epc:id:sscc:9506000.%d%09d", n%10, (mix(f.state.Salt, n)%90_000+10_000)*1000+uint64(n%1000))
	var events []map[string]any
	add := func(kind, action, step, disposition, place string, at int64, more map[string]any) {
		e := map[string]any{
			"type": kind, "eventID": fmt.Sprintf("urn:uuid:%s", uuid(f.state.Salt, n, len(events))), "eventTime": rapport.Time(at).Format("2006-01-02T15:04:05.000Z"), "eventTimeZoneOffset": "+00:00",
			"action": action, "bizStep": step, "disposition": disposition, "readPoint": map[string]any{"id": place}, "bizLocation": map[string]any{"id": place},
		}
		for k, v := range more {
			e[k] = v
		}
		events = append(events, e)
	}
	things, whole := map[string]any{"epcList": epcs}, map[string]any{"parentID": sscc, "childEPCs": epcs}
	add("ObjectEvent", "ADD", "commissioning", "active", factory, last, things)
	add("AggregationEvent", "ADD", "packing", "in_progress", factory, last+6*hour, whole)
	box := map[string]any{"epcList": []string{sscc}}
	add("ObjectEvent", "OBSERVE", "shipping", "in_transit", factory, last+day, box)
	add("ObjectEvent", "OBSERVE", "receiving", "in_progress", depot, last+2*day, box)
	add("AggregationEvent", "DELETE", "unpacking", "in_progress", depot, last+2*day+5*hour, whole)
	for i, t := range list {
		add("ObjectEvent", "OBSERVE", "retail_selling", "retail_sold", shop, t.sold, map[string]any{
			"epcList":            []string{epcs[i]},
			"bizTransactionList": []map[string]string{{"type": "inv", "bizTransaction": fmt.Sprintf("urn:northbean:receipt:%s%04d", f.state.Salt, t.key%10_000)}},
		})
	}
	document := map[string]any{
		"@context": []string{"https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"}, "type": "EPCISDocument", "schemaVersion": "2.0",
		"creationDate": rapport.Time(last).Format("2006-01-02T15:04:05.000Z"), "epcisBody": map[string]any{"eventList": events},
	}
	return f.call(ctx, f.o.Token, "POST", "/epcis/capture", document, nil)
}

// uuid names an event, so that it is the same when it is told again.
func uuid(salt string, n, i int) string {
	a, b := mix(salt+"/a", n*1000+i), mix(salt+"/b", n*1000+i)
	return strings.ToLower(fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", uint32(a>>32), uint16(a>>16), a&0xfff, b>>52, b&0xffffffffffff))
}

package profile_test

import (
	"testing"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/profile"
)

// typical is an event as a browser sends it: a context of 600 bytes.
func typical(name string, at int64) *rapport.Event {
	return &rapport.Event{
		Type: rapport.TypeTrack, Name: name, Source: "web", MessageID: "ajs-next-1", Timestamp: at, ReceivedAt: at,
		Identifiers: []rapport.Identifier{{Kind: rapport.KindUserID, Value: "user-1"}, {Kind: rapport.KindAnonymousID, Value: "4be0643f-1d98-573b-97cd-ca98a65347dd"}},
		Properties:  rapport.FieldsOf(map[string]any{"sku": "beans-250", "price": 12.5, "currency": "NOK", "category": "beans", "position": 3}),
		Context: rapport.FieldsOf(map[string]any{
			"library": map[string]any{"name": "analytics.js", "version": "1.70.0"}, "locale": "nb-NO", "timezone": "Europe/Oslo",
			"userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36",
			"page":      map[string]any{"path": "/beans", "url": "https://northbean.example/beans?utm_source=mail", "title": "Beans", "search": "?utm_source=mail", "referrer": ""},
			"campaign":  map[string]any{"source": "mail"}, "ip": "203.0.113.7",
			"consent": map[string]any{"categoryPreferences": map[string]any{"marketing": true, "analytics": true}},
			"screen":  map[string]any{"width": 1440, "height": 900, "density": 2},
		}),
	}
}

func BenchmarkApply(b *testing.B) {
	config := questions(b, all...)
	names := []string{"Product Viewed", "Product Added", "Order Completed", "Product List Viewed", "Cart Viewed"}
	events := make([]*rapport.Event, 500)
	for i := range events {
		events[i] = typical(names[i%len(names)], start.UnixMilli()+int64(i)*60_000)
	}
	for _, f := range append(folds(config), nil) {
		name := "all"
		states := []engine.State{}
		if f != nil {
			name = f.Name()
			states = append(states, f.New())
		} else {
			for _, f := range folds(config) {
				if f.Name() != profile.FoldAbout {
					states = append(states, f.New())
				}
			}
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			c := &engine.Context{}
			i := 0
			for b.Loop() {
				for _, s := range states {
					s.Apply(c, events[i%len(events)])
				}
				i++
			}
		})
	}
}

func BenchmarkLoadAndStore(b *testing.B) {
	config := questions(b, all...)
	for _, f := range folds(config) {
		s := f.New()
		for i := range 300 {
			name := []string{"Product Viewed", "Product Added", "Order Completed", "Product List Viewed", "Cart Viewed", "Wishlist Viewed", "Search"}[i%7]
			e := typical(name, start.UnixMilli()+int64(i)*3_600_000)
			if i%50 == 0 {
				e.Type, e.Traits = rapport.TypeIdentify, rapport.FieldsOf(map[string]any{"email": "anna@example.com", "firstName": "Anna", "plan": "gold", "country": "NO"})
			}
			s.Apply(&engine.Context{}, e)
		}
		data := s.AppendBinary(nil)
		b.Run(f.Name(), func(b *testing.B) {
			b.ReportAllocs()
			b.ReportMetric(float64(len(data)), "bytes")
			again := f.New()
			var buf []byte
			for b.Loop() {
				if err := again.DecodeBinary(data); err != nil {
					b.Fatal(err)
				}
				buf = again.AppendBinary(buf[:0])
			}
		})
	}
}

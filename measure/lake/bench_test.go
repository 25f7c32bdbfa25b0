package lake_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/eventlogtest"
	"github.com/rapport-engine/rapport/measure/lake"
)

// nothingDropped is a log in which every record counts.
type nothingDropped struct{ log eventlog.Log }

func (nothingDropped) Dropped(context.Context, int32, int64, int64) ([]int64, error) { return nil, nil }

func (n nothingDropped) Folded(p int32) int64 {
	_, next := n.log.Bounds(eventlog.Events, p)
	return next
}

// BenchmarkWrite writes events of a shop over seven days, of a size as a browser sends them.
func BenchmarkWrite(b *testing.B) {
	const n = 200_000
	log := eventlogtest.NewMemory(16)
	var records []eventlog.Record
	page := rapport.FieldsOf(map[string]any{
		"ip": "203.0.113.7", "locale": "nb-NO", "timezone": "Europe/Oslo", "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
		"page": map[string]any{"path": "/coffee/espresso", "url": "https://shop.example.org/coffee/espresso", "title": "Espresso"},
	})
	for i := range n {
		p := i * 7919 % 20_000
		at := day0.UnixMilli() + int64(i)*3000
		e := rapport.Event{
			Type: rapport.TypeTrack, Name: []string{"Product Viewed", "Product Added", "Order Completed"}[i%3], MessageID: fmt.Sprintf("ajs-next-%032x", i), Source: "web",
			UserID: fmt.Sprintf("user-%d", p), AnonymousID: fmt.Sprintf("a-%032x", p), Timestamp: at, ReceivedAt: at, OriginalTimestamp: at, SentAt: at, Entity: id(p), Fragment: id(p),
			Identifiers: []rapport.Identifier{{Kind: rapport.KindUserID, Value: fmt.Sprintf("user-%d", p)}, {Kind: rapport.KindAnonymousID, Value: fmt.Sprintf("a-%032x", p)}},
			Properties:  rapport.FieldsOf(map[string]any{"revenue": float64(i%400) / 4, "sku": fmt.Sprintf("sku-%d", i%500), "quantity": 1 + i%3, "currency": "EUR", "category": "beans"}),
			Context:     page,
		}
		records = append(records, engine.EventRecord(&e, engine.Fingerprint(e.Source, e.MessageID), int32(e.Entity.Partition(16))))
	}
	if err := eventlog.Append(b.Context(), log, records...); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var bytes int64
	for b.Loop() {
		l, err := lake.Open(b.Context(), lake.Options{Dir: b.TempDir(), Log: log, Dropped: nothingDropped{log}, Clock: rapport.SystemClock{}, Logger: slog.New(slog.DiscardHandler), Every: time.Hour}.Loose())
		if err != nil {
			b.Fatal(err)
		}
		ctx, stop := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		if err := l.Sync(b.Context()); err != nil {
			b.Fatal(err)
		}
		bytes = l.Stats().Bytes
		stop()
		<-done
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(bytes)/n, "bytes/row")
}

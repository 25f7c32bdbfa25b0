package collect_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport/collect"
	"github.com/rapport-engine/rapport/eventlog"
)

// nowhere is a log that takes everything at once.
type nowhere struct{ eventlog.Log }

func (nowhere) Submit([]eventlog.Record) eventlog.Pending { return durable{} }
func (nowhere) Partitions(eventlog.Topic) int             { return 16 }

type durable struct{}

func (durable) Wait(context.Context) error { return nil }

// batchOf returns a body of n track events of about 600 bytes, as the Node
// client sends them.
func batchOf(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"batch":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"type":"track","event":"Product Added","userId":"user-%07d","anonymousId":"0190f2a4-7c1e-7d3b-9a55-%012d","messageId":"node-next-1772366400000-%012d",`+
			`"timestamp":"2026-03-01T11:59:59.%03dZ","properties":{"product_id":"p-%05d","sku":"ETH-250-%03d","name":"Ethiopia Guji 250 g","category":"Coffee","price":%d.90,"quantity":%d,"currency":"NOK","position":3,"url":"https://northbean.example/p/ethiopia-guji"},`+
			`"context":{"library":{"name":"@segment/analytics-node","version":"2.3.0"},"locale":"nb-NO","page":{"path":"/p/ethiopia-guji","title":"Ethiopia Guji"}},"integrations":{}}`,
			i*7919%1_000_000, i, i, i%1000, i%100, i%1000, 80+i%100, 1+i%3)
	}
	b.WriteString(`],"sentAt":"2026-03-01T12:00:00.000Z"}`)
	return []byte(b.String())
}

// sink is a ResponseWriter that forgets.
type sink struct {
	h    http.Header
	code int
}

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(code int)        { s.code = code }

func benchmarkHandler(b *testing.B, body []byte, schemas ...collect.SchemaDoc) {
	h := open(b, nil)
	h.door = collect.New(collect.Deps{Log: nowhere{}, Resolver: strangers{}, Clock: h.clock})
	h.mux = http.NewServeMux()
	h.door.Register(h.mux)
	h.apply(collect.Documents{Sources: someSources, Schemas: schemas})
	r, _ := http.NewRequest(http.MethodPost, "/v1/batch", nil)
	r.Header.Set("Authorization", basic("wk_web_1234"))
	r.ContentLength = int64(len(body))
	reader := bytes.NewReader(body)
	r.Body = io.NopCloser(reader)
	w := &sink{h: http.Header{}}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(body)
		w.code = 200
		h.mux.ServeHTTP(w, r)
		if w.code != 200 {
			b.Fatal(w.code)
		}
	}
	if got := h.door.Stats().Accepted.Load(); got != 100*int64(b.N) {
		b.Fatalf("%d events accepted", got)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
}

func BenchmarkHandlerBatchOf100(b *testing.B) { benchmarkHandler(b, batchOf(100)) }

func BenchmarkHandlerBatchOf100Gzip(b *testing.B) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(batchOf(100))
	_ = z.Close()
	benchmarkHandler(b, packed.Bytes())
}

func BenchmarkHandlerBatchOf100WithPlan(b *testing.B) {
	text, number := collect.PropertyDoc{Type: "string", Required: true}, collect.PropertyDoc{Type: "number", Min: ptr(0.0)}
	benchmarkHandler(b, batchOf(100), collect.SchemaDoc{ID: "added", Event: "Product Added", Properties: map[string]collect.PropertyDoc{
		"product_id": text, "sku": text, "name": text, "price": number, "quantity": {Type: "integer"}, "currency": {Type: "string", Enum: []any{"NOK", "EUR"}},
	}})
}

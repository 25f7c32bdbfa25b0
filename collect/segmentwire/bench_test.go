package segmentwire_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rapport-engine/rapport/collect/segmentwire"
)

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

func BenchmarkParseBatchOf100(b *testing.B) {
	body := batchOf(100)
	o := segmentwire.Options{ReceivedAt: received, Normalize: asIs}
	var batch segmentwire.Batch
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		if err := segmentwire.Parse(body, &o, &batch); err != nil || len(batch.Events) != 100 {
			b.Fatalf("%d events, %v", len(batch.Events), err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
}

func TestParsingABatchHardlyAllocates(t *testing.T) {
	body := batchOf(100)
	o := segmentwire.Options{ReceivedAt: received}
	var batch segmentwire.Batch
	if n := testing.AllocsPerRun(20, func() {
		batch.Reset()
		if err := segmentwire.Parse(body, &o, &batch); err != nil {
			t.Fatal(err)
		}
	}); n > 10 {
		t.Errorf("%v allocations for 100 events", n)
	}
}

package bench

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// maxPeople is what fits the fixed width of a person's names.
const maxPeople = 100_000_000

const (
	digits    = 9 // of a person's number
	idDigits  = 12
	wireTime  = "2006-01-02T15:04:05.000Z"
	userAgent = "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0"
)

// body is one pre-encoded request of POST /v1/batch. What differs from one
// sending to the next has a fixed place and width, and is written over it.
type body struct {
	text  []byte
	slots []slot
	times []int // where timestamps stand
}

// slot is where one event keeps what changes: its message id, and its person's
// number wherever it is written.
type slot struct {
	message int
	person  []int
}

// marks stand for what changes in a text, each in its width.
var marks = struct{ message, person, time string }{
	message: strings.Repeat("M", idDigits), person: strings.Repeat("P", digits), time: strings.Repeat("T", len(wireTime)),
}

// newBody encodes a request of n events whose message ids begin with run and writer.
func newBody(n int, run int64, writer int) *body {
	events := make([]string, n)
	for i := range events {
		events[i] = event(i, fmt.Sprintf("b%s-%03d-", strconv.FormatInt(run, 36), writer))
	}
	return compile(events)
}

// preloadEvents is how many events make one person known.
const preloadEvents = 2

// newPreload encodes a request that makes n people known: traits, and one thing
// each of them did. The events of a person stand together.
func newPreload(n int, run int64, writer int) *body {
	var events []string
	prefix := fmt.Sprintf("p%s-%03d-", strconv.FormatInt(run, 36), writer)
	for i := range n {
		events = append(
			events,
			fmt.Sprintf(`{"type":"identify",%s,"traits":{"email":"u%s@bench.example","firstName":"Ingrid","lastName":"Haugen","country":"%s","city":"Trondheim","locale":"nb-NO","plan":"%s","birthYear":%d,"newsletter":true}}`,
				ids(prefix), marks.person, [5]string{"NO", "SE", "DE", "GB", "FR"}[i%5], [3]string{"free", "plus", "club"}[i%3], 1950+i%60),
			event(i, prefix),
		)
	}
	return compile(events)
}

// compile joins events to a request and finds the marks in it.
func compile(events []string) *body {
	b := &body{}
	text := `{"sentAt":"` + marks.time + `","batch":[` + strings.Join(events, ",") + `]}`
	for i := 0; i < len(text); i++ {
		switch rest := text[i:]; {
		case strings.HasPrefix(rest, marks.time):
			b.times = append(b.times, i)
			i += len(marks.time) - 1
		case strings.HasPrefix(rest, marks.message):
			b.slots = append(b.slots, slot{message: i})
			i += len(marks.message) - 1
		case strings.HasPrefix(rest, marks.person):
			s := &b.slots[len(b.slots)-1] // message ids stand first in an event
			s.person = append(s.person, i)
			i += len(marks.person) - 1
		}
	}
	b.text = []byte(text)
	return b
}

// ids encodes the names of an event.
func ids(prefix string) string {
	return fmt.Sprintf(`"messageId":"%s%s","anonymousId":"5f0c1e2a-7b3d-4c8e-9a41-000%s","userId":"u%s","timestamp":"%s"`,
		prefix, marks.message, marks.person, marks.person, marks.time)
}

// event encodes one event of about 600 bytes, as a web shop sends them.
func event(i int, prefix string) string {
	context := fmt.Sprintf(`"context":{"library":{"name":"analytics.js","version":"2.11.1"},"locale":"en-GB","timezone":"Europe/London","page":{"path":"/products/%d","url":"https://shop.example/products/%d?ref=home"},"userAgent":"%s"}`, 100+i%40, 100+i%40, userAgent)
	product := fmt.Sprintf(`"product_id":"NB-%d","sku":"NB-%d","name":"Nordlys Espresso %d g","category":"%s","price":%d.90`,
		100+i%40, 100+i%40, 250+250*(i%3), [4]string{"beans", "pods", "machines", "accessories"}[i%4], 9+i%30)
	switch {
	case i%50 == 49:
		return fmt.Sprintf(`{"type":"track","event":"Order Completed",%s,"properties":{"order_id":"order-%d","revenue":%d.50,"currency":"EUR","products":[{%s,"quantity":1}]},%s}`, ids(prefix), i, 12+i%60, product, context)
	case i%10 == 7:
		return fmt.Sprintf(`{"type":"track","event":"Product Added",%s,"properties":{%s,"quantity":1,"currency":"EUR","cart_id":"c-%06d"},%s}`, ids(prefix), product, i, context)
	case i%3 == 0:
		return fmt.Sprintf(`{"type":"page","name":"Product",%s,"properties":{"path":"/products/%d","title":"Nordlys Espresso, roasted on Monday","referrer":"https://shop.example/","search":"?ref=home"},%s}`, ids(prefix), 100+i%40, context)
	}
	return fmt.Sprintf(`{"type":"track","event":"Product Viewed",%s,"properties":{%s,"currency":"EUR","position":%d,"list":"recommended for you"},%s}`, ids(prefix), product, i%20, context)
}

// fill writes fresh ids, people and the time into the body. person is asked once an event.
func (b *body) fill(next *int64, person func() int, now time.Time) {
	var buffer [64]byte // AppendFormat needs room beyond the result
	stamp := now.UTC().AppendFormat(buffer[:0], wireTime)
	for _, at := range b.times {
		copy(b.text[at:], stamp)
	}
	for _, s := range b.slots {
		*next++
		decimal(b.text[s.message:s.message+idDigits], *next)
		n := int64(person())
		for _, at := range s.person {
			decimal(b.text[at:at+digits], n)
		}
	}
}

func decimal(b []byte, n int64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
}

func eventBytes(batch int) float64 {
	return float64(len(newBody(batch, run(), 0).text)) / float64(batch)
}

// crowd draws people by Zipf's law. Ranks are spread over the numbers, so that
// busy people are not neighbours.
type crowd struct {
	zipf   *rand.Zipf
	people uint64
	step   uint64
}

func newCrowd(people int, s, v float64, seed uint64) *crowd {
	c := &crowd{people: uint64(people), step: 1}
	c.zipf = rand.NewZipf(rand.New(rand.NewPCG(seed, 0x5eed)), s, v, c.people-1)
	// A step without a common divisor visits every number once.
	for step := uint64(float64(people)*0.6180339887) | 1; ; step += 2 {
		if gcd(step, c.people) == 1 {
			c.step = step
			return c
		}
	}
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func (c *crowd) next() int { return int(c.zipf.Uint64() * c.step % c.people) }

// head returns the fixed part of a request's head; the length follows.
func head(method, path, host, auth string) string {
	return method + " " + path + " HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: " + auth + "\r\nContent-Type: application/json\r\nContent-Length: "
}

func basic(key string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(key+":"))
}

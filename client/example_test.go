package client_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/rapport-engine/rapport/client"
)

// shop stands in for a server in the examples.
func shop() *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/batch", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"success":true}`) })
	mux.HandleFunc("POST /v1/decide", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"decisionId":"d_1","holdout":false,"items":[{"action":"espresso-offer","kind":"offer","content":{"title":"Fresh espresso"},"propensity":0.4}]}`)
	})
	mux.HandleFunc("GET /v1/people/{ref}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"id":"p_1","traits":{"country":"NO"}}`)
	})
	return httptest.NewServer(mux)
}

// Events are queued and leave in batches; Close sends the rest.
func Example() {
	server := shop()
	defer server.Close()
	ctx := context.Background()

	c, err := client.New(client.Options{URL: server.URL, Key: "wk_web"})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = c.Track(client.Event{
		UserID: "u-1", Name: "Order Completed",
		Properties: map[string]any{"order_id": "1001", "revenue": 24.5, "currency": "EUR"},
	})
	fmt.Println(err, c.Close(ctx))
	// Output: <nil> <nil>
}

// A site asks what to show, shows it, and tells what came of it.
func ExampleClient_Decide() {
	server := shop()
	defer server.Close()
	ctx := context.Background()
	c, err := client.New(client.Options{URL: server.URL, Key: "wk_web"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close(ctx)

	who := client.Who{UserID: "u-1"}
	d, err := c.Decide(ctx, client.Ask{Person: who, Placement: "home_hero", Context: map[string]any{"page": "/"}})
	if err != nil || len(d.Items) == 0 {
		fmt.Println("show the page as it is")
		return
	}
	fmt.Println(d.Items[0].Action, d.Items[0].Content["title"])
	_ = c.Shown(who, d.ID)
	_ = c.Clicked(who, d.ID)
	// Output: espresso-offer Fresh espresso
}

// Reading a person reflects every event that was flushed before.
func ExampleClient_Person() {
	server := shop()
	defer server.Close()
	ctx := context.Background()
	c, err := client.New(client.Options{URL: server.URL, Key: "wk_web", Token: "rt_analyst"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close(ctx)

	_ = c.Identify(client.Event{UserID: "u-1", Traits: map[string]any{"country": "NO"}})
	_ = c.Flush(ctx)
	p, err := c.Person(ctx, "userId:u-1")
	fmt.Println(p.Traits["country"], err)
	// Output: NO <nil>
}

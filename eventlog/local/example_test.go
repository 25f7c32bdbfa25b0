package local_test

import (
	"context"
	"fmt"
	"os"

	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/eventlog/local"
)

func Example() {
	dir, err := os.MkdirTemp("", "log")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	l, err := local.Open(local.Options{Dir: dir, Partitions: 4})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()

	ctx := context.Background()
	fact := eventlog.Record{Topic: eventlog.Events, Partition: 2, Kind: 1, Data: []byte("seen")}
	if err := eventlog.Append(ctx, l, fact); err != nil { // durable when it returns nil
		fmt.Println(err)
		return
	}
	r, err := l.Reader(eventlog.Events, 2, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer r.Close()
	records, err := r.Next(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("offset %d: %s\n", records[0].Offset, records[0].Data)
	// Output: offset 0: seen
}

package item

import (
	"context"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
)

// Forget removes an item that should never have been known: a mistake in a list,
// a demo. Those who hold it are told that they do no longer. What happened to it
// until now does not come back; facts of a later time make it known anew. Its way
// through the supply chain stays what others reported. Kinds: NotFound.
func (d *Door) Forget(ctx context.Context, item string) error {
	if err := d.RevokeTokens(ctx, item); err != nil {
		return err
	}
	if err := d.Release(ctx, item, rapport.ID{}); err != nil {
		return err
	}
	n := d.deps.Log.Partitions(eventlog.Events)
	records := engine.EraseRecords(n, d.EntityOf(item), nil, "forget-"+random())
	for i := range records {
		records[i].Time = d.now()
	}
	return d.deps.Log.Submit(records).Wait(context.WithoutCancel(ctx))
}

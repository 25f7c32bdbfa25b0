package app

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"slices"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/deliver/webpush"
	"github.com/rapport-engine/rapport/engine"
)

// browsers knows the browsers of people from their profiles.
type browsers struct{ server *Server }

// Subscriptions implements [webpush.Book].
func (b browsers) Subscriptions(ctx context.Context, person rapport.ID) (list []webpush.Subscription, err error) {
	s := b.server
	err = s.engine.View(ctx, s.identity.Person(person), nil, func(v *engine.View) error {
		list = subscriptionsOf(v)
		return nil
	})
	return list, err
}

// subscriptionsOf returns copies, since the state goes on without us.
func subscriptionsOf(v *engine.View) []webpush.Subscription {
	known, _ := v.State(webpush.FoldName).(*webpush.Subscriptions)
	list := known.Live()
	for i := range list {
		list[i].P256dh, list[i].Auth = slices.Clone(list[i].P256dh), slices.Clone(list[i].Auth)
	}
	return list
}

// Gone implements [webpush.Book].
func (b browsers) Gone(ctx context.Context, person rapport.ID, endpoint string) error {
	now := rapport.Millis(b.server.opts.Clock.Now())
	return b.server.recordResult(ctx, &rapport.Event{
		Type: rapport.TypeSystem, Name: webpush.SystemGone, Source: "rapport", Entity: person, MessageID: randomID(),
		Timestamp: now, OriginalTimestamp: now, ReceivedAt: now,
		Properties: rapport.AppendField(nil, "endpoint", rapport.StringValue(endpoint)),
	})
}

// PushKey implements [api.Channels]: the key pages subscribe with.
func (s *Server) PushKey(channel *deliver.ChannelDoc) (string, error) {
	key, err := webpush.ParseKey(channel.PrivateKey)
	if err != nil {
		return "", err
	}
	return key.Public(), nil
}

// runKeys makes keys that configuration refers to.
func runKeys(_ context.Context, env Env, flags *flag.FlagSet) error {
	asJSON := flags.Bool("json", false, "print one JSON object")
	operands, err := parse(env, flags, 1, 1)
	if err != nil {
		return err
	}
	if operands[0] != "webpush" {
		return usagef("there are keys for webpush, not for %q", operands[0])
	}
	key, err := webpush.NewKey()
	if err != nil {
		return err
	}
	private, err := key.Private()
	if err != nil {
		return err
	}
	if *asJSON {
		return json.NewEncoder(env.Stdout).Encode(map[string]string{"privateKey": private, "publicKey": key.Public()})
	}
	fmt.Fprintf(env.Stdout, `private  %s
public   %s

The private key is a secret: set it in the server's environment, say as PUSH_KEY, and write
privateKey: ${PUSH_KEY} in the channel. The public one stands in your pages, as applicationServerKey.
Keep both: browsers that subscribed to one key hear nothing signed with another.
`, private, key.Public())
	return nil
}

package app

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/sim"
	"github.com/rapport-engine/rapport/sim/fleet"
	"github.com/rapport-engine/rapport/twin/tap"
)

// fleetPath is where the state of the demo's products is kept.
func (d *demoWorld) fleetPath() string {
	return filepath.Join(d.server.opts.Data, "demo-products.json")
}

func (d *demoWorld) tagPath() (string, error) {
	return filepath.Abs(filepath.Join(d.server.opts.Data, "demo-tags.key"))
}

// openFleet prepares the connected products of the world's homes.
func (d *demoWorld) openFleet(world *sim.World, w *sim.Sim, token string, keys *tap.Keys) (*fleet.Fleet, error) {
	s := d.server
	saved, err := os.ReadFile(d.fleetPath())
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	broker := ""
	if s.mqtt != nil && s.opts.MQTT.Cert == "" { // through TLS they have no authority to ask
		broker = s.mqtt.Addr()
	}
	return fleet.Open(fleet.Options{
		World: world, End: w.End(), RunsOut: w.RunsOut, URL: s.URL, Token: token, MQTT: broker, Tags: keys, Clock: s.clock, State: saved, Log: s.log,
		Save:       func(state []byte) error { return writeDurably(d.fleetPath(), state, 0o600) },
		HTTPClient: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}},
	})
}

// tags returns the document of the keys of the demo's tags, which are made once
// and lie in the data folder, and the keys.
func (d *demoWorld) tags(world *sim.World, current *config.Set) ([]*config.Document, *tap.Keys, error) {
	if world.Fleet == nil {
		return nil, nil, nil
	}
	path, err := d.tagPath()
	if err != nil {
		return nil, nil, err
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		var b [32]byte
		_, _ = rand.Read(b[:])
		text = fmt.Appendf(nil, "metaKey: %x\nfileKey: %x\n", b[:16], b[16:])
		err = writeDurably(path, text, 0o600)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the keys of the demo's tags: %w", err)
	}
	keys := &tap.Keys{Tamper: -1}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		b, err := hex.DecodeString(value)
		if err != nil || len(b) != 16 {
			return nil, nil, fmt.Errorf("%s is damaged: delete it", path)
		}
		switch name {
		case "metaKey":
			keys.Meta = tap.Key(b)
		case "fileKey":
			keys.File = tap.AN10922(tap.Key(b), nil)
		}
	}
	gtins := []string{}
	for _, m := range world.Fleet.Machines {
		gtins = append(gtins, fmt.Sprintf("%q", m.GTIN))
	}
	if c := world.Fleet.Canister; c != nil {
		gtins = append(gtins, fmt.Sprintf("%q", c.GTIN))
	}
	set, problems := d.server.registry.Parse("tags of the demo", fmt.Appendf(nil,
		"kind: tag\nid: demo-tags\ndemo: true\nproducts: [%s]\nkeyFile: %q\ndiversify: an10922\n", strings.Join(gtins, ", "), path))
	if err := problems.Err(); err != nil {
		return nil, nil, err
	}
	return config.Compare(current, set, true).Change(set).Put, keys, nil
}

// forgetFleet deletes what the demo's products kept.
func (d *demoWorld) forgetFleet() error {
	path, err := d.tagPath()
	for _, p := range []string{d.fleetPath(), path} {
		if rerr := os.Remove(p); rerr != nil && !os.IsNotExist(rerr) {
			err = errors.Join(err, rerr)
		}
	}
	return err
}

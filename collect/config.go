package collect

import (
	"crypto/sha256"
	"maps"
	"slices"

	"github.com/rapport-engine/rapport"
)

// Config is the compiled form of this room's documents: who may send, and the
// tracking plan. It never changes; the door swaps one for another.
type Config struct {
	sources map[string]*Source
	keys    map[[sha256.Size]byte]*Source
}

// Source is a compiled source.
type Source struct {
	ID          string
	Name        string
	Key         string // the newest write key, which settings hand to browsers
	Disabled    bool
	Rate        int // events per second; 0 is unlimited
	Identifiers []string
	// UserSecret, if set, is what a client must prove to speak for a signed-in
	// person when it reads: hex HMAC-SHA256 of the user id.
	UserSecret string
	plan       plan
}

// Compile checks the documents, alone and against each other, and compiles
// them. It is a pure function. The error is Invalid and has the method
// Faults() []rapport.Fault.
func Compile(docs Documents) (*Config, error) {
	c := &Config{sources: map[string]*Source{}, keys: map[[sha256.Size]byte]*Source{}}
	var f faults
	for i := range docs.Sources {
		d := &docs.Sources[i]
		if f.nest("source "+d.ID, d.Validate()) {
			continue
		}
		if c.sources[d.ID] != nil {
			f.Add("source "+d.ID, "is declared twice")
			continue
		}
		s := &Source{ID: d.ID, Name: d.Name, Key: d.Key, Disabled: d.Disabled, Rate: d.Rate, Identifiers: slices.Clone(d.Identifiers), UserSecret: d.UserSecret}
		if s.Name == "" {
			s.Name = d.ID
		}
		s.plan.unplanned = modeOf(d.Unplanned)
		c.sources[d.ID] = s
		for _, k := range append([]string{d.Key}, d.OldKeys...) {
			hash := sha256.Sum256([]byte(k))
			if other := c.keys[hash]; other != nil {
				f.Add("source "+d.ID, "has a write key that source %s has too", other.ID)
			}
			c.keys[hash] = s
		}
	}
	c.addSchemas(docs.Schemas, &f)
	if err := f.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Config) addSchemas(docs []SchemaDoc, f *faults) {
	seen := map[string]bool{}
	for i := range docs {
		d := &docs[i]
		if f.nest("schema "+d.ID, d.Validate()) {
			continue
		}
		if seen[d.ID] {
			f.Add("schema "+d.ID, "is declared twice")
			continue
		}
		seen[d.ID] = true
		schema := compileSchema(d)
		held := d.Sources
		if len(held) == 0 {
			held = sorted(c.sources)
		}
		for _, id := range held {
			s := c.sources[id]
			if s == nil {
				f.Add("schema "+d.ID, "names the source %q, which is not declared", id)
				continue
			}
			if other := s.plan.add(schema); other != nil {
				f.Add("schema "+d.ID, "describes the same event of source %s as schema %s", id, other.id)
			}
		}
	}
}

// nest adds the faults of one document under its kind and id.
func (f *faults) nest(document string, err error) bool {
	if err == nil {
		return false
	}
	if e, ok := err.(*rapport.Error); ok {
		if own, ok := e.Err.(rapport.Faults); ok {
			for _, x := range own {
				f.Add(document+": "+x.Path, "%s", x.Message)
			}
			return true
		}
	}
	f.Add(document, "%v", err)
	return true
}

// Source returns a source by its id, or nil.
func (c *Config) Source(id string) *Source { return c.sources[id] }

// Sources returns all sources in the order of their ids.
func (c *Config) Sources() []*Source {
	out := make([]*Source, 0, len(c.sources))
	for _, id := range sorted(c.sources) {
		out = append(out, c.sources[id])
	}
	return out
}

// ByKey returns the source a write key belongs to, or nil. The key is looked
// up by its hash, so the time it takes tells nothing about other keys.
func (c *Config) ByKey(key string) *Source {
	if key == "" || len(key) > maxKey {
		return nil
	}
	return c.keys[sha256.Sum256([]byte(key))]
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

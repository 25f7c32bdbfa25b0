package collect

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/rapport-engine/rapport"
)

// Documents are the config documents of this room.
type Documents struct {
	Sources []SourceDoc
	Schemas []SchemaDoc
}

// SourceDoc is the config document of kind "source": one program that sends events.
type SourceDoc struct {
	ID          string   `yaml:"id" doc:"Name of the source, unique among sources; it stands on every event it sends."`
	Key         string   `yaml:"key" doc:"Write key its clients send, at most 256 characters; also ${WEB_KEY}. It may only write, and is no secret where a browser sends it."`
	OldKeys     []string `yaml:"oldKeys,omitempty" doc:"Further keys that still open the door, while clients move to a new one; at most 8."`
	Name        string   `yaml:"name,omitempty" doc:"Name for people; the id if left out."`
	Disabled    bool     `yaml:"disabled,omitempty" doc:"Refuses its events."`
	Rate        int      `yaml:"rate,omitempty" unit:"events/s" doc:"Most events per second, averaged over ten seconds; unlimited if left out."`
	Identifiers []string `yaml:"identifiers,omitempty" doc:"Traits, and types in context.externalIds, that name a person, such as loyaltyCard; each is a kind of its own. At most 16."`
	UserSecret  string   `yaml:"userSecret,omitempty" secret:"true" doc:"Demands userHash (hex HMAC-SHA256 of userId with this secret) before a client of this source is answered for a signed-in person."`
	Unplanned   string   `yaml:"unplanned,omitempty" doc:"What to do with a track event no schema knows: allow (default), observe (count it) or quarantine."`
}

// SchemaDoc is the config document of kind "schema": what one event of the
// tracking plan looks like.
type SchemaDoc struct {
	ID         string                 `yaml:"id" doc:"Name of the schema, unique among schemas."`
	Event      string                 `yaml:"event,omitempty" suggest:"event" doc:"Name of the track event, or of the page or screen; empty means every call of the type."`
	Type       string                 `yaml:"type,omitempty" enum:"track,identify,page,screen,group" doc:"track (default), identify, page, screen or group. For identify and group the properties are the traits."`
	Sources    []string               `yaml:"sources,omitempty" suggest:"source" doc:"Sources it holds for; all if left out."`
	Mode       string                 `yaml:"mode,omitempty" enum:"enforce,observe" doc:"enforce (default) keeps offending events in quarantine; observe counts them and lets them in."`
	Properties map[string]PropertyDoc `yaml:"properties,omitempty" doc:"What each property must be."`
	Additional *bool                  `yaml:"additional,omitempty" doc:"Whether other properties are allowed; default true."`
}

// PropertyDoc says what one property must be.
type PropertyDoc struct {
	Type       string                 `yaml:"type,omitempty" enum:"string,number,integer,boolean,time,object,array,any" doc:"string, number, integer, boolean, time, object, array or any (default)."`
	Required   bool                   `yaml:"required,omitempty" doc:"It must be there and not null."`
	Enum       []any                  `yaml:"enum,omitempty" doc:"The only values allowed, at most 1000."`
	Min        *float64               `yaml:"min,omitempty" doc:"Least number, fewest characters of a string, or fewest elements of an array."`
	Max        *float64               `yaml:"max,omitempty" doc:"Greatest number, most characters of a string, or most elements of an array."`
	Pattern    string                 `yaml:"pattern,omitempty" doc:"RE2 expression the text must match somewhere; write ^ and $ for the whole of it. At most 500 characters."`
	Properties map[string]PropertyDoc `yaml:"properties,omitempty" doc:"For an object: what its members must be."`
	Additional *bool                  `yaml:"additional,omitempty" doc:"For an object: whether other members are allowed; default true."`
	Items      *PropertyDoc           `yaml:"items,omitempty" doc:"For an array: what each element must be."`
}

// Bounds on documents.
const (
	maxName        = 128
	maxKey         = 256
	maxOldKeys     = 8
	maxIdentifiers = 16
	maxEnum        = 1000
	maxPattern     = 500
	maxProperties  = 500
	maxPlanDepth   = 8
)

// faults adds the checks that documents here share.
type faults struct{ rapport.Faults }

func (f *faults) name(path, s string) {
	switch {
	case s == "":
		f.Add(path, "is missing")
	case len(s) > maxName:
		f.Add(path, "is longer than %d bytes", maxName)
	}
}

func (f *faults) oneOf(path, s string, allowed ...string) {
	for _, a := range allowed {
		if s == a {
			return
		}
	}
	f.Add(path, "%q is not one of %s", s, strings.TrimPrefix(strings.Join(allowed, ", "), ", "))
}

// Validate reports everything wrong with the document by itself. The error is
// Invalid and has the method Faults() []rapport.Fault.
func (s *SourceDoc) Validate() error {
	var f faults
	f.name("id", s.ID)
	f.key("key", s.Key)
	if len(s.OldKeys) > maxOldKeys {
		f.Add("oldKeys", "has %d keys, at most %d", len(s.OldKeys), maxOldKeys)
	}
	for i, k := range s.OldKeys {
		f.key(fmt.Sprintf("oldKeys[%d]", i), k)
	}
	if len(s.Name) > maxName {
		f.Add("name", "is longer than %d bytes", maxName)
	}
	if s.Rate < 0 {
		f.Add("rate", "must not be negative, is %d", s.Rate)
	}
	if len(s.Identifiers) > maxIdentifiers {
		f.Add("identifiers", "has %d names, at most %d", len(s.Identifiers), maxIdentifiers)
	}
	for i, k := range s.Identifiers {
		at := fmt.Sprintf("identifiers[%d]", i)
		f.name(at, k)
		switch k {
		case rapport.KindUserID, rapport.KindAnonymousID, rapport.KindEmail, rapport.KindPhone:
			f.Add(at, "%s identifies a person anyway: leave it out", k)
		case rapport.KindItem:
			f.Add(at, "%s names a product item, not a person: choose another word", k)
		}
	}
	f.oneOf("unplanned", s.Unplanned, "", "allow", "observe", "quarantine")
	return f.Err()
}

// key checks a write key without ever printing it.
func (f *faults) key(path, key string) {
	if key == "" {
		f.Add(path, "is missing")
		return
	}
	if len(key) > maxKey {
		f.Add(path, "has %d characters, want %d at most", len(key), maxKey)
	}
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' || r == '/' }) {
		f.Add(path, "may hold printable ASCII only, and no colon or slash")
	}
}

// Validate reports everything wrong with the document by itself. The error is
// Invalid and has the method Faults() []rapport.Fault.
func (s *SchemaDoc) Validate() error {
	var f faults
	f.name("id", s.ID)
	f.oneOf("type", s.Type, "", "track", "identify", "page", "screen", "group")
	f.oneOf("mode", s.Mode, "", "enforce", "observe")
	switch {
	case s.Event == "" && (s.Type == "" || s.Type == "track"):
		f.Add("event", "is missing")
	case s.Event != "" && (s.Type == "identify" || s.Type == "group"):
		f.Add("event", "an %s call has no name: leave it out", s.Type)
	case len(s.Event) > maxName:
		f.Add("event", "is longer than %d bytes", maxName)
	}
	left := maxProperties
	f.properties("properties", s.Properties, 1, &left)
	if left < 0 {
		f.Add("properties", "has more than %d properties in all", maxProperties)
	}
	return f.Err()
}

func (f *faults) properties(path string, docs map[string]PropertyDoc, depth int, left *int) {
	if *left -= len(docs); *left < 0 {
		return
	}
	if depth > maxPlanDepth {
		f.Add(path, "is nested deeper than %d levels", maxPlanDepth)
		return
	}
	for _, name := range sorted(docs) {
		p := docs[name]
		f.property(path+"."+name, &p, depth, left)
	}
}

func (f *faults) property(path string, p *PropertyDoc, depth int, left *int) {
	f.oneOf(path+".type", p.Type, "", "string", "number", "integer", "boolean", "time", "object", "array", "any")
	switch p.Type {
	case "number", "integer", "string", "array":
	default:
		if p.Min != nil || p.Max != nil {
			f.Add(path, "min and max need the type number, integer, string or array")
		}
	}
	if p.Min != nil && p.Max != nil && *p.Min > *p.Max {
		f.Add(path, "min %v is greater than max %v", *p.Min, *p.Max)
	}
	if p.Pattern != "" {
		if p.Type != "string" {
			f.Add(path+".pattern", "needs the type string")
		}
		if len(p.Pattern) > maxPattern {
			f.Add(path+".pattern", "is longer than %d characters", maxPattern)
		} else if _, err := regexp.Compile(p.Pattern); err != nil {
			f.Add(path+".pattern", "is not an RE2 expression: %v", err)
		}
	}
	if len(p.Enum) > maxEnum {
		f.Add(path+".enum", "has %d values, at most %d", len(p.Enum), maxEnum)
	}
	for i, v := range p.Enum {
		if _, ok := enumValue(v); !ok {
			f.Add(fmt.Sprintf("%s.enum[%d]", path, i), "must be text, a number, true or false")
		}
	}
	if p.Type != "object" && (p.Properties != nil || p.Additional != nil) {
		f.Add(path, "properties and additional need the type object")
	}
	f.properties(path+".properties", p.Properties, depth+1, left)
	if p.Items != nil {
		if p.Type != "array" {
			f.Add(path+".items", "needs the type array")
		}
		if depth >= maxPlanDepth {
			f.Add(path+".items", "is nested deeper than %d levels", maxPlanDepth)
			return
		}
		f.property(path+".items", p.Items, depth+1, left)
	}
}

package tap

import (
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/gs1"
)

// TagDoc is the config document of kind "tag": the keys of the NFC tags on some products.
type TagDoc struct {
	ID        string   `yaml:"id" doc:"Name of the set of tags."`
	Products  []string `yaml:"products,omitempty" suggest:"product.gtin" doc:"GTINs the tags are on; all if left out."`
	MetaKey   string   `yaml:"metaKey,omitempty" secret:"true" doc:"K_SDMMetaRead, which hides UID and counter: 32 hexadecimal digits, from the environment."`
	FileKey   string   `yaml:"fileKey,omitempty" secret:"true" doc:"K_SDMFileRead, which signs: 32 hexadecimal digits, from the environment. The master key if diversify is set."`
	KeyFile   string   `yaml:"keyFile,omitempty" doc:"File with the keys instead, lines such as metaKey: 00112233... and fileKey: ..., readable by the server alone."`
	Diversify string   `yaml:"diversify,omitempty" enum:"none,an10922,hmac" doc:"How the key of each tag comes from the master key: none (all have the same), an10922 (NXP AN10922), hmac (metaKey too is then derived from fileKey)."`
	System    string   `yaml:"system,omitempty" doc:"System identifier of an10922, in hexadecimal."`
	Slot      int      `yaml:"slot,omitempty" min:"0" max:"4" doc:"Number of the key slot, for hmac; default 1."`
	Tamper    *int     `yaml:"tamper,omitempty" min:"0" max:"254" doc:"Place of the two tamper characters in the encrypted file data, for tags that tell of a broken seal."`
}

// Validate reports everything wrong with the document by itself. The error is
// Invalid and has the method Faults.
func (d *TagDoc) Validate() error {
	var f rapport.Faults
	for i, g := range d.Products {
		if _, err := gs1.ParseGTIN(g); err != nil {
			f.Add(fmt.Sprintf("products[%d]", i), "%v", err)
		}
	}
	if (d.KeyFile == "") == (d.FileKey == "") {
		f.Add("fileKey", "is needed, or a keyFile, and not both")
	}
	if _, err := hex.DecodeString(d.System); err != nil || len(d.System) > 40 {
		f.Add("system", "must be at most 40 hexadecimal digits")
	}
	return f.Err()
}

// Config holds the keys of all tags. The nil Config knows none.
type Config struct{ sets []set }

type set struct {
	gtins []string
	keys  Keys
	// broken says why the keys could not be read; a configuration must compile
	// wherever it is folded, also where the key file is not.
	broken error
}

// Compile reads the keys of the documents. Errors are Invalid and name the
// document, never a key.
func Compile(docs []TagDoc) (*Config, error) {
	c := &Config{}
	for _, d := range docs {
		s := set{}
		for _, g := range d.Products {
			g14, err := gs1.ParseGTIN(g)
			if err != nil {
				return nil, rapport.Errorf(rapport.Invalid, "tag %s: %w", d.ID, err)
			}
			s.gtins = append(s.gtins, g14)
		}
		meta, file := d.MetaKey, d.FileKey
		if d.KeyFile != "" {
			var err error
			if meta, file, err = readKeys(d.KeyFile); err != nil {
				s.broken = rapport.Errorf(rapport.Unavailable, "tag %s: %w", d.ID, err)
				c.sets = append(c.sets, s)
				continue
			}
		}
		if err := s.keys.set(d, meta, file); err != nil {
			return nil, rapport.Errorf(rapport.Invalid, "tag %s: %w", d.ID, err)
		}
		c.sets = append(c.sets, s)
	}
	return c, nil
}

func (k *Keys) set(d TagDoc, meta, file string) error {
	fileKey, err := parseKey("fileKey", file)
	if err != nil {
		return err
	}
	if d.Diversify == "hmac" {
		k.Meta = MetaKey(fileKey[:])
	} else if meta != "" {
		if k.Meta, err = parseKey("metaKey", meta); err != nil {
			return err
		}
	}
	switch d.Diversify {
	case "an10922":
		system, _ := hex.DecodeString(d.System)
		k.File = AN10922(fileKey, system)
	case "hmac":
		slot := d.Slot
		if slot == 0 {
			slot = 1
		}
		k.File = HMAC(fileKey[:], byte(slot))
	default:
		k.File = Fixed(fileKey)
	}
	k.Tamper = -1
	if d.Tamper != nil {
		k.Tamper = *d.Tamper
	}
	return nil
}

// ParseKey reads 32 hexadecimal digits; the error does not repeat them.
func parseKey(name, text string) (k Key, err error) {
	b, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(b) != 16 {
		return k, rapport.WithHint(rapport.Errorf(rapport.Invalid, "%s is not a key", name), "a key has 32 hexadecimal digits; is the environment variable set?")
	}
	return Key(b), nil
}

func readKeys(path string) (meta, file string, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", "", fmt.Errorf("read the key file: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(name) {
		case "metaKey":
			meta = strings.TrimSpace(value)
		case "fileKey":
			file = strings.TrimSpace(value)
		}
	}
	return meta, file, nil
}

// Problems tells which keys could not be read.
func (c *Config) Problems() (list []error) {
	for _, s := range c.sets {
		if s.broken != nil {
			list = append(list, s.broken)
		}
	}
	return list
}

// Verify checks a message of a tag on a product with the keys it may have.
// Kinds: Invalid, Denied; NotFound when no keys are
// known for the product, Unavailable when they cannot be read.
func (c *Config) Verify(gtin string, m Message) (Tap, error) {
	var err error = rapport.Errorf(rapport.NotFound, "no keys are known for the tags of this product")
	if c == nil {
		return Tap{}, err
	}
	for _, s := range c.sets {
		if len(s.gtins) > 0 && !slices.Contains(s.gtins, gtin) {
			continue
		}
		if s.broken != nil {
			err = s.broken
			continue
		}
		t, verr := Verify(m, s.keys)
		if verr == nil {
			return t, nil
		}
		err = verr
	}
	return Tap{}, err
}

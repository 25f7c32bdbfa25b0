package wear

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"strconv"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/learn/survival"
	"github.com/rapport-engine/rapport/twin"
)

// Part is the name under which Models stand in engine.Config.
const Part = "lives"

// coverage is the chance with which an interval of a remaining life holds.
const coverage = 0.9

// ModelDoc is the config document of kind "lifeModel": what the server learned
// of the lives of one product. Its id is the product's GTIN.
type ModelDoc struct {
	ID    string `yaml:"id"`
	Made  string `yaml:"made" required:"true" doc:"When it was learned"`
	Asked string `yaml:"asked" required:"true" doc:"Digest of the readings it is learned from"`
	Lives int    `yaml:"lives" required:"true" min:"1" doc:"Whole lives it is learned from"`
	Data  string `yaml:"data" required:"true" doc:"The model, written by the server"`

	model *Model
}

// Model tells how long items of a product still last.
type Model struct {
	Made  time.Time
	Asked uint64
	// Lives is how many whole ones it learned from.
	Lives int
	lives *survival.Lives
}

// Errors are how far the model missed on lives it had not seen, in days, beside
// always telling the mean; covered is the share its intervals held.
func (m *Model) Errors() (rmse, naive, covered float64) {
	return m.lives.RMSE, m.lives.MeanRMSE, m.lives.Covered
}

// Validate implements the check of configuration documents.
func (d *ModelDoc) Validate() error {
	damaged := func(err error) error {
		return rapport.Errorf(rapport.Invalid, "the model of lives is damaged: %w", err)
	}
	m := &Model{Lives: d.Lives}
	var err error
	if m.Made, err = time.Parse(time.RFC3339, d.Made); err != nil {
		return damaged(err)
	}
	if m.Asked, err = strconv.ParseUint(d.Asked, 16, 64); err != nil {
		return damaged(err)
	}
	packed, err := base64.StdEncoding.DecodeString(d.Data)
	if err != nil {
		return damaged(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return damaged(err)
	}
	const most = 4 << 20
	text, err := io.ReadAll(io.LimitReader(r, most))
	if err != nil {
		return damaged(err)
	}
	if m.lives, err = survival.DecodeLives(text); err != nil {
		return damaged(err)
	}
	d.model = m
	return nil
}

// pack writes a model as its document has it.
func pack(m *survival.Lives) (string, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(m.AppendBinary(nil)); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(b.Bytes()), nil
}

// Models are the models in force, by GTIN.
type Models map[string]*Model

// Compile returns the models of documents that were validated.
func Compile(docs []ModelDoc) Models {
	out := Models{}
	for i := range docs {
		if docs[i].model != nil {
			out[docs[i].ID] = docs[i].model
		}
	}
	return out
}

// of returns the model of a product that is learned from the same readings, or nil.
func (m Models) of(gtin string, asked uint64) *Model {
	if x := m[gtin]; x != nil && x.Asked == asked && x.lives != nil {
		return x
	}
	return nil
}

// Remaining is how long an item still lasts.
type Remaining struct {
	// Days left as of the item's last reading, with the interval that holds in 90 of 100 cases.
	Days, Low, High float64
	// At is when its life ends if that is so; EarliestAt and LatestAt belong to the interval. Unix ms.
	At, EarliestAt, LatestAt int64
	// Made is when the model was learned, from how many whole lives.
	Made  time.Time
	Lives int
}

// Read returns how long the item of a view still lasts; ok is false where that
// cannot be told, and why says what is missing in the item. Neither is set for a
// product whose lives are not followed, or while there is no model.
func Read(v *engine.View) (r Remaining, why string, ok bool) {
	l, _ := v.State(FoldLife).(*Life)
	item := twin.Peek(v)
	if l == nil || l.asked == 0 || item == nil {
		return r, "", false
	}
	models, _ := v.Config().Part(Part).(Models)
	m := models.of(item.Key().GTIN(), l.asked)
	switch {
	case l.middle && l.tenure > 0:
		return r, "not enough data: it changed hands, and how it was used before is not the present owner's to see", false
	case l.middle:
		return r, "not enough data: its life was not followed from its beginning; the next one is", false
	case l.rows < least:
		return r, "not enough data: it told of its wear " + strconv.FormatInt(l.rows, 10) + " times, it takes " + strconv.Itoa(least), false
	case m == nil:
		return r, "", false
	}
	r.Days, r.Low, r.High = m.lives.Remaining(l.features())
	at := func(days float64) int64 { return l.last + int64(days*day) }
	r.At, r.EarliestAt, r.LatestAt = at(r.Days), at(r.Low), at(r.High)
	r.Made, r.Lives = m.Made, m.Lives
	return r, "", true
}

package twin

import (
	"github.com/rapport-engine/rapport/engine"
)

// Read copies an item out of a view. ok is false if the entity is no item.
func Read(v *engine.View) (item *Item, ok bool) {
	s, _ := v.State(FoldItem).(*Item)
	if s == nil || s.ID == "" {
		return nil, false
	}
	item = &Item{}
	if err := item.DecodeBinary(s.AppendBinary(nil)); err != nil {
		return nil, false
	}
	return item, true
}

// Peek returns the item of a view for reading within the view's function; nil if it is none.
func Peek(v *engine.View) *Item {
	if s, _ := v.State(FoldItem).(*Item); s != nil && s.ID != "" {
		return s
	}
	return nil
}

// ReadLabel copies what a tag or device name stands for out of a view; ok is false if it is bound to nothing.
func ReadLabel(v *engine.View) (label *Label, ok bool) {
	s, _ := v.State(FoldName).(*Label)
	if s == nil || !s.seen {
		return nil, false
	}
	label = &Label{}
	return label, label.DecodeBinary(s.AppendBinary(nil)) == nil
}

// ReadThings copies the items a person holds out of a view.
func ReadThings(v *engine.View) []Thing {
	s, _ := v.State(FoldThings).(*Things)
	if s == nil {
		return nil
	}
	copied := &Things{}
	_ = copied.DecodeBinary(s.AppendBinary(nil))
	return copied.Held()
}

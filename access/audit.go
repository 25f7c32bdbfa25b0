package access

import (
	"context"
	"encoding/json"
	"slices"
)

// Entry is one change somebody made, or tried to make.
type Entry struct {
	Time    int64  `json:"time"`   // Unix ms
	Author  string `json:"author"` // name of the token or "system"
	Action  string `json:"action"` // "config.apply", "person.erase", "token.create", ...
	Object  string `json:"object"` // what it was done to; never personal data
	Detail  string `json:"detail,omitempty"`
	Request string `json:"request,omitempty"` // request id, as in the response header
}

// Record appends an audit entry. It returns once the entry is durable.
func (s *Store) Record(ctx context.Context, e Entry) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return s.deps.Journal.Append(ctx, FactAudit, e.Author, body)
}

// Audit returns up to limit entries older than before (Unix ms; 0 is now), newest first.
func (s *Store) Audit(before int64, limit int) []Entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := make([]Entry, 0, min(limit, len(s.audit)))
	for _, e := range slices.Backward(s.audit) {
		if len(list) >= limit {
			break
		}
		if before == 0 || e.Time < before {
			list = append(list, e)
		}
	}
	return list
}

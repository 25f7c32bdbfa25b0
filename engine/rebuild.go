package engine

// home returns the first bytes of the keys of a fold's own spans.
func (p *partition) home(s *slot) []byte {
	if s.building {
		return mainPrefix
	}
	return p.prefix
}

var mainPrefix = []byte{mainSpan}

func (p *partition) swap(build int64) {}

package local

import "sort"

// tail keeps the frames committed last in memory, so that readers who keep up
// touch no file. Its memory is a list of chunks; a chunk that no reader refers
// to any more goes when newer ones need the room.
//
// The writer alone calls reserve and undo; everything else happens under the
// log's lock.
type tail struct {
	limit  int
	chunk  int     // size of a chunk
	chunks []chunk // oldest first; the last is being filled
	held   int     // bytes of all chunks
	newest uint64  // id of the last chunk
	lanes  []lastFrames

	open []byte // the chunk being filled
	used int
}

type chunk struct {
	id   uint64
	size int
}

// lastFrames are the frames of one partition still in memory.
type lastFrames struct {
	frames []tailFrame
	head   int // frames before it are gone
}

type tailFrame struct {
	first int64
	chunk uint64
	bytes []byte
}

func newTail(limit, slots int) *tail {
	return &tail{limit: limit, chunk: min(max(limit/16, 4<<10), 1<<20), lanes: make([]lastFrames, slots)}
}

// reserve returns room for a group.
func (t *tail) reserve(size int) []byte {
	if size > len(t.open)-t.used {
		room := t.chunk
		if size > room/2 { // another like it would not fit
			room = size
		}
		t.open, t.used = make([]byte, room), 0
	}
	t.used += size
	return t.open[t.used-size : t.used : t.used]
}

// undo gives back what reserve returned last.
func (t *tail) undo(size int) { t.used -= size }

// settle makes room for the chunk of the group about to be pushed.
func (t *tail) settle(group []byte) {
	if len(t.chunks) > 0 && t.used != len(group) {
		return // not the first group of its chunk
	}
	t.newest++
	t.chunks = append(t.chunks, chunk{t.newest, len(t.open)})
	t.held += len(t.open)
	gone := 0
	for gone < len(t.chunks)-1 && t.held > t.limit {
		t.held -= t.chunks[gone].size
		gone++
	}
	if gone > 0 {
		t.drop(t.chunks[gone-1].id)
		t.chunks = t.chunks[:copy(t.chunks, t.chunks[gone:])]
	}
}

// drop forgets the frames of chunks up to id.
func (t *tail) drop(id uint64) {
	for i := range t.lanes {
		l := &t.lanes[i]
		for l.head < len(l.frames) && l.frames[l.head].chunk <= id {
			l.frames[l.head] = tailFrame{}
			l.head++
		}
		if l.head == len(l.frames) {
			l.frames, l.head = l.frames[:0], 0
		}
	}
}

// push makes a frame of the group settled last readable.
func (t *tail) push(slot int, first int64, b []byte) {
	l := &t.lanes[slot]
	if l.head > 64 && l.head > len(l.frames)/2 {
		n := copy(l.frames, l.frames[l.head:])
		clear(l.frames[n:])
		l.frames, l.head = l.frames[:n], 0
	}
	l.frames = append(l.frames, tailFrame{first, t.newest, b})
}

// clear forgets everything. The writer calls it, so that the open chunk is not
// in use.
func (t *tail) clear() {
	for i := range t.lanes {
		t.lanes[i] = lastFrames{}
	}
	t.chunks, t.held, t.open, t.used = nil, 0, nil, 0
}

// from returns the frames from the one that holds offset at on, oldest first,
// or nil if that one is not in memory. at must be below the next offset.
func (t *tail) from(slot int, at int64) []tailFrame {
	l := &t.lanes[slot]
	frames := l.frames[l.head:]
	if len(frames) == 0 || at < frames[0].first {
		return nil
	}
	if last := len(frames) - 1; at >= frames[last].first {
		return frames[last:]
	}
	i := sort.Search(len(frames), func(i int) bool { return frames[i].first > at })
	return frames[i-1:]
}

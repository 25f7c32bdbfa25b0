package engine

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog"
)

// Kinds of records in the events topic, and of what a derived record carries.
// Their numbers are part of the log format.
const (
	KindEvent    uint8 = iota + 1 // an accepted event
	KindDerived                   // sent by a partition to another, or by a fold
	KindMerge                     // one entity becomes part of another
	KindSplit                     // a fragment leaves an entity
	KindRevive                    // an entity that was merged away stands alone again
	KindErase                     // an entity and everything of it goes
	KindBarrier                   // adopt a configuration version, or a rebuilt fold
	KindTick                      // time passed
	KindMove                      // derived only: state of a fragment or an entity on its way
	KindRows                      // derived only: rows of a fragment or an entity on their way
	KindEmitted                   // derived only: an event made by a fold
	KindRedirect                  // derived only: an entity merged before became part of yet another
	// KindReward is the kind of records in the rewards topic: origin, then the
	// example given to [Context.Reward].
	KindReward
	KindOutbox // effects that are put in an entity's outbox, or leave it; see OutboxRecord
)

// Fingerprint names (source, messageId) for deduplication.
func Fingerprint(source, messageID string) (fp [16]byte) {
	var buf [256]byte
	b := appendBytes(buf[:0], source)
	b = append(b, messageID...)
	sum := sha256.Sum256(b)
	copy(fp[:], sum[:])
	return fp
}

// EventRecord returns the record of an accepted event. partition is that of
// the entity minted from Identifiers[0], whatever entity the event was stamped
// with, so that a retry meets the same deduplication memory.
func EventRecord(e *rapport.Event, fingerprint [16]byte, partition int32) eventlog.Record {
	n := 192 + len(e.Properties) + len(e.Traits) + len(e.Context) + len(e.Body) + len(e.MessageID) + len(e.Name)
	return eventlog.Record{
		Topic: eventlog.Events, Partition: partition, Kind: KindEvent,
		Data: AppendEventData(make([]byte, 0, n), e, fingerprint),
	}
}

// AppendEventData appends the Data of an [EventRecord] to b, for a door that
// lays the events of one request out in one buffer.
func AppendEventData(b []byte, e *rapport.Event, fingerprint [16]byte) []byte {
	return rapport.AppendEvent(append(b, fingerprint[:]...), e)
}

// DecodeEventRecord reads what [EventRecord] wrote, for other readers of the
// topic. The event shares data.
func DecodeEventRecord(data []byte, e *rapport.Event) (fingerprint [16]byte, err error) {
	if len(data) < 16 {
		return fingerprint, damaged("event record")
	}
	return [16]byte(data[:16]), rapport.DecodeEvent(data[16:], e)
}

// EventOf returns the event that a record of the events topic adds to history:
// an accepted one or one made by a fold. ok is false for every other record,
// also for an accepted event passed on to the home of its entity. An accepted
// event may stand in the topic twice, with the same fingerprint.
func EventOf(r *eventlog.Record, e *rapport.Event) (ok bool, err error) {
	switch r.Kind {
	case KindEvent:
		_, err = DecodeEventRecord(r.Data, e)
		return err == nil, err
	case KindDerived:
		var d derived
		if err := d.decode(r.Data); err != nil || d.kind != KindEmitted {
			return false, err
		}
		return true, rapport.DecodeEvent(d.data, e)
	}
	return false, nil
}

// EventAt returns the event folded from a record of the events topic, an event
// passed on from another partition included: what a row that names the position
// of its record points to. ok is false if the record is no event, or was erased.
func EventAt(r *eventlog.Record, e *rapport.Event) (ok bool, err error) {
	if r.Kind == KindDerived {
		var d derived
		if err := d.decode(r.Data); err != nil || d.kind != KindEmitted && d.kind != KindEvent {
			return false, err
		}
		return true, rapport.DecodeEvent(d.data, e)
	}
	return EventOf(r, e)
}

// MergeRecord returns the fact that entity from becomes part of entity to. It
// is written in the same submission as the identity link that caused it.
// partitions is the number of partitions of the events topic.
func MergeRecord(partitions int, from, to rapport.ID, link string) eventlog.Record {
	b := append(append(make([]byte, 0, 33+len(link)), from[:]...), to[:]...)
	return fact(from.Partition(partitions), KindMerge, appendBytes(b, link))
}

// SplitRecords returns the fact that a fragment leaves entity for target (the
// entity it came from, or a new one): one record, or two when they live in
// different partitions. All must be in one submission.
func SplitRecords(partitions int, entity, fragment, target rapport.ID, link string) []eventlog.Record {
	b := append(append(append(make([]byte, 0, 49+len(link)), entity[:]...), fragment[:]...), target[:]...)
	out := []eventlog.Record{fact(entity.Partition(partitions), KindSplit, appendBytes(b, link))}
	if home := target.Partition(partitions); home != entity.Partition(partitions) {
		out = append(out, fact(home, KindRevive, appendBytes(append(append([]byte(nil), target[:]...), fragment[:]...), link)))
	}
	return out
}

// EraseRecords returns the fact that an entity and everything of it goes.
// merged are the ids it was made of, as far as the caller knows them: giving
// them lets each start anew at once. All records must be in one submission.
// Their time is the time of the erasure: what happened at or before it and
// arrives later is dropped.
func EraseRecords(partitions int, entity rapport.ID, merged []rapport.ID, job string) []eventlog.Record {
	out := []eventlog.Record{fact(entity.Partition(partitions), KindErase, appendErase(nil, entity, 0, nil, job))}
	for _, id := range merged {
		if id != entity {
			out = append(out, fact(id.Partition(partitions), KindErase, appendErase(nil, id, 0, []rapport.ID{id}, job)))
		}
	}
	return out
}

// appendErase appends the body of an erasure. at is its time when it is passed
// on (0: the record's). of are the ids the erased entity was known by; none
// tells to go on to what entity was merged into.
func appendErase(b []byte, entity rapport.ID, at int64, of []rapport.ID, job string) []byte {
	b = append(b, entity[:]...)
	b = binary.AppendVarint(b, at)
	b = binary.AppendUvarint(b, uint64(len(of)))
	for _, id := range of {
		b = append(b, id[:]...)
	}
	return appendBytes(b, job)
}

// BarrierRecords returns the fact, for every partition, that configuration
// version is adopted from here on.
func BarrierRecords(partitions int, version int64) []eventlog.Record {
	out := make([]eventlog.Record, partitions)
	for i := range out {
		out[i] = fact(i, KindBarrier, binary.AppendVarint([]byte{barrierConfig}, version))
	}
	return out
}

// StageRecords returns the fact, for every partition, that from here on a stage
// of a configuration version is adopted: see [Number].
func StageRecords(partitions int, version, stage int64) []eventlog.Record {
	return BarrierRecords(partitions, Number(version, stage))
}

// Number names a stage of a configuration version. One version may be compiled
// differently as time goes on, when what it needs becomes ready: each such
// stage is adopted at a barrier of its own. Stage 0 is the version itself.
func Number(version, stage int64) int64 { return version | stage<<stageShift }

// VersionStage takes a [Number] apart.
func VersionStage(number int64) (version, stage int64) {
	return number & (1<<stageShift - 1), number >> stageShift
}

const stageShift = 40

// Later reports whether number a is adopted after number b.
func Later(a, b int64) bool {
	va, sa := VersionStage(a)
	vb, sb := VersionStage(b)
	return va > vb || va == vb && sa > sb
}

// What a barrier switches.
const (
	barrierConfig = 1 // body: version
	barrierFolds  = 2 // body: build number, mark
)

func tickRecord(partition int32, at int64) eventlog.Record {
	return eventlog.Record{Topic: eventlog.Events, Partition: partition, Kind: KindTick, Time: at}
}

// fact returns a record that ends in a random fingerprint, so that a copy
// appended by a producer that was not told of its success changes nothing.
func fact(partition int, kind uint8, data []byte) eventlog.Record {
	var fp [16]byte
	_, _ = rand.Read(fp[:]) // never fails
	return eventlog.Record{Topic: eventlog.Events, Partition: int32(partition), Kind: kind, Data: append(data, fp[:]...)}
}

// origin names the record something was derived from, and which of its
// consequences it is. Origins of one partition rise.
type origin struct {
	partition int32
	offset    int64
	n         uint32
}

func (o origin) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(o.partition))
	b = binary.AppendUvarint(b, uint64(o.offset))
	return binary.AppendUvarint(b, uint64(o.n))
}

func (o *origin) read(r *reader) {
	o.partition, o.offset, o.n = int32(r.uvarint()), int64(r.uvarint()), uint32(r.uvarint())
}

// mark is the highest origin taken from one source.
type mark struct {
	offset int64
	n      uint32
}

// pass reports whether o is new and moves the mark to it.
func (m *mark) pass(o origin) bool {
	if o.offset < m.offset || o.offset == m.offset && o.n <= m.n {
		return false
	}
	m.offset, m.n = o.offset, o.n
	return true
}

// derived is a record sent by a partition.
type derived struct {
	origin origin
	hops   uint8
	kind   uint8
	target rapport.ID
	// config is, for an event, the configuration in force where it was accepted
	// or made; for state on its way, that of the partition it left.
	config int64
	// at is, for what was passed on, the time of the latest merge or split it
	// followed, or of its own fact, whichever is later: an erasure of target
	// before that does not concern it.
	at   int64
	data []byte
}

// kindWithConfig marks a derived record that names a configuration.
const kindWithConfig = 0x80

func (d *derived) append(b []byte) []byte {
	b = d.origin.append(b)
	b = append(b, d.hops, d.kind|kindWithConfig)
	b = append(b, d.target[:]...)
	b = binary.AppendVarint(b, d.at)
	b = binary.AppendVarint(b, d.config)
	return append(b, d.data...)
}

func (d *derived) decode(b []byte) error {
	r := reader{b: b}
	d.origin.read(&r)
	d.hops, d.kind = r.byte(), r.byte()
	d.target, d.at, d.config = r.id(), r.varint(), 0
	if d.kind&kindWithConfig != 0 {
		d.kind, d.config = d.kind&^kindWithConfig, r.varint()
	}
	if r.bad {
		return damaged("derived record")
	}
	d.data = r.b
	return nil
}

// RewardOf returns the example inside a record of the rewards topic.
func RewardOf(r *eventlog.Record) ([]byte, error) {
	rd := reader{b: r.Data}
	var o origin
	o.read(&rd)
	if rd.bad || r.Kind != KindReward {
		return nil, damaged("reward record")
	}
	return rd.b, nil
}

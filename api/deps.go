package api

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/access"
	"github.com/rapport-engine/rapport/collect"
	"github.com/rapport-engine/rapport/collect/item"
	"github.com/rapport-engine/rapport/condition"
	"github.com/rapport-engine/rapport/config"
	"github.com/rapport-engine/rapport/decide"
	"github.com/rapport-engine/rapport/deliver"
	"github.com/rapport-engine/rapport/deliver/suppression"
	"github.com/rapport-engine/rapport/engine"
	"github.com/rapport-engine/rapport/eventlog"
	"github.com/rapport-engine/rapport/identity"
	"github.com/rapport-engine/rapport/predict"
	"github.com/rapport-engine/rapport/profile"
	"github.com/rapport-engine/rapport/twin/epcis"
	"github.com/rapport-engine/rapport/twin/ota"
)

// Deps are the rooms the handlers call.
type Deps struct {
	Access      *access.Store
	Config      *config.Store
	Registry    *config.Registry
	Engine      *engine.Engine
	Predictions Predictions
	// Found is what the daily looks for insights found.
	Found *predict.Stream
	// Lives is what is learned of how long items last.
	Lives      Lives
	Identity   *identity.Resolver
	Decider    *decide.Decider
	Recent     *decide.Recent
	Model      *decide.Model
	Door       *collect.Door
	Deliver    *deliver.Dispatcher
	Composer   Composer
	Channels   Channels
	Suppressed *suppression.List
	Log        eventlog.Log
	Zones      *profile.Zones
	Live       *Live
	Clock      rapport.Clock
	Logger     *slog.Logger
	Items      *item.Door
	System     System
	// Chain is the repository of supply chain events; Holder says whose an item is.
	Chain *epcis.Chain
	// SQL asks the lake; nil if it is turned off.
	SQL SQL
	// Updates brings software to devices; links in its answers begin with PublicURL.
	Updates   *ota.Updates
	PublicURL string
	// Recalls says whom recalls concern and how far they came.
	Recalls Recalls
	Demo    Demo
	// InApp streams a person's messages to a client that may read them.
	InApp func(w http.ResponseWriter, r *http.Request, person rapport.ID) error
	// Decided is told how long a decision took.
	Decided func(time.Duration)
	// Draining is closed when the server stops taking new streams.
	Draining <-chan struct{}
	// SecureCookie marks the session cookie for TLS only.
	SecureCookie bool
}

// System is the program around the rooms.
type System interface {
	// Status returns the figures of the system page.
	Status() Status
	// Overview returns the figures of the first page.
	Overview(ctx context.Context) (Overview, error)
	// Erase begins to erase a person and returns the job that does it.
	Erase(ctx context.Context, person rapport.ID, by string) (Job, error)
	// Job returns a job. Kind: NotFound.
	Job(id string) (Job, error)
	// Building returns what is built for new definitions.
	Building() Building
	// Unfilled reports whether a segment is being filled, or waits for answers
	// from history.
	Unfilled(segment string) bool
	// SegmentHistory returns how large a segment was, oldest first, at most one size an hour.
	SegmentHistory(segment string) ([]SegmentSize, error)
	// SegmentPast returns how the sizes from before a segment was defined are known.
	SegmentPast(segment string) (*SegmentPast, error)
	// PreviewSegment tells how many people a condition holds for.
	PreviewSegment(ctx context.Context, when *condition.Condition, exact bool) (SegmentPreview, error)
	// Backup writes a consistent copy of everything as a tar stream.
	Backup(ctx context.Context, w io.Writer) error
}

// Demo is the demo world.
type Demo interface {
	Status() DemoStatus
	// Start begins the demo world if it is not there. Kind: Conflict.
	Start(ctx context.Context, author string) error
	// SetSpeed changes how fast time passes. Kind: Invalid, Conflict.
	SetSpeed(speed float64) error
	// Remove stops the world and takes its data away.
	Remove(ctx context.Context, author string) error
}

// DemoStatus says what the demo world does.
type DemoStatus struct {
	Running bool    `json:"running"`
	Phase   string  `json:"phase" enum:"absent,history,live,removing,failed"`
	Done    int64   `json:"done" doc:"Events of history sent"`
	Total   int64   `json:"total" doc:"Events of history expected"`
	Rate    float64 `json:"rate" doc:"Events a second"`
	Left    float64 `json:"secondsLeft"`
	Speed   float64 `json:"speed" doc:"How much faster than the wall its clock runs"`
	Error   string  `json:"error,omitempty"`
}

// Job is long work and how far it is.
type Job struct {
	ID    string    `json:"id"`
	Kind  string    `json:"kind"`
	State string    `json:"state" enum:"running,done,failed"`
	Done  int64     `json:"done"`
	Total int64     `json:"total"`
	Since time.Time `json:"since"`
	Error string    `json:"error,omitempty"`
}

// Building is what is built beside everything else for new definitions:
// answers from history, then segments filled. Phase is empty when nothing is.
type Building struct {
	Phase string `json:"phase" doc:"reading history, filling segments, or empty"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"`
}

// Status is what the system page shows.
type Status struct {
	Version       string            `json:"version"`
	UptimeSeconds float64           `json:"uptimeSeconds"`
	Ready         bool              `json:"ready"`
	GoVersion     string            `json:"goVersion"`
	MemoryBytes   int64             `json:"memoryBytes"`
	Log           LogStatus         `json:"log"`
	Dedup         DedupStatus       `json:"dedup"`
	Partitions    []PartitionStatus `json:"partitions"`
	Clock         time.Time         `json:"clock"`
}

// LogStatus is the size of the log.
type LogStatus struct {
	Bytes    int64 `json:"bytes"`
	Segments int   `json:"segments"`
	// Oldest is about when the oldest event in it was appended, Trimmed how many
	// records of events are gone.
	Oldest  time.Time `json:"oldest,omitzero"`
	Trimmed int64     `json:"trimmed"`
	// KeepDays and KeepMB are how much is kept; 0 and 0: all of it.
	KeepDays int `json:"keepDays"`
	KeepMB   int `json:"keepMB"`
}

// DedupStatus is how far the memory of retries reaches.
type DedupStatus struct {
	WindowSeconds float64 `json:"windowSeconds"`
	Duplicates    int64   `json:"duplicates"`
}

// PartitionStatus is one partition of the events topic.
type PartitionStatus struct {
	ID       int32 `json:"id"`
	Offset   int64 `json:"offset"`
	End      int64 `json:"end"`
	Lag      int64 `json:"lag"`
	Entities int64 `json:"entities"`
}

// Overview is what the first page shows.
type Overview struct {
	People        int64               `json:"people"`
	Events        EventRates          `json:"events"`
	Decisions     DecisionRates       `json:"decisions"`
	Lift          *LiftSummary        `json:"lift" doc:"Value per person that would not have come otherwise; null while there is not enough to say"`
	CLV           *predict.ActiveBase `json:"clv,omitempty" doc:"Lifetime value of the active base; left out while there is no model of purchases"`
	HoldoutShare  float64             `json:"holdoutShare"`
	Currency      string              `json:"currency,omitempty" doc:"Of all amounts, as the policy says; ISO 4217"`
	Quarantine    QuarantineOpen      `json:"quarantine"`
	DeadLetters   int                 `json:"deadLetters"`
	NeedsYou      []Need              `json:"needsYou"`
	Demo          bool                `json:"demo"`
	FirstEventAt  *time.Time          `json:"firstEventAt"`
	Version       string              `json:"version"`
	UptimeSeconds float64             `json:"uptimeSeconds"`
	Clock         time.Time           `json:"clock" doc:"Now, by the server's clock: a demo world's may run ahead"`
}

// EventRates are events in all and lately.
type EventRates struct {
	Total     int64   `json:"total"`
	PerSecond float64 `json:"perSecond"`
	LastHour  []int64 `json:"lastHour" doc:"Events of each of the last 60 minutes, oldest first, history that was imported left out"`
}

// DecisionRates are decisions in all and lately.
type DecisionRates struct {
	Total        int64   `json:"total" doc:"Since start"`
	PerSecond    float64 `json:"perSecond"`
	P50Millis    float64 `json:"p50Millis"`
	P99Millis    float64 `json:"p99Millis"`
	NothingShare float64 `json:"nothingShare" doc:"Share of recent decisions outside the holdout that were nothing"`
}

// LiftSummary is a measured effect with its 95 % interval.
type LiftSummary struct {
	Value   float64 `json:"value"`
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
	Treated int64   `json:"treated"`
	Holdout int64   `json:"holdout"`
	Unit    string  `json:"unit"`
}

// QuarantineOpen counts events waiting in quarantine.
type QuarantineOpen struct {
	Open int64 `json:"open"`
}

// Need is something only a person can settle.
type Need struct {
	Kind   string `json:"kind"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Href   string `json:"href"`
}

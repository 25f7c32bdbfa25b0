package app

import (
	"flag"
	"log/slog"
	"time"

	"github.com/rapport-engine/rapport"
	"github.com/rapport-engine/rapport/eventlog/local"
)

// Options say where and how a server runs.
type Options struct {
	// Data is the folder everything is kept in.
	Data string
	// Config is a folder of documents to apply at the start; may be empty.
	Config string
	// Listen is the address of the HTTP listener.
	Listen string
	// MQTT is the address of the MQTT listener; empty or "off" is none.
	MQTT MQTTOptions
	// Partitions of the events topic; fixed when the data folder is made.
	Partitions int
	// AdminToken is the secret of the bootstrap admin; empty makes one.
	AdminToken string
	// PublicURL is the address clients reach the server at, if not Listen.
	PublicURL string
	// WebhookAllow are networks webhooks may reach although they are not public.
	WebhookAllow string
	// CacheMB bounds the memory of the state store and of the people in memory.
	CacheMB int
	// RetainDays is how long erased data may still lie in log and backups.
	RetainDays int
	// LogDays and LogMB bound how much of the log is kept beyond what state and
	// lake hold: 0 and 0 keep all of it. The log is kept for LogDays, and less
	// while it is larger than LogMB.
	LogDays, LogMB int
	// PartialHistory lets what is made from the log be made from one that was trimmed.
	PartialHistory bool
	// Lake is the folder of the history in Parquet files, or a bucket as
	// s3://bucket/prefix; empty is "lake" below Data, "off" is none.
	Lake string
	// LakeCacheMB is how much of a bucket is kept below Data.
	LakeCacheMB int
	// LakeEvery is how long an event may wait to stand in it.
	LakeEvery time.Duration
	// NoPredictions leaves out what predictions are made from. Switched on again
	// they are made from the log.
	NoPredictions bool
	// Refold folds state again from the first record of the log.
	Refold bool
	// TraceEndpoint is an OTLP/HTTP receiver; empty is off. TraceRatio in [0,1].
	TraceEndpoint string
	TraceRatio    float64

	// FlushEvery is how often state is made durable and the log trimmed; 0 is the engine's measure.
	FlushEvery time.Duration

	// ResumeDemo lets a demo world that lives here go on living.
	ResumeDemo bool

	// Clock, Logger and Getenv are the world; tests bring their own. A nil
	// Clock is the wall's, which the demo world may let run faster.
	Clock  rapport.Clock
	Logger *slog.Logger
	Getenv func(string) string
	// LogFS is the file system the log lies in; nil is the operating system's.
	LogFS local.FS
}

// defaults are the values flags begin with.
func defaults() Options {
	return Options{
		Data: "data", Listen: "127.0.0.1:8080", Partitions: 16,
		CacheMB: 384, RetainDays: 30, TraceRatio: 0.01, LakeEvery: time.Minute, LakeCacheMB: 8192,
	}
}

func (o *Options) flags(fs *flag.FlagSet) {
	fs.StringVar(&o.Data, "data", o.Data, "`folder` everything is kept in")
	fs.StringVar(&o.Config, "config", o.Config, "`folder` of configuration documents, applied at the start")
	fs.StringVar(&o.Listen, "listen", o.Listen, "`address` to listen on")
	o.MQTT.flags(fs)
	fs.IntVar(&o.Partitions, "partitions", o.Partitions, "partitions of a new data folder; an existing one keeps its own")
	fs.StringVar(&o.PublicURL, "public-url", o.PublicURL, "`URL` clients reach this server at, if it is behind a proxy")
	fs.StringVar(&o.WebhookAllow, "webhook-allow", o.WebhookAllow, "comma-separated `networks` webhooks may reach although they are private")
	fs.IntVar(&o.CacheMB, "cache-mb", o.CacheMB, "memory for caches, in MiB")
	fs.IntVar(&o.RetainDays, "retain-days", o.RetainDays, "days after which log and backups hold nothing of an erased person")
	fs.IntVar(&o.LogDays, "log-days", o.LogDays, "`days` the log is kept once state and lake hold what it says; 0 keeps it whole")
	fs.IntVar(&o.LogMB, "log-mb", o.LogMB, "size in `MiB` above which the log is trimmed earlier than that; 0 is none")
	fs.BoolVar(&o.PartialHistory, "partial-history", o.PartialHistory, "make state or lake from what a trimmed log still holds: what came before is forgotten there")
	fs.StringVar(&o.Lake, "lake", o.Lake, "`folder` of the history in Parquet files, or a bucket as s3://bucket/prefix?region=...; lake in the data folder without it; off writes none")
	fs.IntVar(&o.LakeCacheMB, "lake-cache-mb", o.LakeCacheMB, "how much of a lake in a bucket is kept in the data folder for questions, in `MiB`")
	fs.DurationVar(&o.LakeEvery, "lake-every", o.LakeEvery, "how long an event may wait to be written to the lake; a question asked of the lake is not kept waiting")
	fs.BoolVar(&o.NoPredictions, "no-predictions", o.NoPredictions, "keep nothing that predictions are made from, so that no score is known; a later start without this makes it from the log")
	fs.BoolVar(&o.Refold, "refold", o.Refold, "fold state again from the whole log at this start, as after damage; nothing is sent again")
	fs.StringVar(&o.TraceEndpoint, "trace-endpoint", o.TraceEndpoint, "`URL` of an OTLP/HTTP receiver for traces; empty is off")
	fs.Float64Var(&o.TraceRatio, "trace-ratio", o.TraceRatio, "share of requests traced, 0 to 1")
}

// drainTime is how long requests in flight may take after SIGTERM.
const drainTime = 15 * time.Second

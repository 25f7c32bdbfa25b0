// Holds the types the console reads against the API the server describes
// (schema_gen.ts): where the two part, this file does not compile.
import type { components } from './schema_gen'
import type * as read from './types'

type Schemas = components['schemas']

/** What a server type promises, whatever its lists' nulls; `unknown` is for the reader to look into. */
type Told<T> = unknown extends T
  ? any
  : T extends readonly (infer E)[]
    ? Told<E>[]
    : T extends object
      ? { [K in keyof T]: Told<Exclude<T[K], null>> }
      : T

/** The document names few closed sets, so a set of words reads any word. */
type Wide<T> = T extends string ? string : T extends readonly (infer E)[] ? Wide<E>[] : T extends object ? { [K in keyof T]: Wide<T[K]> } : T

type Reads<S extends keyof Schemas, T> = Told<Schemas[S]> extends Wide<T> ? true : { told: Told<Schemas[S]>; read: Wide<T> }

type All<T extends true[]> = T

export type Contract = All<
  [
    Reads<'ActionInfo', read.Action>,
    Reads<'AuditEntry', read.AuditEntry>,
    Reads<'ConfigAnswer', read.Config>,
    Reads<'ConfigDocument', read.ConfigDocument>,
    Reads<'ConfigError', read.ConfigError>,
    Reads<'ConfigRevision', read.ConfigVersion>,
    Reads<'DecisionSummary', read.DecisionSummary>,
    Reads<'DeliveriesAnswer', read.Deliveries>,
    Reads<'DemoStatus', read.Demo>,
    Reads<'Field', read.ConfigKind>,
    Reads<'FullDecision', read.Decision>,
    Reads<'IdentityAnswer', read.Identity>,
    Reads<'Job', read.Job>,
    Reads<'Overview', read.Overview>,
    Reads<'PeoplePage', read.PeoplePage>,
    Reads<'Person', read.Person>,
    Reads<'PlacementInfo', read.Placement>,
    Reads<'PlanAnswer', read.ConfigPlan>,
    Reads<'QuarantinePage', read.QuarantinePage>,
    Reads<'Affected', read.Affected>,
    Reads<'Recall', read.Recall>,
    Reads<'Segment', read.Segment>,
    Reads<'SegmentOverlap', read.SegmentOverlap>,
    Reads<'SegmentPreview', read.SegmentPreview>,
    Reads<'Item', read.Item>,
    Reads<'ModelPage', read.ModelPage>,
    Reads<'SeriesAnswer', read.Series>,
    Reads<'Session', read.Session>,
    Reads<'SourceInfo', read.Source>,
    Reads<'Status', read.System>,
    Reads<'TimelinePage', read.Timeline>,
    Reads<'TokenInfo', read.Token>,
    Reads<'TokenSecret', read.NewToken>,
    Reads<'Artifact', read.Artifact>,
    Reads<'Board', read.Board>,
    Reads<'JunkValue', read.HeldValue>,
    Reads<'PortfolioPage', read.Portfolio>,
    Reads<'PreviewAnswer', read.RulesPreview>,
    Reads<'Progress', read.Rollout>,
    Reads<'Proposal', read.Proposal>,
    Reads<'ProposalDetail', read.ProposalDetail>,
    Reads<'ReviewItem', read.Review>,
    Reads<'AffinityScore', read.Affinity>,
    Reads<'SoftDegree', read.SoftDegree>,
    Reads<'Why', read.Explanation>,
  ]
>

// The API as the console reads it: names for the types that schema_gen.ts
// derives from the server's OpenAPI document. What is written out here is what
// the document leaves open (any JSON, texts of a few values) or does not
// describe (the stream, errors of the network).
import type { components } from './schema_gen'

type Schemas = components['schemas']

/** ISO 8601 text or Unix milliseconds; `format/time.ts` reads both. */
export type Time = string | number
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
export type Fields = Record<string, Json>

/** A schema whose free values are JSON, as everything that came over the wire is. */
type Read<T> = unknown extends T ? Json : T extends readonly (infer Element)[] ? Read<Element>[] : T extends object ? { [Key in keyof T as Key extends '$schema' ? never : Key]: Read<T[Key]> } : T

type Of<Name extends keyof Schemas> = Read<Schemas[Name]>

export type Role = 'admin' | 'marketer' | 'analyst' | 'viewer' | 'source'
export interface Session extends Omit<Of<'Session'>, 'role'> {
  role: Role
}

/** RFC 9457 problem details, with the id under which the server logged it; a server that is away is one of status 0. */
export interface Problem {
  type?: string
  title: string
  status: number
  detail?: string
  errors?: { message: string; location?: string; value?: Json }[]
  /** What to do about it. */
  hint?: string
  requestId?: string
}

/** An estimate with its 95 % interval. */
export type Interval = Of<'Interval'>
/** An effect measured against the holdout, in a unit such as "value per person". */
export type Lift = Of<'LiftSummary'>
export type Need = Of<'Need'>
export type Overview = Of<'Overview'>

export type StreamKind = 'event' | 'decision' | 'delivery'

/** One line of /v1/stream. */
export interface StreamMessage {
  id: string | number
  kind: StreamKind
  time: Time
  personId: string
  person: string
  name: string
  detail: string
  source: string
  millis?: number
  /** Of a decision: its id, to ask why. */
  decisionId?: string
}

export type Identifier = Of<'Identifier'>
export type PersonSummary = Of<'PersonSummary'>
export type PeoplePage = Of<'PeoplePage'>
export type Person = Of<'Person'>
export type ConsentIs = Of<'ConsentIs'>
export type PersonScores = Of<'Scores'>
export type Scores = Of<'ScoreAnswer'>
export type ScoreExplanation = Of<'ScoreExplanation'>
export type SoftDegree = Of<'SoftDegree'>
export type Affinity = Of<'AffinityScore'>
/** When and through which channel somebody answers. */
export type PersonSending = Of<'PersonSending'>

export interface TimelineEvent extends Omit<Of<'TimelineEvent'>, 'decision'> {
  /** Of a decision: what was decided. */
  decision?: DecisionSummary
}
export interface Timeline extends Omit<Of<'TimelinePage'>, 'events'> {
  events: TimelineEvent[]
}

export type Identity = Of<'IdentityAnswer'>
export type IdentityLink = Of<'LinkInfo'>
/** A link somebody has to decide on. */
export type Review = Of<'ReviewItem'>
/** A value that names nobody for the time being. */
export type HeldValue = Of<'JunkValue'>
/** What other rules would change. */
export type RulesPreview = Of<'PreviewAnswer'>

export type Job = Of<'Job'>

export type Term = Of<'Term'>
export type Candidate = Of<'Candidate'>
export type Choice = Of<'SummaryChoice'>
export type DecisionSummary = Of<'DecisionSummary'>
export type DecisionsPage = Of<'DecisionsNextAnswer'>
export type Decision = Of<'FullDecision'>
export type FunnelStep = Of<'WhyStep'>
export type WhyClause = Of<'WhyClause'>
export type WhyAction = Of<'WhyAction'>
export type Explanation = Of<'Why'>

export type Action = Of<'ActionInfo'>
export type ActionStats = Of<'ActionStats'>
export type Placement = Of<'PlacementInfo'>
export type Source = Of<'SourceInfo'>
export type QuarantineItem = Of<'QuarantineItem'>
export type QuarantinePage = Of<'QuarantinePage'>

export type ConfigDocument = Of<'ConfigDocument'>
export type Config = Of<'ConfigAnswer'>
export type ConfigError = Of<'ConfigError'>
export type DocumentRef = Of<'Ref'>
export type ConfigChange = Of<'Difference'>
export type ConfigPlan = Of<'PlanAnswer'>
export type ConfigApplied = Of<'VersionAnswer'>
export type ConfigVersion = Of<'ConfigRevision'>
/** One key of a kind of documents, or the kind itself. */
export type ConfigField = Of<'Field'>
/** What a change of actions or policy shows on the decisions of the past. */
export type Promotion = Of<'Promotion'>
/** A change that waits for somebody to publish it, or was decided on. */
export type Proposal = Of<'Proposal'>
export type ProposalDetail = Of<'ProposalDetail'>

export type Delivery = Of<'DeliveryInfo'>
/** How a destination does; counts are since the server started. */
export type Destination = Of<'Health'>
export type Deliveries = Of<'DeliveriesAnswer'>
export type Token = Of<'TokenInfo'>
/** The token itself is in it; the server tells it once. */
export type NewToken = Of<'TokenSecret'>
export type AuditEntry = Of<'AuditEntry'>
export type System = Of<'Status'>
export type Demo = Of<'DemoStatus'>

export type Segment = Of<'Segment'>
export type SegmentHistory = Of<'SegmentHistory'>
export type SegmentMembers = Of<'SegmentPage'>
export type SegmentOverlap = Of<'SegmentOverlap'>
/** Who a condition would hold for, with the 95 % interval of the estimate. */
export type SegmentPreview = Of<'SegmentPreview'>

export type Item = Of<'Item'>
export type ItemsPage = Of<'ItemsPage'>
export type Series = Of<'SeriesAnswer'>
export type Recall = Of<'Recall'>
export type Affected = Of<'Affected'>
/** A recall with how far it came. */
export type RecallStatus = Of<'RecallStatus'>
export type RecallPerson = Of<'RecallPerson'>
export type RecallPeople = Of<'RecallPeople'>
export type FleetReport = Of<'FleetReport'>
export type FleetGroup = Of<'Group'>
export type Product = Of<'ItemProductFull'>

/** A capture job of the EPCIS interface, which is a standard's and not in the document. */
export interface CaptureJob {
  captureID: string
  createdAt: Time
  finishedAt: Time
  running: boolean
  success: boolean
  captureErrorBehaviour: string
  events: number
  errors: { type: string; title: string; status: number; detail: string; eventID?: string }[] | null
}

export type ModelHealth = Of<'ModelHealth'>
export type ModelPage = Of<'ModelPage'>
/** How learning does in the newest decisions. */
export type LearningHealth = Of<'LearningHealth'>
export type Insights = Of<'Insights'>
export type InsightStream = Of<'InsightStream'>

export type Channels = Of<'ChannelsAnswer'>
export type Suppressions = Of<'SuppressionPage'>
/** An action as one person would see it. */
export type MessagePreview = Of<'MessagePreview'>

export type Opportunity = Of<'Opportunity'>
export type Portfolio = Of<'PortfolioPage'>
/** What the board tries on one action. */
export type BoardChange = Of<'BoardChange'>
export type Board = Of<'Board'>

export type Artifact = Of<'Artifact'>
export type Rollout = Of<'Progress'>
export type RolloutDevice = Of<'Action'>

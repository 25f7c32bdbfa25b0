// The API as the console reads it. JSON is camelCase; times are ISO 8601 text or
// Unix milliseconds, and `format/time.ts` reads both.

export type Time = string | number
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }
export type Fields = Record<string, Json>

export type Role = 'admin' | 'marketer' | 'analyst' | 'viewer' | 'source'

export interface Session {
  name: string
  role: Role
  expires: Time
}

/** RFC 9457 problem details, with the id under which the server logged it. */
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
export interface Interval {
  value: number
  low: number
  high: number
}

/** An effect measured against the holdout, in a unit such as "value per person". */
export interface Lift extends Interval {
  treated: number
  holdout: number
  unit: string
}

export interface Need {
  kind: string
  title: string
  detail: string
  href: string
}

export interface Overview {
  people: number
  events: { total: number; perSecond: number; lastHour: number[] }
  decisions: { total: number; perSecond: number; p50Millis: number; p99Millis: number; nothingShare: number }
  lift: Lift | null
  clv?: (Interval & { people?: number }) | null
  holdoutShare: number
  quarantine: { open: number }
  deadLetters: number
  needsYou: Need[]
  demo: boolean
  firstEventAt: Time | null
  version: string
  uptimeSeconds: number
  /** ISO 4217 code of the money in values; absent when the deployment has none. */
  currency?: string
}

export type StreamKind = 'event' | 'decision' | 'delivery'

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

export interface Identifier {
  kind: string
  value: string
}

export interface PersonSummary {
  id: string
  name: string
  identifiers: Identifier[] | null
  lastSeen: Time
  firstSeen: Time
  events: number
  country?: string
}

export interface PeoplePage {
  people: PersonSummary[]
  next?: string
  total: number
}

export interface Score {
  value: number
  low?: number
  high?: number
}

/** purpose -> allowed, or channel -> allowed, or the same with when and by whom. The channel "all" is every channel. */
export type ConsentValue = boolean | { allowed: boolean; at?: Time; source?: string }
export type Consent = Record<string, ConsentValue | Record<string, ConsentValue>>

export interface Person {
  id: string
  name: string
  identifiers: Identifier[]
  traits: Fields
  /** Where each trait came from and when; absent on servers that do not tell. */
  traitSources?: Record<string, { source: string; at: Time }>
  computed: Fields
  segments: { id: string; degree?: number; since?: Time }[]
  scores: PersonScores
  consent: Consent
  items: (string | { id: string; name?: string; state?: string })[]
  counters: Record<string, number>
  events?: number
  fragments: string[] | null
  firstSeen: Time
  lastSeen: Time
  version: number
}

export interface TimelineEvent {
  id: string
  type: string
  event: string
  timestamp: Time
  source?: string
  properties?: Fields | null
  traits?: Fields
  context?: Fields
  /** Of a decision: what was decided. */
  decision?: DecisionSummary
}

export interface Timeline {
  events: TimelineEvent[]
  next?: string
}

export interface IdentityLink {
  id: string
  kind: string
  /** What was seen, in plain words. */
  evidence: string
  /** Weight of the evidence in bits; a deterministic link may leave it out. */
  bits?: number
  at: Time
  by: string
  identifiers?: Identifier[]
  /** Fragments of the two identifiers, in the same order. */
  a: string
  b: string
  /** Which interval of the device, from 0. */
  epoch?: number
  /** Held: known, and does not count. */
  state: 'counts' | 'held' | 'withdrawn'
  /** The parts of bits, the odds of two strangers first; one without bits where a rule decides. */
  waterfall?: { field: string; level?: string; bits: number; rarity?: number }[]
  /** Set once the link was taken back. */
  withdrawn?: { at: Time; by: string }
}

export interface Identity {
  person: string
  fragments: { id: string }[] | null
  links: IdentityLink[] | null
}

export interface Job {
  id: string
  kind: string
  state: 'running' | 'done' | 'failed'
  done: number
  total: number
  error?: string
}

export interface Term {
  name: string
  value: number
}

export interface Candidate {
  action: string
  excluded?: string
  detail?: string
  mean?: number
  score?: number
  propensity?: number
  terms?: Term[]
}

export interface Choice {
  action: string
  kind: string
  slot?: number
  content?: Fields
  value?: number
  propensity?: number
  reason?: string
}

export interface DecisionSummary {
  decisionId: string
  personId: string
  person: string
  placement: string
  time: Time
  holdout: boolean
  items: Choice[]
  nothing?: string
  cause: string
}

export interface DecisionsPage {
  decisions: DecisionSummary[]
  next?: string
}

export interface Decision extends Omit<DecisionSummary, 'person'> {
  person?: string
  config: number
  model: number
  seed: number | string
  candidates: Candidate[]
  features: Fields
  context: Fields
}

export interface FunnelStep {
  rule: string
  label: string
  removed: number
  actions: { action: string; detail: string }[]
}

/** One part of an action's condition, and what was found. */
export interface WhyClause {
  text: string
  held: boolean
  decisive: boolean
  found: string
}

export interface WhyAction {
  action: string
  chosen: boolean
  rule?: string
  detail?: string
  clauses?: WhyClause[]
}

export interface Explanation {
  sentence: string
  funnel: FunnelStep[]
  candidates: Candidate[]
  whatWouldChange: string[]
  /** The answer to a question about one action. */
  action?: WhyAction
  decision: Decision
}

export interface ActionStats {
  shown: number
  clicked: number
  reward: number
  mean: number
  share: number
  lift?: Lift | null
}

export interface Action {
  id: string
  type: string
  placements: string[]
  when?: string
  purpose?: string
  channel?: string
  stats: ActionStats
  version?: number
}

export interface Placement {
  id: string
  slots: number
  channel?: string
  actions: string[]
  decisions: number
  nothingShare: number
}

export interface Source {
  id: string
  key: string
  name: string
  enabled: boolean
  /** Accepted since the server started. */
  events: number
  /** Held back since the server started. */
  quarantined?: number
  lastEventAt?: Time | null
  eventsPerMinute: number
}

export interface QuarantineItem {
  id: string
  time: Time
  source: string
  event: string
  reason: string
  path?: string
  hint?: string
  /** The event was too large to keep whole. */
  truncated?: boolean
  raw?: Json
}

export interface QuarantinePage {
  items: QuarantineItem[]
  total: number
  next?: string
}

export interface ConfigDocument {
  kind: string
  id: string
  yaml: string
  version: number
  author: string
  updatedAt: Time
  demo?: boolean
}

export interface Config {
  version: number
  documents: ConfigDocument[]
}

export interface ConfigError {
  line: number
  column: number
  message: string
  hint?: string
}

export interface DocumentRef {
  kind: string
  id: string
}

export interface ConfigChange extends DocumentRef {
  op: 'created' | 'changed' | 'deleted'
  /** The keys whose meaning changes. */
  fields?: { path: string; before?: string; after?: string }[]
  /** The change of the text: lines that begin with "+", "-" or a blank. */
  diff?: string
}

export interface ConfigPlan {
  version?: number
  changes: ConfigChange[]
  errors?: ConfigError[]
  /** Least role of the second person who must publish it; absent when nobody is asked. */
  secondPerson?: string
  /** What the change would have earned, where it changes who gets what. */
  gate?: { refused: boolean; sentence: string }
}

export interface ConfigApplied {
  version: number
}

export interface ConfigVersion {
  version: number
  time: Time
  author: string
  note?: string
  /** The version this one took back. */
  undoes?: number
  /** The proposal it published, and who wrote it. */
  proposal?: number
  proposer?: string
  changed?: DocumentRef[]
  deleted?: DocumentRef[]
  /** The document's text at that version, in the history of one document. */
  yaml?: string
}

export interface ConfigField {
  name: string
  type: string
  doc?: string
  required?: boolean
  secret?: boolean
  enum?: string[]
  min?: string
  max?: string
  ref?: string
  /** What its values usually are: event, kind, a kind of documents, or kind.key. */
  suggest?: string
  /** What a number counts in. */
  unit?: string
  /** An object that holds its own kind again has the fields of the one around it. */
  same?: string
  default?: Json
  fields?: ConfigField[]
  item?: ConfigField
}

/** A kind of document: its name, what it is for, and its keys. */
export interface ConfigKind {
  name: string
  doc?: string
  fields?: ConfigField[]
}

export interface Delivery {
  key: string
  status: 'dead' | 'waiting'
  time: Time
  destination: string
  personId: string
  event: string
  attempts: number
  error?: string
}

/** How a destination does; counts are since the server started. */
export interface Destination {
  kind: string
  state: 'working' | 'failing' | 'paused'
  pausedUntil?: Time
  retrying: number
  delivered: number
  failed: number
  lastError?: string
  lastSuccess?: Time
}

export interface Deliveries {
  deliveries: Delivery[]
  destinations: Destination[]
}

export interface Token {
  id: string
  name: string
  role: Role
  createdAt: Time
  createdBy: string
  expiresAt?: Time | null
  revokedAt?: Time | null
}

export interface NewToken extends Token {
  /** The token itself; the server tells it once. */
  secret: string
}

export interface AuditEntry {
  time: Time
  author: string
  action: string
  object: string
  detail?: string
  request?: string
}

export interface System {
  version: string
  uptimeSeconds: number
  ready: boolean
  partitions: { id: number; offset: number; end: number; lag: number; entities: number }[]
  log: { bytes: number; segments: number }
  dedup: { windowSeconds: number; duplicates: number }
  memoryBytes: number
  goVersion: string
}

export interface Demo {
  running: boolean
  phase: 'absent' | 'history' | 'live' | 'removing' | 'failed'
  done: number
  total: number
  rate?: number
  secondsLeft?: number
  speed: number
  error?: string
}

export interface Segment {
  id: string
  name?: string
  /** The condition in force; what is being built waits in pending. */
  when: string
  pending?: string
  size: number
  state: 'live' | 'filling' | 'building'
}

/** Oldest first. */
export interface SegmentHistory {
  sizes: { at: Time; size: number }[] | null
}

export interface SegmentMembers {
  people: (PersonSummary & { since: Time })[]
  next?: string
  size: number
}

export interface SegmentOverlap {
  a: Segment
  b: Segment
  both: number
  jaccard: number
}

/** Who a condition would hold for, with the 95 % interval of the estimate. */
export interface SegmentPreview {
  value: number
  low: number
  high: number
  exact: boolean
  total: number
  sampled: number
  people: PersonSummary[]
  millis: number
  /** Asked of people's timelines: nothing keeps the answer yet. */
  history?: boolean
}

export interface Item {
  id: string
  uri: string
  gtin: string
  serial: string
  product?: { id: string; name: string; brand?: string; category?: string; image?: string }
  state: string
  owner?: string
  ownedSince?: Time
  proof?: string
  household: { person: string; role: string; since: Time }[]
  readings: Record<string, { value: Json; at: Time; count: number; mean: number; min: number; max: number }>
  reported: Fields
  desired: Fields
  delta: Fields
  firmware: string
  warranty?: { from: Time; until: Time; valid: boolean }
  recall?: { id: string; reason: string; at: Time }
  facts: Record<string, string>
  provenance: { at: Time; stage?: string; bizStep?: string; disposition?: string; location?: string; readPoint?: string; within?: string }[]
  parents: { item: string; from: Time; to?: Time }[]
  commands: { id: string; name: string; args: Fields; state: string; at: Time; expires: Time; changed: Time; result?: Fields; by?: string }[]
  rejected: { at: Time; problem: string }[]
  connected: boolean
  registeredAt: Time
  seenAt?: Time
  taps: number
}

export interface ItemsPage {
  items: Item[]
  next?: string
}

export interface Series {
  reading: string
  step: string
  points: { at: Time; n: number; mean: number; min: number; max: number }[]
}

export interface Recall {
  id: string
  of: string
  reason: string
  instructions: string
  url: string
  by: string
  createdAt: Time
  changedAt: Time
  lifted: boolean
  told: boolean
  items: number
}

export interface Affected {
  of: string
  items: { item: string; known: boolean; state?: string; owner?: string; recall?: string }[]
  owners: number
  truncated: boolean
}

/** A capture job of the EPCIS interface. */
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

export interface ScoreExplanation {
  score: string
  value: number
  model: string
  inputs: Fields
  contributions: { input: string; effect: number }[]
}

/** What is foretold of a person; what is not known is left out. */
export interface PersonScores {
  clv?: number | Score
  purchases?: number | Score
  churn?: number | Score
  intent?: number | Score
  nextPurchase?: number | Score
  /** What the person is by degree, and what the running session is. */
  softSegments?: SoftDegree[]
  session?: SoftDegree[]
  affinities?: Affinity[]
  replenishment?: { product: string; days: number; low: number; high: number }[]
}

export interface SoftDegree {
  id: string
  name: string
  degree: number
}

/** How much somebody is drawn to a value of an attribute; the parts add up to the degree. */
export interface Affinity {
  attribute: string
  value: string
  degree: number
  low: number
  high: number
  parts: Record<string, number>
}

export interface Scores {
  scores: PersonScores
  explanations: ScoreExplanation[] | null
}

export interface ModelHealth {
  people: number
  repeat: number
  orders: number
  coverage80: number
  calibration: { predicted: number; actual: number; count: number }[] | null
  tracking: number | null
}

export interface ModelPage {
  id: string
  status: string
  reason: string
  fitting: boolean
  tried: Time | null
  made: Time | null
  model?: { kind: string; health: ModelHealth; fitted: { kind: string; params: Record<string, number>; logLikelihood: number; backtest: number | null }[] } | null
  seen: ModelHealth
}

/** A link somebody has to decide on. */
export interface Review {
  link: IdentityLink
  why: string
  a: string
  b: string
}

/** A value that names nobody for the time being. */
export interface HeldValue {
  identifier: Identifier
  reason: string
  people: number
  at: Time
  by: string
}

/** What other rules would change. */
export interface RulesPreview {
  links: number
  people: number
  apart: number
  together: number
  hold: number
  resume: number
  quarantine: HeldValue[]
  release: HeldValue[]
  examples: { link: IdentityLink; counts: boolean }[]
}

export interface Opportunity {
  placement: string
  action: string
  segment?: string
  state: 'untried' | 'learning' | 'working' | 'losing' | 'paused'
  exposures: number
  share: number
  clicks: number
  reward: number
  effect?: Interval
  next: string
}

export interface Portfolio {
  opportunities: Opportunity[]
  total: number
  states: Record<string, number>
}

/** What the board tries on one action. */
export interface BoardChange {
  action: string
  weight?: number
  cost?: number
  priority?: number
  off?: boolean
}

export interface Board {
  moments: number
  changed: number
  expectedWas: number
  expectedIs: number
  sharesWas: Record<string, number>
  sharesIs: Record<string, number>
  rankings: { decisionId: string; was: string; is: string; expectedWas: number; expectedIs: number }[]
}

export interface Artifact {
  sha256: string
  size: number
  name: string
  version: string
  module: string
  createdAt: Time
  by: string
  removed?: boolean
}

export interface Rollout {
  id: string
  name: string
  artifact: string
  target: { gtin?: string; items?: string[]; firmware?: string[]; facts?: Record<string, string> }
  stages: { percent: number; success?: number }[]
  holdback: number
  timeoutSeconds: number
  soakSeconds: number
  errorRate: number
  minimum: number
  harms: { event: string; worse?: number }[]
  createdAt: Time
  status: string
  stage: number
  reason?: string
  changed: Time
  steps: Record<string, number>
  held: number
  byStage: { devices: number; succeeded: number; failed: number }[]
}

export interface RolloutDevice {
  id: number
  item: string
  stage: number
  step: string
  began: Time
  changed: Time
  detail?: string
}

/** A change that waits for somebody to publish it, or was decided on. */
export interface Proposal {
  id: number
  state: 'open' | 'published' | 'refused' | 'withdrawn'
  base: number
  time: Time
  author: string
  note?: string
  changed: DocumentRef[]
  deleted: DocumentRef[]
  secondPerson?: string
  endedAt?: Time
  endedBy?: string
  reason?: string
  version?: number
}

export interface ProposalDetail extends Proposal {
  changes: ConfigChange[]
  moved: ConfigDocument[]
  yaml: string
}

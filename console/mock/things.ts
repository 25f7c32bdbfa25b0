// Segments, product items, recalls and models of the mock's small world.
import type { Fields, Affected, CaptureJob, Item, ModelPage, Recall, Scores, Segment, SegmentHistory, SegmentPreview, Series } from '../src/api/types'
import type { MockPerson } from './world'

const day = 86_400_000
const iso = (at: number) => new Date(at).toISOString()

const rules: (Pick<Segment, 'id' | 'name' | 'when'> & { in: (who: MockPerson) => boolean })[] = [
  { id: 'regulars', name: 'Regulars', when: 'performed("Order Completed").within("180d").count() >= 3', in: (who) => (who.person.counters['Order Completed'] ?? 0) >= 3 },
  { id: 'lookers', name: 'Look, and do not buy', when: 'performed("Product Viewed").within("14d").count() >= 3 && performed("Order Completed").within("14d").count() == 0', in: (who) => (who.person.counters['Product Viewed'] ?? 0) >= 3 && !who.person.counters['Order Completed'] },
  { id: 'espresso', name: 'Owns an espresso machine', when: 'traits.machine == "espresso"', in: (who) => who.person.traits.machine === 'espresso' },
]

const member = ({ person }: MockPerson) => ({ id: person.id, name: person.name, identifiers: person.identifiers, firstSeen: person.firstSeen, lastSeen: person.lastSeen, events: Object.values(person.counters).reduce((sum, n) => sum + n, 0) })

export function makeThings(people: () => MockPerson[], start: number, empty: boolean, documents: () => { kind: string; id: string; yaml: string }[]) {
  const inside = (id: string) => people().filter((who) => rules.find((rule) => rule.id === id)?.in(who))
  const segments = (): Segment[] =>
    documents()
      .filter((doc) => doc.kind === 'segment')
      .map((doc) => ({ id: doc.id, name: /^name:\s*(.*)$/m.exec(doc.yaml)?.[1], when: /^when:\s*(.*)$/m.exec(doc.yaml)?.[1] ?? '', size: inside(doc.id).length, state: 'live' }))
  const owner = people()[0]?.person
  const id = '01_09506000134352_21_NB1-00412'
  const items: Item[] = empty ? [] : [id, '01_09506000134352_21_NB1-00977'].map((itemId, i): Item => ({
    id: itemId, uri: `https://id.gs1.org/01/09506000134352/21/${itemId.split('_21_')[1]}`, gtin: '09506000134352', serial: itemId.split('_21_')[1] ?? '',
    product: { id: 'northbean-one', name: 'Northbean One', brand: 'Northbean', category: 'machines' }, state: i ? 'sold' : 'activated', owner: i ? undefined : owner?.id, ownedSince: i ? undefined : iso(start - 90 * day), proof: i ? undefined : 'receipt',
    household: [], computed: {}, scores: {} as Item['scores'], readings: i ? ({} as Item['readings']) : { temperature: { value: 92.4, at: iso(start - 60_000), count: 812, mean: 91.8, min: 88.1, max: 95.2, fast: 92.2, slow: 91.8, deviation: 1.1 }, cycles: { value: 412, at: iso(start - 60_000), count: 412, mean: 206, min: 1, max: 412, fast: 408, slow: 390, deviation: 9 } },
    reported: i ? ({} as Item['reported']) : { brewTemperature: 92, eco: false }, desired: i ? ({} as Item['desired']) : { brewTemperature: 92, eco: true }, delta: i ? ({} as Item['delta']) : { eco: true }, firmware: i ? '' : '2.4.1',
    warranty: { from: iso(start - 90 * day), until: iso(start + 640 * day), valid: true }, recall: undefined, facts: { lot: 'L7' },
    provenance: [
      { at: iso(start - 140 * day), stage: 'made', bizStep: 'commissioning', disposition: 'active', readPoint: 'urn:epc:id:sgln:9506000.00001.0' },
      { at: iso(start - 130 * day), stage: 'shipped', bizStep: 'shipping', disposition: 'in_transit', readPoint: 'urn:epc:id:sgln:9506000.00001.0', within: '00_095060000000000012' },
      { at: iso(start - 90 * day), stage: 'sold', bizStep: 'retail_selling', disposition: 'retail_sold', location: 'urn:epc:id:sgln:9506000.00214.0' },
    ],
    parents: [{ item: '00_095060000000000012', from: iso(start - 131 * day), to: iso(start - 120 * day) }],
    commands: i ? [] : [{ id: 'c_1', name: 'descale', args: {}, state: 'done', at: iso(start - 5 * day), expires: iso(start - 4 * day), changed: iso(start - 5 * day), result: { minutes: 21 }, by: 'marta' }],
    desiredVersion: 3, epoch: 1, forecast: i ? {} : { service: { at: iso(start + 24 * day), low: iso(start + 18 * day), high: iso(start + 33 * day), reading: 'cyclesSinceDescale', limit: 200 }, remainingLife: { reason: 'not enough data: 3 of these ended, at least 10 are needed' } }, moments: {}, segments: [], stages: [], reportedVersion: 3, telemetry: {}, version: 9, rejected: [], connected: i === 0, registeredAt: iso(start - 140 * day), seenAt: i ? undefined : iso(start - 60_000), taps: 3,
  }))
  const recalls: Recall[] = empty ? [] : [{ id: 'rc_1', of: '01/09506000134352/10/L4', reason: 'The water tank may crack', instructions: 'Stop using it; we send another.', url: '', by: 'marta', createdAt: iso(start - 20 * day), changedAt: iso(start - 20 * day), lifted: false, told: true, round: 1, items: 14 }]
  const captures: CaptureJob[] = empty ? [] : [
    { captureID: '5c1f0c9e', createdAt: iso(start - 3_600_000), finishedAt: iso(start - 3_599_000), running: false, success: true, captureErrorBehaviour: 'rollback', events: 42, errors: [] },
    { captureID: '77aa01b2', createdAt: iso(start - 7_200_000), finishedAt: iso(start - 7_199_000), running: false, success: false, captureErrorBehaviour: 'rollback', events: 3, errors: [{ type: 'epcisException:ValidationException', title: 'Bad Request', status: 400, detail: 'event 2: eventTimeZoneOffset is missing', eventID: 'urn:uuid:0f1' }] },
  ]
  const health = { people: 14_800, repeat: 9410, orders: 50_900, coverage80: 0.81, sampled: 14_800, calibration: Array.from({ length: 8 }, (_, i) => ({ predicted: 0.2 + i * 0.55, actual: 0.18 + i * 0.57, count: 1800 - i * 190 })), tracking: 0.04 }
  const models: ModelPage[] = [
    empty
      ? { id: 'purchases', status: 'waiting', reason: 'the first fit comes a minute after the start', fitting: false, tried: null, made: null, seen: { people: 0, repeat: 0, orders: 0, coverage80: 0, sampled: 0, calibration: [], tracking: null } }
      : { id: 'purchases', status: 'good', reason: 'fresh, and its intervals hold what they say', fitting: false, tried: iso(start - 600_000), made: iso(start - 600_000), model: { kind: 'bg-nbd', health, fitted: [{ kind: 'bg-nbd', params: { r: 0.24, alpha: 4.41 }, logLikelihood: -9582, backtest: 0.031 }, { kind: 'pareto-nbd', params: { r: 0.55, alpha: 10.6 }, logLikelihood: -9594, backtest: 0.044 }] } as unknown as ModelPage['model'], seen: health },
  ]
  const affected = (of: string): Affected => ({ of, items: of.includes('L7') ? items.map((item) => ({ item: item.id, known: true, state: item.state, owner: item.owner })) : [], owners: of.includes('L7') ? 1 : 0, truncated: false })

  return {
    segments,
    segment: (segmentId: string) => segments().find((s) => s.id === segmentId),
    history: (segmentId: string): SegmentHistory => ({ sizes: Array.from({ length: 48 }, (_, i) => ({ at: iso(start - (48 - i) * 3_600_000), size: Math.round(inside(segmentId).length * (0.8 + i / 260 + 0.02 * Math.sin(i))) })) }),
    members: (segmentId: string, limit: number) => ({ people: inside(segmentId).slice(0, limit).map((who) => ({ ...member(who), since: who.person.lastSeen })), size: inside(segmentId).length }),
    overlap: (a: string, b: string) => {
      const both = inside(a).filter((who) => inside(b).includes(who)).length
      return { a: segments().find((s) => s.id === a), b: segments().find((s) => s.id === b), both, jaccard: both / Math.max(1, inside(a).length + inside(b).length - both) }
    },
    preview: (when: string): SegmentPreview => {
      const found = people().filter((who) => (rules.find((rule) => rule.when === when)?.in ?? (() => who.person.identifiers.length > 2))(who))
      return { value: found.length, low: Math.floor(found.length * 0.94), high: Math.ceil(found.length * 1.06), exact: false, total: people().length, sampled: people().length, people: found.slice(0, 5).map(member), millis: 21 }
    },
    items: (filter: URLSearchParams) => ({ items: items.filter((item) => (!filter.get('gtin') || item.gtin.endsWith(filter.get('gtin') ?? '')) && (!filter.get('state') || item.state === filter.get('state'))) }),
    item: (itemId: string) => items.find((item) => item.id === itemId),
    timeline: () => ({ events: [{ id: 'ie_1', type: 'track', event: 'Item Brewed', timestamp: iso(start - 60_000), properties: { drink: 'espresso' } }] }),
    series: (reading: string, step: string): Series => ({ reading, step, points: Array.from({ length: 60 }, (_, i) => ({ at: iso(start - (60 - i) * 60_000), n: 1, mean: 91.5 + Math.sin(i / 5), min: 90.9 + Math.sin(i / 5), max: 92.1 + Math.sin(i / 5) })) }),
    command: (itemId: string, name: string) => {
      const made = { id: `c_${Date.now()}`, name, args: {} as Fields, state: 'sent' as const, at: iso(Date.now()), expires: iso(Date.now() + day), changed: iso(Date.now()) }
      items.find((item) => item.id === itemId)?.commands.push(made)
      return made
    },
    recalls, affected, captures, models,
    recall: (of: string, reason: string) => {
      const made = { id: `rc_${recalls.length + 1}`, of, reason, instructions: '', url: '', by: 'bootstrap', createdAt: iso(Date.now()), changedAt: iso(Date.now()), lifted: false, told: false, round: 1, items: affected(of).items.length }
      recalls.unshift(made)
      return made
    },
    scores: (who: MockPerson): Scores => {
      const clv = who.person.scores.clv
      if (!clv || typeof clv === 'number') return { scores: {}, explanations: [] }
      return { scores: { clv }, explanations: [{ score: 'clv', value: clv.value, model: 'bg-nbd', inputs: { customerForDays: 108, repeatPurchases: 4 }, contributions: [{ input: 'a new customer', effect: clv.value * 1.4 }, { input: 'the last purchase is so long ago', effect: -clv.value * 0.4 }] }] }
    },
  }
}

export const segmentDocuments = rules.map((rule) => ({ kind: 'segment', id: rule.id, yaml: `kind: segment\nid: ${rule.id}\nname: ${rule.name ?? ''}\nwhen: ${rule.when}\n` }))

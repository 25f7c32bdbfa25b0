// A small Northbean for development and tests: people, what they did, what was
// decided for them, and why. Everything is drawn from one seed.
import type { Action, Candidate, Choice, ConfigDocument, Decision, Delivery, Destination, Explanation, Fields, Identity, IdentityLink, Person, QuarantineItem, Source, TimelineEvent } from '../src/api/types'

export function random(seed: number) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const given = ['Ingrid', 'Tom', 'Elise', 'Noor', 'Liam', 'Mateo', 'Aiko', 'Priya', 'Sofia', 'Jonas', 'Léa', 'Kofi', 'Hanna', 'Pavel', 'Zeynep', 'Oskar', 'Mei', 'Amara', 'Lucas', 'Freya', 'Iván', 'Nadia', 'Björn', 'Chloé', 'Ravi', 'Elena', 'Yusuf', 'Marta', 'Owen', 'Saga']
const family = ['Halvorsen', 'Okafor', 'Moreau', 'Haddad', 'Byrne', 'Fernández', 'Tanaka', 'Raman', 'Rossi', 'Lindqvist', 'Dubois', 'Mensah', 'Virtanen', 'Novák', 'Yılmaz', 'Larsen', 'Chen', 'Diallo', 'Silva', 'Andersen', 'Torres', 'Rahman', 'Strand', 'Petit', 'Patel', 'Popova', 'Demir', 'Kowalska', 'Hughes', 'Berg']
const places: [string, string][] = [['Bergen', 'NO'], ['London', 'GB'], ['Lyon', 'FR'], ['Berlin', 'DE'], ['Dublin', 'IE'], ['Madrid', 'ES'], ['Tokyo', 'JP'], ['Oslo', 'NO'], ['Milan', 'IT'], ['Stockholm', 'SE'], ['Helsinki', 'FI'], ['Prague', 'CZ']]
const products: [string, number][] = [['Yirgacheffe beans 500 g', 16.5], ['House espresso 1 kg', 24], ['Decaf Huila 250 g', 11.5], ['Northbean One machine', 489], ['Descaling set', 14.9], ['Pods, Nordic roast ×40', 18.4], ['Milk frother', 59], ['Tasting set, five origins', 34], ['Smart canister', 45], ['Geisha micro-lot 150 g', 29]]
const paths = ['/beans/espresso', '/journal/grind-size', '/machines/northbean-one', '/account', '/subscriptions', '/beans/filter', '/journal/water', '/store/bergen']

const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'
export const makeId = (prefix: string, next: () => number) => prefix + '_' + Array.from({ length: 26 }, () => alphabet[Math.floor(next() * 32)]).join('')

export interface MockPerson {
  person: Person
  timeline: TimelineEvent[]
  identity: Identity
  holdout: boolean
}

export const placements = [
  { id: 'home_hero', slots: 1, actions: [] as string[], decisions: 48_211, nothingShare: 0.34 },
  { id: 'cart_banner', slots: 1, actions: [] as string[], decisions: 12_904, nothingShare: 0.52 },
  { id: 'app_inbox', slots: 3, actions: [] as string[], decisions: 31_870, nothingShare: 0.41 },
  { id: 'email_weekly', slots: 1, actions: [] as string[], decisions: 7402, nothingShare: 0.68 },
]

export const actions: Action[] = [
  { id: 'replenish-pods', type: 'message', placements: ['home_hero', 'app_inbox', 'email_weekly'], purpose: 'marketing', when: 'performed("Order Completed").within("60d").count() >= 1 && traits.machine == "pods"', stats: { shown: 18_422, clicked: 2104, reward: 9310.4, mean: 0.505, share: 0.31, lift: { value: 0.59, low: 0.46, high: 0.71, treated: 17_810, holdout: 921, unit: 'value per person' } }, version: 14 },
  { id: 'tasting-set', type: 'offer', placements: ['home_hero', 'cart_banner', 'app_inbox'], purpose: 'marketing', when: 'performed("Order Completed").within("90d").count() >= 2', stats: { shown: 14_037, clicked: 1188, reward: 5180.9, mean: 0.369, share: 0.24, lift: { value: 0.43, low: 0.29, high: 0.57, treated: 17_810, holdout: 921, unit: 'value per person' } }, version: 14 },
  { id: 'free-shipping', type: 'offer', placements: ['cart_banner'], when: 'context.cartValue > 20 && context.cartValue < 45', stats: { shown: 6210, clicked: 901, reward: 1602, mean: 0.258, share: 0.12, lift: { value: 0.2, low: 0.03, high: 0.35, treated: 17_810, holdout: 921, unit: 'value per person' } }, version: 9 },
  { id: 'descale-care', type: 'content', placements: ['home_hero', 'app_inbox'], when: 'items.any(i, i.cyclesSinceDescale > 300)', stats: { shown: 5320, clicked: 744, reward: 903.1, mean: 0.17, share: 0.11, lift: { value: 0.13, low: -0.04, high: 0.29, treated: 17_810, holdout: 921, unit: 'value per person' } }, version: 11 },
  { id: 'frother-upsell', type: 'recommendation', placements: ['home_hero', 'cart_banner'], purpose: 'marketing', when: 'traits.machine == "espresso" && !performed("Order Completed").where(properties.sku == "frother").count()', stats: { shown: 3904, clicked: 261, reward: 640.2, mean: 0.164, share: 0.08, lift: { value: 0.06, low: -0.15, high: 0.25, treated: 17_810, holdout: 921, unit: 'value per person' } }, version: 14 },
  { id: 'refer-a-friend', type: 'message', placements: ['app_inbox', 'email_weekly'], purpose: 'marketing', when: 'scores.clv > 150', stats: { shown: 2210, clicked: 90, reward: 166, mean: 0.075, share: 0.06, lift: { value: 0.03, low: -0.15, high: 0.21, treated: 17_810, holdout: 921, unit: 'value per person' } }, version: 6 },
  { id: 'roast-preference', type: 'question', placements: ['home_hero', 'app_inbox'], when: '!has(traits.roast)', stats: { shown: 1840, clicked: 612, reward: 95.4, mean: 0.052, share: 0.05 }, version: 6 },
  { id: 'bergen-tasting', type: 'message', placements: ['app_inbox', 'email_weekly'], purpose: 'events', when: 'traits.city == "Bergen"', stats: { shown: 402, clicked: 51, reward: 21, mean: 0.052, share: 0.02 }, version: 12 },
  { id: 'win-back-15', type: 'offer', placements: ['home_hero', 'email_weekly'], purpose: 'marketing', when: 'performed("Order Completed").last() < now - "120d"', stats: { shown: 910, clicked: 31, reward: -42, mean: -0.046, share: 0.01, lift: { value: -0.08, low: -0.28, high: 0.11, treated: 17_810, holdout: 921, unit: 'value per person' } }, version: 3 },
]
for (const place of placements) place.actions = actions.filter((a) => a.placements.includes(place.id)).map((a) => a.id)

export const sources: Source[] = [
  { id: 'web', key: 'wk_web_5mK2qP8rVn', name: 'Web shop', enabled: true, events: 981_204, lastEventAt: new Date(Date.now() - 900).toISOString(), quarantined: 0, eventsPerMinute: 212 },
  { id: 'app', key: 'wk_app_t4Wz9LcXb2', name: 'App', enabled: true, events: 402_118, lastEventAt: new Date(Date.now() - 2100).toISOString(), quarantined: 0, eventsPerMinute: 87 },
  { id: 'till', key: 'wk_till_Q7nB3dHs0a', name: 'Store till', enabled: true, events: 88_031, lastEventAt: new Date(Date.now() - 65_000).toISOString(), quarantined: 0, eventsPerMinute: 6 },
  { id: 'legacy-crm', key: 'wk_crm_e1Yg6UoPk8', name: 'Old CRM export', enabled: false, events: 31_447, lastEventAt: new Date(Date.now() - 41 * 86_400_000).toISOString(), quarantined: 0, eventsPerMinute: 0 },
]

export function makePeople(n: number, now: number): MockPerson[] {
  const next = random(7)
  const pick = <T>(list: readonly T[]) => list[Math.floor(next() * list.length)] as T
  return Array.from({ length: n }, (_, i): MockPerson => {
    const anonymous = i > 5 && next() < 0.22
    const first = i === 0 ? 'Ingrid' : pick(given)
    const last = i === 0 ? 'Halvorsen' : pick(family)
    const [city, country] = i === 0 ? (['Bergen', 'NO'] as const) : pick(places)
    const plainName = (text: string) => text.normalize('NFD').replace(/[^a-z]/gi, '').toLowerCase()
    const email = `${plainName(first)}.${plainName(last)}@example.com`
    const device = makeId('a', next).slice(0, 14)
    const id = makeId('p', next)
    const firstSeen = now - (2 + next() * 400) * 86_400_000
    const timeline: TimelineEvent[] = []
    let at = now - next() * 3_600_000 * (i < 30 ? 0.2 : 30)
    const lastSeen = at
    const counters: Record<string, number> = {}
    const length = i === 0 ? 64 : 6 + Math.floor(next() * 40)
    for (let e = 0; e < length && at > firstSeen; e++) {
      const roll = next()
      const [product, price] = pick(products)
      const base = { id: makeId('e', next).slice(0, 16), timestamp: new Date(at).toISOString(), receivedAt: new Date(at).toISOString() }
      const order = `NB-${48_000 + Math.floor(next() * 900)}`
      const found: Omit<TimelineEvent, 'id' | 'timestamp' | 'receivedAt'> =
        roll < 0.3 ? { type: 'page', event: '', source: 'web', properties: { path: pick(paths), title: 'Northbean' } }
        : roll < 0.55 ? { type: 'track', event: 'Product Viewed', source: pick(['web', 'app']), properties: { name: product, price } }
        : roll < 0.65 ? { type: 'track', event: 'Product Added', source: 'web', properties: { name: product, quantity: 1, price } }
        : roll < 0.75 && !anonymous ? { type: 'track', event: 'Order Completed', source: pick(['web', 'app', 'till']), properties: { orderId: order, revenue: price + 8, currency: 'EUR', products: [{ name: product, price, quantity: 1 }] } }
        : roll < 0.84 ? { type: 'system', event: 'Decision Made', source: 'engine', properties: { placement: pick(placements).id, action: next() < 0.4 ? 'nothing' : pick(actions).id, reason: 'highest expected value' } }
        : roll < 0.9 ? { type: 'track', event: 'Machine Brewed', source: 'app', properties: { drink: pick(['espresso', 'lungo', 'flat white']), cycles: Math.floor(next() * 900) } }
        : roll < 0.94 ? { type: 'track', event: 'Survey Answered', source: 'app', properties: { question: 'How was the delivery?', answer: 1 + Math.floor(next() * 5) } }
        : roll < 0.97 ? { type: 'track', event: 'Search Performed', source: 'web', properties: { query: pick(['decaf', 'grinder', 'oat milk', 'gift card']) } }
        : { type: 'identify', event: '', source: 'web', properties: {} as Fields, traits: { email, city } }
      timeline.push({ ...base, ...found })
      counters[found.event || 'Page view'] = (counters[found.event || 'Page view'] ?? 0) + 1
      at -= next() < 0.6 ? next() * 900_000 : next() * 3.2 * 86_400_000
    }
    const orders = counters['Order Completed'] ?? 0
    const identifiers = anonymous
      ? [{ kind: 'anonymousId', value: device }]
      : [{ kind: 'userId', value: `nb-${10_000 + i}` }, { kind: 'email', value: email }, ...(next() < 0.4 ? [{ kind: 'phone', value: `+47${Math.floor(40_000_000 + next() * 9_000_000)}` }] : []), { kind: 'anonymousId', value: device }]
    const clv = 40 + orders * 63 + next() * 80
    const traits: Fields = anonymous ? {} : { firstName: first, lastName: last, email, city, country, roast: pick(['light', 'medium', 'dark']), machine: pick(['espresso', 'pods', 'filter']), newsletter: next() < 0.6 }
    const person: Person = {
      id,
      name: anonymous ? '' : `${first} ${last}`,
      identifiers,
      traits,
      traitSources: Object.fromEntries(Object.keys(traits).map((key) => [key, { source: pick(['web', 'app', 'till']), at: new Date(lastSeen - next() * 9e9).toISOString() }])),
      computed: anonymous ? {} : { 'orders.365d': orders, 'basket.mean': Math.round((18 + next() * 60) * 100) / 100, 'lastOrder.days': Math.floor(next() * 40) },
      segments: orders >= 3 ? [{ id: 'regulars', degree: 1, since: new Date(lastSeen - 3e9).toISOString() }] : [],
      scores: anonymous ? {} : { clv: { value: clv, low: clv * 0.72, high: clv * 1.35 }, churn: 0.04 + next() * 0.5, intent: next() * 0.9 },
      consent: anonymous ? {} : { analytics: { all: { allowed: true, at: new Date(firstSeen + 1e7).toISOString(), source: 'web' } }, marketing: { email: { allowed: next() < 0.7, at: new Date(firstSeen + 1e7).toISOString(), source: 'web' }, push: { allowed: next() < 0.4, at: new Date(firstSeen + 1e7).toISOString(), source: 'app' } } },
      items: [],
      households: [],
      events: timeline.length,
      counters,
      fragments: [],
      firstSeen: new Date(firstSeen).toISOString(),
      lastSeen: new Date(lastSeen).toISOString(),
      version: timeline.length + 11,
    }
    const fragments = identifiers.filter((identifier) => identifier.kind !== 'phone').map(() => ({ id: makeId('p', next) }))
    person.fragments = fragments.map((fragment) => fragment.id)
    const links: IdentityLink[] = anonymous
      ? []
      : [
          { id: makeId('l', next).slice(0, 14), kind: 'device', evidence: `userId nb-${10_000 + i} and device ${device} were on one event, “Signed In” from web`, bits: 34, at: new Date(firstSeen + 4e6).toISOString(), by: 'web', waterfall: [], a: fragments[0]?.id ?? id, b: id, state: 'counts', identifiers: [{ kind: 'anonymousId', value: device }, { kind: 'userId', value: `nb-${10_000 + i}` }] },
          { id: makeId('l', next).slice(0, 14), kind: 'verified', evidence: `identify by nb-${10_000 + i} carried the e-mail ${email}`, bits: 28, at: new Date(firstSeen + 5e6).toISOString(), by: 'web', waterfall: [], a: fragments[0]?.id ?? id, b: id, state: 'counts', identifiers: [{ kind: 'email', value: email }, { kind: 'userId', value: `nb-${10_000 + i}` }] },
        ]
    return { person, timeline, identity: { person: id, fragments, links }, holdout: i % 20 === 7 }
  })
}

const labels: Record<string, string> = { condition: 'Not eligible', consent: 'No consent', cap: 'Contacted enough', 'quiet hours': 'Quiet hours', holdout: 'Permanent holdout' }
const order = ['condition', 'consent', 'cap', 'quiet hours', 'holdout']

export function decide(who: MockPerson, placement: string, time: number, next: () => number, context: Fields = {}, cause = 'request'): Decision {
  const candidates: Candidate[] = actions.filter((action) => action.placements.includes(placement)).map((action): Candidate => {
    if (action.id === 'free-shipping') return { action: action.id, excluded: 'condition', detail: 'context.cartValue is missing, needed > 20' }
    if (action.id === 'win-back-15') return { action: action.id, excluded: 'condition', detail: `last order ${3 + Math.floor(next() * 40)} days ago, needed more than 120` }
    if (action.id === 'refer-a-friend' && next() < 0.6) return { action: action.id, excluded: 'consent', detail: 'marketing by e-mail was denied on 2026-03-14 (web)' }
    if (action.id === 'tasting-set' && next() < 0.35) return { action: action.id, excluded: 'cap', detail: 'policy default: 3 of 3 per person in 1d' }
    if (action.id === 'bergen-tasting' && who.person.traits.city !== 'Bergen') return { action: action.id, excluded: 'condition', detail: `traits.city is "${String(who.person.traits.city ?? '')}", needed "Bergen"` }
    if (who.holdout) return { action: action.id, excluded: 'holdout', detail: 'policy default keeps 5 % of people untouched' }
    const terms = [
      { name: 'base rate of the action', value: action.stats.mean },
      { name: 'orders in 90 days', value: (next() - 0.35) * 0.3 },
      { name: 'viewed this product', value: (next() - 0.4) * 0.25 },
      { name: 'hour of day', value: (next() - 0.5) * 0.1 },
      { name: 'cost', value: -0.02 },
    ].map((term) => ({ ...term, value: Math.round(term.value * 1000) / 1000 }))
    const mean = terms.reduce((sum, term) => sum + term.value, 0)
    return { action: action.id, mean, score: mean + (next() - 0.5) * 0.12, terms }
  })
  const open = candidates.filter((candidate) => !candidate.excluded)
  const weights = open.map((candidate) => Math.exp((candidate.mean ?? 0) * 9))
  const whole = weights.reduce((sum, weight) => sum + weight, 0) || 1
  open.forEach((candidate, i) => (candidate.propensity = (weights[i] ?? 0) / whole))
  const winner = [...open].sort((a, b) => (b.score ?? 0) - (a.score ?? 0))[0]
  const chosen = winner && (winner.score ?? 0) > 0.08 ? winner : undefined
  const items: Choice[] = chosen
    ? [{ action: chosen.action, kind: actions.find((a) => a.id === chosen.action)?.type ?? 'offer', value: chosen.mean ?? 0, propensity: chosen.propensity ?? 0, reason: 'highest expected value after exploration' }]
    : []
  const capped = candidates.some((candidate) => candidate.excluded === 'cap')
  return {
    decisionId: makeId('d', next), personId: who.person.id, person: who.person.name, placement, time: new Date(time).toISOString(), config: 14, model: 2210, seed: String(Math.floor(next() * 2 ** 48)), cause,
    holdout: who.holdout, items, nothing: chosen ? undefined : who.holdout ? 'in the holdout' : capped ? 'frequency cap' : open.length > 0 ? 'nothing is worth more than silence' : 'no action is eligible',
    candidates, context,
    features: { 'orders.90d': who.person.counters['Order Completed'] ?? 0, 'views.7d': who.person.counters['Product Viewed'] ?? 0, 'hour': new Date(time).getHours(), 'days.since.seen': 0, 'machine': String(who.person.traits.machine ?? 'unknown'), 'country': String(who.person.traits.country ?? '') },
  }
}

export function explain(decision: Decision, name: string, asked?: string): Explanation {
  const out = decision.candidates.filter((candidate) => candidate.excluded)
  const funnel = order
    .map((rule) => {
      const removed = out.filter((candidate) => candidate.excluded === rule)
      return { rule, label: labels[rule] ?? rule, removed: removed.length, actions: removed.map(({ action, detail }) => ({ action, detail: detail ?? '' })) }
    })
    .filter((step) => step.removed > 0)
  funnel.unshift({ rule: 'candidates', label: 'On this placement', removed: 0, actions: [] })
  const item = decision.items[0]
  const who = name || 'This visitor'
  const open = decision.candidates.filter((candidate) => !candidate.excluded).sort((a, b) => (b.score ?? 0) - (a.score ?? 0))
  const sentence = decision.holdout
    ? `${who} is in the permanent holdout, so nothing was shown: this is how the lift of everything else is measured.`
    : item
      ? `${who} got ${item.action}: of ${open.length} eligible actions it had the highest expected value, ${(item.value ?? 0).toFixed(2)}, and was chosen with probability ${Math.round((item.propensity ?? 0) * 100)} %.`
      : `${who} was left in peace: ${decision.nothing}.`
  const second = open[1]
  const whatWouldChange = [
    ...(item && second ? [`${second.action} would have won with a score ${((open[0]?.score ?? 0) - (second.score ?? 0)).toFixed(2)} higher.`] : []),
    ...(out.some((candidate) => candidate.excluded === 'cap') ? ['With the cap of 3 a day not yet reached, tasting-set would have been weighed.'] : []),
    ...(out.some((candidate) => candidate.excluded === 'consent') ? ['With consent to marketing by e-mail, refer-a-friend would have been weighed.'] : []),
    ...(decision.holdout ? ['Outside the holdout, the best action would have been weighed as for anyone else.'] : []),
  ]
  const about = decision.candidates.find((candidate) => candidate.action === asked)
  const when = actions.find((action) => action.id === asked)?.when
  const action = about && {
    action: about.action,
    chosen: item?.action === about.action,
    rule: about.excluded,
    detail: about.detail,
    clauses: when?.split(' && ').map((text) => ({ text, held: about.excluded !== 'condition', decisive: about.excluded === 'condition', found: about.excluded === 'condition' ? (about.detail ?? '') : 'held' })),
  }
  return { sentence, funnel: funnel.map((step, i) => ({ ...step, left: decision.candidates.length - funnel.slice(0, i + 1).reduce((sum, s) => sum + s.removed, 0) })), candidates: decision.candidates, whatWouldChange: asked ? whatWouldChange : [], action, decision }
}

export function makeQuarantine(now: number): QuarantineItem[] {
  const next = random(23)
  const kinds: Omit<QuarantineItem, 'id' | 'time' | 'source'>[] = [
    { event: 'Order Completed', reason: 'properties.revenue must be a number, is the text "64,50"', path: 'properties.revenue', hint: 'The app sends a comma. Fix the value here, or declare `revenue: text` with a cleaning rule.', raw: { type: 'track', event: 'Order Completed', userId: 'nb-10023', properties: { orderId: 'NB-48220', revenue: '64,50', currency: 'EUR' } } },
    { event: 'Product Viewd', reason: 'the tracking plan has no event “Product Viewd”', path: 'event', hint: 'Did you mean “Product Viewed”?', raw: { type: 'track', event: 'Product Viewd', anonymousId: 'a_91kq2m', properties: { name: 'House espresso 1 kg', price: 24 } } },
    { event: 'Machine Brewed', reason: 'the event is 412 KB, the limit is 256 KB', path: '', hint: 'Send the brew curve as an item telemetry instead.', raw: { type: 'track', event: 'Machine Brewed', userId: 'nb-10002', properties: { drink: 'lungo', curve: '… 409 KB …' } } },
  ]
  return Array.from({ length: 41 }, (_, i) => {
    const kind = kinds[i % 7 === 0 ? 2 : i % 3 === 0 ? 1 : 0]!
    return { id: `q_${1000 + i}`, time: new Date(now - i * 640_000 - next() * 300_000).toISOString(), source: i % 3 === 0 ? 'web' : 'app', ...kind }
  })
}

export function makeDeliveries(now: number, people: MockPerson[]): Delivery[] {
  const at = (n: number) => people[n]?.person.id ?? ''
  return [
    { key: 'dl_7f31', status: 'dead', time: new Date(now - 3_600_000).toISOString(), destination: 'webhook:crm-sync', personId: at(2), event: 'Segment Entered', attempts: 12, error: '410 Gone from hooks.example.com' },
    { key: 'dl_7f30', status: 'dead', time: new Date(now - 7_200_000).toISOString(), destination: 'webhook:crm-sync', personId: at(3), event: 'Order Completed', attempts: 12, error: '410 Gone from hooks.example.com' },
    { key: 'dl_8a02', status: 'waiting', time: new Date(now - 90_000).toISOString(), destination: 'webhook:warehouse', personId: at(4), event: 'Order Completed', attempts: 2, error: 'connection refused' },
  ]
}

export const makeDestinations = (now: number): Destination[] => [
  { kind: 'inapp', state: 'working', attempts: 12_904, underWay: 0, retrying: 0, delivered: 12_904, failed: 0, lastSuccess: new Date(now - 2000).toISOString() },
  { kind: 'webhook:crm-sync', state: 'paused', pausedUntil: new Date(now + 42_000).toISOString(), attempts: 4390, underWay: 0, retrying: 1, delivered: 4120, failed: 24, lastError: '410 Gone from hooks.example.com' },
  { kind: 'webhook:warehouse', state: 'failing', attempts: 1003, underWay: 1, retrying: 1, delivered: 982, failed: 3, lastError: 'connection refused', lastSuccess: new Date(now - 400_000).toISOString() },
]

const yamlOf = (action: Action) => `kind: action
id: ${action.id}
type: ${action.type}
placements: [${action.placements.join(', ')}]
when: ${action.when}${action.purpose ? `\npurpose: ${action.purpose}` : ''}
content:
  title: ${action.id.replaceAll('-', ' ')}
  url: /${action.id}
goals:
  - {event: Order Completed, within: 7d, value: properties.revenue}
  - {event: Decision Clicked, within: 1h, value: 0.1}
cost: 0.02
`

export function makeDocuments(now: number): ConfigDocument[] {
  const doc = (kind: string, id: string, yaml: string, version: number): ConfigDocument => ({ kind, id, yaml, version, author: version > 10 ? 'marta' : 'file', updatedAt: new Date(now - (15 - version) * 86_400_000).toISOString(), demo: true })
  return [
    ...sources.map((s) => doc('source', s.id, `kind: source\nid: ${s.id}\nname: ${s.name}\nkey: ${s.key}\n${s.enabled ? '' : 'enabled: false\n'}`, 1)),
    ...placements.map((p) => doc('placement', p.id, `kind: placement\nid: ${p.id}\nslots: ${p.slots}\n`, 1)),
    ...actions.map((a) => doc('action', a.id, yamlOf(a), a.version ?? 1)),
    doc('policy', 'default', 'kind: policy\nid: default\nholdout: 0.05\ncaps:\n  - {scope: person, max: 3, per: 1d}\nquietHours: {from: "21:00", to: "08:00", zone: person}\n', 12),
    doc('schema', 'order-completed', 'kind: schema\nid: order-completed\nevent: Order Completed\nproperties:\n  orderId: {type: text, required: true}\n  revenue: {type: number, required: true}\n  currency: {type: text}\n', 4),
    doc('webhook', 'crm-sync', 'kind: webhook\nid: crm-sync\nurl: https://hooks.example.com/rapport\nevents: [Order Completed, Segment Entered]\nsecret: ${CRM_SECRET}\n', 7),
  ]
}

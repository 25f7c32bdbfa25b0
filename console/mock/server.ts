// The API of a rapport server, as far as the console uses it, over a small
// world in memory. For development and tests only; it is not in the build.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { extname, join, normalize } from 'node:path'
import type { Config, ConfigError, ConfigPlan, ConfigVersion, Decision, Demo, Fields, Json, Overview, Role, StreamMessage } from '../src/api/types'
import { lineDiff } from '../src/format/diff'
import { tone } from '../src/format/event'
import { actions, decide, explain, makeDeliveries, makeDestinations, makeDocuments, makeId, makePeople, makeQuarantine, placements, random, sources, type MockPerson } from './world'

import { insights, insightStream, learning, preview, recalled, sending } from './outreach'
import { makeThings, segmentDocuments } from './things'

export interface MockOptions {
  token?: string
  role?: Role
  /** Starts with nobody known, as a fresh server does. */
  empty?: boolean
  people?: number
  /** Milliseconds between live moments; 0 keeps quiet. */
  every?: number
  /** The built console to serve; none answers the API alone. */
  dist?: string
}

export interface Mock {
  server: Server
  /** Publishes one live moment. */
  emit: (message: Partial<StreamMessage>) => void
  gap: () => void
  /** Ends every session, as an expiry would. */
  expire: () => void
  /** Cuts every stream, as a restart would. */
  cut: () => void
  close: () => Promise<void>
}

interface Call {
  method: string
  path: string[]
  query: URLSearchParams
  body: Record<string, Json>
}

class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
  ) {
    super(detail)
  }
}

export const csp =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

export function createMock(options: MockOptions = {}): Mock {
  const token = options.token ?? 'mock'
  const start = Date.now()
  const next = random(99)
  const pick = <T>(list: readonly T[]) => list[Math.floor(next() * list.length)] as T
  let people: MockPerson[] = options.empty ? [] : makePeople(options.people ?? 420, start)
  let decisions: Decision[] = people.flatMap((who, i) => (i % 2 ? [] : [decide(who, pick(placements).id, start - i * 41_000 - 9000, next)])).sort((a, b) => String(b.time).localeCompare(String(a.time)))
  let quarantine = options.empty ? [] : makeQuarantine(start)
  let deliveries = options.empty ? [] : makeDeliveries(start, people)
  const config: Config = { version: 14, documents: makeDocuments(start) }
  if (!options.empty) for (const doc of segmentDocuments) config.documents.push({ ...doc, version: 14, author: 'marta', updatedAt: new Date(start - 86_400_000).toISOString() })
  const things = makeThings(() => people, start, options.empty ?? false, () => config.documents)
  const history: (ConfigVersion & { documents: Config['documents'] })[] = [
    { version: 14, author: 'marta', time: new Date(start - 86_400_000).toISOString(), note: 'Raise the tasting set for regulars', changed: [{ kind: 'action', id: 'tasting-set' }], deleted: [], documents: structuredClone(config.documents) },
    { version: 13, author: 'marta', time: new Date(start - 2 * 86_400_000).toISOString(), note: '', changed: [{ kind: 'action', id: 'bergen-tasting' }], deleted: [], documents: structuredClone(config.documents) },
    { version: 12, author: 'file', time: new Date(start - 3 * 86_400_000).toISOString(), note: 'config folder', changed: [{ kind: 'policy', id: 'default' }], deleted: [], documents: structuredClone(config.documents) },
  ]
  const sessions = new Set<string>()
  const tokens = [
    { id: 't_1', name: 'bootstrap', role: 'admin' as Role, createdAt: new Date(start - 9e9).toISOString(), createdBy: 'system' },
    { id: 't_2', name: 'marta', role: 'marketer' as Role, createdAt: new Date(start - 6e9).toISOString(), createdBy: 'bootstrap', expiresAt: new Date(start + 6e9).toISOString() },
    { id: 't_3', name: 'ci', role: 'viewer' as Role, createdAt: new Date(start - 4e9).toISOString(), createdBy: 'bootstrap', revokedAt: new Date(start - 1e9).toISOString() },
  ]
  const audit = [
    { time: new Date(start - 3e5).toISOString(), author: 'marta', action: 'config.apply', object: 'action tasting-set', detail: 'version 14', request: 'rq_81fa20' },
    { time: new Date(start - 9e5).toISOString(), author: 'bootstrap', action: 'token.create', object: 'marta', request: 'rq_7c0291' },
    { time: new Date(start - 4e6).toISOString(), author: 'marta', action: 'people.unmerge', object: 'p_08x…', request: 'rq_6b1d03' },
    { time: new Date(start - 8e6).toISOString(), author: 'ci', action: 'config.apply', object: 'policy default', detail: 'refused: denied', request: 'rq_5aa912' },
  ]
  const noDemo: Demo = { running: false, phase: 'absent', done: 0, total: 0, rate: 0, secondsLeft: 0, speed: 1 }
  let demo: Demo = options.empty ? noDemo : { running: true, phase: 'live', done: 1, total: 1, rate: 0, secondsLeft: 0, speed: 1 }
  let firstEventAt: string | null = options.empty ? null : new Date(start - 9e9).toISOString()
  let events = options.empty ? 0 : 1_502_800
  let decided = options.empty ? 0 : 100_387

  // The live feed, with enough kept to resume.
  const watchers = new Set<{ kinds: string[]; out: ServerResponse }>()
  const kept: (StreamMessage & { id: number })[] = []
  let nextId = 1000
  const write = (out: ServerResponse, message: StreamMessage) => out.write(`id: ${message.id}\ndata: ${JSON.stringify(message)}\n\n`)
  const emit = (partial: Partial<StreamMessage>) => {
    const message = { kind: 'event', time: new Date().toISOString(), personId: people[0]?.person.id ?? 'p_00000000000000000000000000', person: '', name: 'Page view', detail: '', source: 'web', ...partial, id: nextId++ } as StreamMessage & { id: number }
    if (message.kind === 'event') {
      events++
      firstEventAt ??= new Date().toISOString()
    }
    kept.push(message)
    if (kept.length > 512) kept.shift()
    for (const watcher of watchers) if (watcher.kinds.includes(message.kind)) write(watcher.out, message)
  }
  const tick = () => {
    const who = people[Math.floor(next() ** 2 * Math.min(60, people.length))]
    if (!who) return
    if (next() < 0.25) {
      const decision = decide(who, pick(placements).id, Date.now(), next)
      decisions = [decision, ...decisions].slice(0, 2000)
      decided++
      emit({ kind: 'decision', personId: who.person.id, person: who.person.name || masked(who), name: 'Decision', detail: decision.items[0] ? `${decision.placement}: ${decision.items[0].action}` : `${decision.placement}: nothing, ${decision.nothing}`, source: 'engine', millis: 0.4 + next() * 3, decisionId: decision.decisionId })
      return
    }
    if (next() < 0.06) return emit({ kind: 'delivery', personId: who.person.id, person: who.person.name || masked(who), name: 'Delivered', detail: 'crm-sync · 200 in 41 ms', source: 'webhook' })
    const event = pick(who.timeline.filter((e) => e.type !== 'system').slice(0, 20)) ?? who.timeline[0]
    if (!event) return
    const p = event.properties ?? {}
    const detail = typeof p.revenue === 'number' ? `#${String(p.orderId)} · €${p.revenue.toFixed(2)}` : String(p.name ?? p.path ?? p.query ?? p.answer ?? p.drink ?? '')
    const moment = { ...event, id: makeId('e', next).slice(0, 16), timestamp: new Date().toISOString() }
    who.timeline.unshift(moment)
    who.person.lastSeen = moment.timestamp
    emit({ personId: who.person.id, person: who.person.name || masked(who), name: event.event || (event.type === 'page' ? 'Page view' : 'Identified'), detail, source: event.source ?? 'web', millis: tone(event.event) === 'order' ? 1.1 : 0.3 + next() })
  }
  const ticking = options.every === 0 ? undefined : setInterval(() => people.length > 0 && tick(), options.every ?? 420)
  const beating = setInterval(() => watchers.forEach(({ out }) => out.write(': beat\n\n')), 5000)
  if (people.length > 0) for (let i = 0; i < 30; i++) tick()

  const find = (ref: string): MockPerson => {
    const colon = ref.indexOf(':')
    const who = people.find(({ person }) => (colon > 0 ? person.identifiers.some((i) => i.kind === ref.slice(0, colon) && i.value === ref.slice(colon + 1)) : person.id === ref))
    if (!who) throw new Refusal(404, 'Not found', `there is no person ${ref}`)
    return who
  }
  const need = (found: unknown, what: string) => {
    if (!found) throw new Refusal(404, 'Not found', `there is no ${what}`)
  }

  const overview = (): Overview => ({
    clock: new Date().toISOString(),
    people: people.length > 0 ? people.length + 18_342 : firstEventAt ? 1 : 0,
    events: { total: events, perSecond: people.length > 0 ? 4.2 : 0, lastHour: people.length > 0 ? Array.from({ length: 60 }, (_, i) => Math.round(210 + 70 * Math.sin(i / 9) + 14 * Math.sin(i * 1.3) + 9 * Math.sin(i * 2.9))) : Array.from({ length: 60 }, () => 0) },
    decisions: { total: decided, perSecond: people.length > 0 ? 1.1 : 0, p50Millis: people.length > 0 ? 0.7 : 0, p99Millis: people.length > 0 ? 3.7 : 0, nothingShare: people.length > 0 ? 0.41 : 0 },
    lift: people.length > 0 ? { value: 0.42, low: 0.27, high: 0.57, treated: 17_810, holdout: 921, unit: 'value per person' } : (null as never), // the document says that it is there
    holdoutShare: 0.05,
    quarantine: { open: quarantine.length },
    deadLetters: deliveries.filter((d) => d.status === 'dead').length,
    needsYou: people.length === 0 ? [] : [
      ...(quarantine.length ? [{ kind: 'quarantine', title: `${quarantine.length} events in quarantine`, detail: 'Most: “Order Completed” from the app, revenue is text', href: '/setup/quarantine' }] : []),
      ...(deliveries.some((d) => d.status === 'dead') ? [{ kind: 'deadLetters', title: '2 deliveries gave up', detail: 'crm-sync answers 410 Gone since 10:20', href: '/setup/deliveries' }] : []),
      { kind: 'source', title: 'Store till has been quiet', detail: 'No event for a minute; usually 6 a minute', href: '/setup/sources?id=till' },
    ],
    demo: demo.running,
    firstEventAt,
    version: '0.1.0',
    uptimeSeconds: 93_600 + (Date.now() - start) / 1000,
    currency: 'EUR',
  })

  const check = (yaml: string): ConfigError[] => {
    const errors: ConfigError[] = []
    const known = ['kind', 'id', 'type', 'placements', 'when', 'purpose', 'content', 'goals', 'cost', 'slots', 'key', 'name', 'enabled', 'holdout', 'caps', 'quietHours', 'event', 'properties', 'url', 'events', 'secret']
    yaml.split('\n').forEach((line, i) => {
      const key = /^([A-Za-z]\w*)\s*:/.exec(line)?.[1]
      if (key && !known.includes(key)) errors.push({ line: i + 1, column: 1, message: `unknown key "${key}"`, hint: `did you mean "${known.find((k) => k[0] === key[0]) ?? 'when'}"?` })
      if (line.includes('\t')) errors.push({ line: i + 1, column: line.indexOf('\t') + 1, message: 'a tab cannot indent YAML', hint: 'use two spaces' })
    })
    if (!/^kind:/m.test(yaml)) errors.push({ line: 1, column: 1, message: 'a document needs kind', hint: 'begin with kind: action' })
    if (!/^id:/m.test(yaml)) errors.push({ line: 1, column: 1, message: 'a document needs id', hint: 'add id: under kind' })
    return errors
  }
  const documentsOf = (yaml: string) => yaml.split(/^---\s*$/m).filter((text) => text.trim()).map((text) => ({ kind: /^kind:\s*(\S+)/m.exec(text)?.[1] ?? '', id: /^id:\s*(\S+)/m.exec(text)?.[1] ?? '', yaml: text.replace(/^\n/, '') }))
  const plan = (yaml: string): ConfigPlan => {
    const errors = check(yaml)
    if (errors.length) return { version: config.version, changes: [], errors }
    return {
      version: config.version,
      changes: documentsOf(yaml).flatMap((doc) => {
        const before = config.documents.find((d) => d.kind === doc.kind && d.id === doc.id)
        if (before?.yaml.trim() === doc.yaml.trim()) return []
        return [{ kind: doc.kind, id: doc.id, op: before ? ('changed' as const) : ('created' as const), fields: [], diff: diffText(before?.yaml ?? '', doc.yaml) }]
      }),
      errors,
    }
  }

  const answer = (call: Call): unknown => {
    const [room = '', a = '', b = '', c = ''] = call.path
    const text = (name: string) => String(call.body[name] ?? '')
    const limit = Number(call.query.get('limit') ?? 50)
    switch (`${call.method} ${room}`) {
      case 'GET overview':
        return overview()
      case 'GET people': {
        if (a) {
          const who = find(a)
          if (!b) return who.person
          if (b === 'identity') return who.identity
          if (b === 'scores') return things.scores(who)
          if (b === 'sending') return sending(who)
          if (b === 'export') return { person: who.person, events: who.timeline }
          if (b === 'timeline') {
            const all = who.timeline.filter((e) => e.type !== 'system' || call.query.get('include') === 'system')
            const from = call.query.get('before') ? all.findIndex((e) => e.id === call.query.get('before')) + 1 : 0
            const page = all.slice(from, from + limit)
            return { events: page, next: from + limit < all.length ? page[page.length - 1]?.id : undefined }
          }
        }
        const q = (call.query.get('q') ?? '').toLowerCase()
        const found = people.filter(({ person }) => !q || person.id === q || person.identifiers.some((i) => i.value.toLowerCase() === q || `${i.kind}:${i.value}`.toLowerCase() === q)).sort((x, y) => String(y.person.lastSeen).localeCompare(String(x.person.lastSeen)))
        const from = Number(call.query.get('after') || 0)
        return {
          total: people.length,
          next: from + limit < found.length ? String(from + limit) : undefined,
          people: found.slice(from, from + limit).map(({ person }) => ({ id: person.id, name: person.name, identifiers: person.identifiers, firstSeen: person.firstSeen, lastSeen: person.lastSeen, events: Object.values(person.counters).reduce((s, n) => s + n, 0), country: person.traits.country })),
        }
      }
      case 'POST people': {
        const who = find(a)
        for (const link of who.identity.links ?? []) if (link.id === text('link')) link.withdrawn = { at: new Date().toISOString(), by: 'bootstrap' }
        return undefined
      }
      case 'DELETE people': {
        const who = find(a)
        people = people.filter((other) => other !== who)
        return { id: 'j_' + who.person.id.slice(2, 10), kind: 'erase', state: 'running', done: 0, total: 1 }
      }
      case 'GET segments': {
        if (!a) return { segments: things.segments() }
        need(things.segment(a), `segment ${a}`)
        if (b === 'people') return things.members(a, limit)
        if (b === 'history') return things.history(a)
        if (b === 'overlap') return things.overlap(a, c)
        return things.segment(a)
      }
      case 'POST segments': {
        if (!/^[a-z!(].*[")\w]$/.test(text('when'))) throw new Refusal(400, 'Bad Request', 'when: the condition ends too early')
        return things.preview(text('when'))
      }
      case 'GET items': {
        if (!a) return things.items(call.query)
        need(things.item(a), `item ${a}`)
        if (b === 'timeline') return things.timeline()
        if (b === 'series') return things.series(call.query.get('reading') ?? '', call.query.get('step') ?? 'raw')
        return things.item(a)
      }
      case 'POST items':
        return things.command(a, text('name'))
      case 'GET recalls':
        if (a && a !== 'affected') {
          const recall = things.recalls.find((one) => one.id === a)
          need(recall, `recall ${a}`)
          const { status, page } = recalled(recall!, people)
          return b === 'people' ? page(call.query.get('state')) : status
        }
        return a === 'affected' ? things.affected(call.query.get('of') ?? '') : { recalls: things.recalls }
      case 'POST recalls':
        if (a) return b === 'remind' ? things.recalls.find((one) => one.id === a) : undefined
        return things.recall(text('of'), text('reason'))
      case 'GET learning':
        return learning(Date.now())
      case 'GET insights':
        return a === 'stream' ? insightStream(Date.now()) : insights(call.query.get('event') ?? '')
      case 'GET channels':
        return { channels: [], suppressed: 0 }
      case 'GET suppressions':
        return { suppressions: [], total: 0 }
      case 'POST actions':
        return preview(a, find((call.body.person as Record<string, string> | undefined)?.id ?? ''))
      case 'GET models':
        return { models: things.models }
      case 'POST models':
        return things.models[0]
      case 'GET capture':
        return things.captures
      case 'GET jobs':
        return { id: a, kind: 'erase', state: 'done', done: 1, total: 1 }
      case 'GET decisions': {
        if (a) {
          const decision = decisions.find((d) => d.decisionId === a)
          need(decision, `decision ${a}`)
          return b === 'explain' ? explain(decision!, decision!.person ?? '') : decision
        }
        const { placement, action, outcome, person, before } = Object.fromEntries(call.query)
        const found = decisions.filter((d) => (!placement || d.placement === placement) && (!person || d.personId === (person.startsWith('p_') ? person : find(person).person.id)) && (!action || d.items.some((i) => i.action === action)) && (!outcome || outcome === (d.holdout ? 'holdout' : d.items.length === 0 ? 'nothing' : 'chosen')))
        const from = Number(before || 0)
        return { decisions: found.slice(from, from + limit).map(({ candidates: _c, features: _f, context: _x, ...rest }) => rest), next: from + limit < found.length ? String(from + limit) : undefined }
      }
      case 'POST explain': {
        const ref = (call.body.person ?? {}) as Record<string, string>
        const who = find(ref.id ?? '')
        need(placements.some((p) => p.id === text('placement')), `placement ${text('placement')}`)
        return explain(decide(who, text('placement'), Date.now(), random(who.person.version + text('placement').length), (call.body.context ?? {}) as Fields, 'explain'), who.person.name, text('action') || undefined)
      }
      case 'GET actions':
        return { actions: options.empty ? [] : actions }
      case 'GET placements':
        return { placements: options.empty ? [] : placements }
      case 'GET sources':
        return { sources: options.empty ? [{ ...sources[0], events: 0, eventsPerMinute: 0, lastEventAt: null }] : sources.map((s) => (s.id === 'web' ? { ...s, lastEventAt: new Date().toISOString() } : s)) }
      case 'GET quarantine': {
        const found = quarantine.filter((item) => (!call.query.get('source') || item.source === call.query.get('source')) && (!call.query.get('event') || item.event === call.query.get('event')))
        return { items: found.slice(0, limit), total: found.length }
      }
      case 'POST quarantine': {
        if (a === 'replay') return { replayed: 0, refused: quarantine.length, more: false }
        const item = quarantine.find((q) => q.id === a)
        need(item, `quarantined event ${a}`)
        const raw = JSON.stringify(call.body.raw ?? item!.raw)
        if (raw.includes('64,50') || raw.includes('Viewd')) throw new Refusal(400, 'Still not valid', `${item!.path}: ${item!.reason}`)
        quarantine = quarantine.filter((q) => q.id !== a)
        return { ok: true }
      }
      case 'DELETE quarantine':
        quarantine = quarantine.filter((q) => q.id !== a)
        return undefined
      case 'GET deliveries':
        return { deliveries: deliveries.filter((d) => d.status === (call.query.get('status') ?? 'dead')), destinations: options.empty ? [] : makeDestinations(Date.now()) }
      case 'POST deliveries':
        deliveries = deliveries.filter((d) => d.key !== a)
        return { ok: true }
      case 'GET tokens':
        return { tokens }
      case 'POST tokens': {
        const made = { id: `t_${tokens.length + 1}`, name: text('name'), role: text('role') as Role, createdAt: new Date().toISOString(), createdBy: 'bootstrap' }
        tokens.push(made)
        return { ...made, secret: 'rpt_' + makeId('x', next).slice(2) }
      }
      case 'DELETE tokens':
        tokens.splice(tokens.findIndex((t) => t.id === a), 1)
        return undefined
      case 'GET audit':
        return { entries: audit }
      case 'GET system':
        return { version: '0.1.0', uptimeSeconds: 93_600 + (Date.now() - start) / 1000, ready: true, partitions: Array.from({ length: 16 }, (_, id) => ({ id, offset: 93_210 + id * 37 + events, end: 93_210 + id * 37 + events + (id === 5 ? 3 : 0), lag: id === 5 ? 3 : 0, entities: 1150 + ((id * 37) % 80) })), log: { bytes: 1_204_000_000, segments: 19 }, dedup: { windowSeconds: 604_800, duplicates: 2214 }, memoryBytes: 412_000_000, goVersion: 'go1.26.0' }
      case 'GET demo':
        return demo
      case 'POST demo': {
        demo = { running: true, phase: 'history', done: 0, total: 1_500_000, rate: 600_000, secondsLeft: 40, speed: 1 }
        const filling = setInterval(() => {
          demo.done = Math.min(demo.total, demo.done + 300_000)
          if (demo.done !== demo.total) return
          clearInterval(filling)
          people = makePeople(120, Date.now())
          demo.phase = 'live'
          firstEventAt = new Date().toISOString()
        }, 350)
        return demo
      }
      case 'PUT demo':
        demo.speed = Number(call.body.speed)
        return demo
      case 'DELETE demo':
        demo = noDemo
        return undefined
      case 'GET config': {
        if (!a) return config
        if (a === 'proposals') return { proposals: [] }
        if (a === 'history' && b) return { version: Number(b), changes: [{ kind: 'action', id: 'tasting-set', op: 'changed', diff: '  type: offer\n- cost: 0.05\n+ cost: 0.02\n' }], errors: [] }
        if (a === 'history') return { versions: history.map(({ documents: _d, ...version }) => version) }
        if (a === 'export') return { version: config.version, files: { 'all.yaml': config.documents.map((doc) => doc.yaml).join('---\n') } }
        if (a === 'kinds')
          return {
            kinds: [
              { name: 'action', doc: 'Something that may be said or done for one person.', fields: [{ name: 'type', type: 'text', required: true, enum: ['offer', 'message', 'recommendation', 'question', 'command', 'content'], doc: 'What it does for a person.' }, { name: 'placements', type: 'list', required: true, ref: 'placement', doc: 'Where it may appear.' }, { name: 'when', type: 'condition', doc: 'Who it is for, in the condition language.' }, { name: 'purpose', type: 'text', doc: 'The consent it needs; none on one’s own site.' }, { name: 'goals', type: 'list', doc: 'What counts as success, within which time, worth what.' }, { name: 'cost', type: 'number', default: 0, doc: 'What showing it once costs.' }] },
              { name: 'placement', doc: 'A place where an action may appear.', fields: [{ name: 'slots', type: 'number', default: 1, doc: 'How many actions fit.' }] },
              { name: 'policy', doc: 'Caps, quiet hours and the holdout.', fields: [{ name: 'holdout', type: 'number', default: 0.05, min: '0', max: '0.5', doc: 'Share of people left in peace, to measure lift.' }] },
              { name: 'schema', doc: 'What an event must look like.', fields: [{ name: 'event', type: 'text', required: true }] },
              { name: 'source', doc: 'A door for events, with its key.', fields: [{ name: 'key', type: 'text', required: true, doc: 'The write key.' }] },
              { name: 'webhook', doc: 'Where events and decisions are sent.', fields: [{ name: 'url', type: 'text', required: true }, { name: 'secret', type: 'text', secret: true, doc: 'Signs the body.' }] },
            ],
          }
        const doc = config.documents.find((d) => d.kind === a && d.id === b)
        need(doc, `${a} ${b}`)
        if (c === 'history') return { versions: [{ version: doc!.version, author: doc!.author, time: doc!.updatedAt, yaml: doc!.yaml, note: '' }, { version: 1, author: 'file', time: new Date(start - 9e9).toISOString(), yaml: doc!.yaml.replace('within: 7d', 'within: 14d').replace('cost: 0.02', 'cost: 0.05'), note: 'first version' }] }
        return doc
      }
      case 'POST config': {
        if (a === 'check') return { errors: check(text('yaml')) }
        if (a === 'plan') return plan(text('yaml'))
        if (a === 'undo' || a === 'apply') {
          const planned: ConfigPlan = a === 'apply' && text('yaml') ? plan(text('yaml')) : { version: config.version, changes: a === 'undo' ? [{ op: 'changed', kind: 'action', id: 'tasting-set', fields: [], diff: '' }] : [], errors: [] }
          if (planned.errors?.length) throw new Refusal(400, 'The config has errors', planned.errors[0]!.message)
          if (a === 'apply' && Number(call.body.expectVersion) !== config.version) throw new Refusal(409, 'The config has moved on', `somebody applied version ${config.version} since you began from ${Number(call.body.expectVersion)}`)
          if (a === 'undo') config.documents = structuredClone(history[1]?.documents ?? config.documents)
          config.version++
          for (const doc of a === 'apply' ? documentsOf(text('yaml')) : []) {
            const after = { ...doc, version: config.version, author: 'bootstrap', updatedAt: new Date().toISOString() }
            config.documents = [...config.documents.filter((d) => d.kind !== doc.kind || d.id !== doc.id), after]
          }
          const drop = (call.body.delete ?? []) as { kind: string; id: string }[]
          config.documents = config.documents.filter((d) => !drop.some((ref) => ref.kind === d.kind && ref.id === d.id))
          history.unshift({ version: config.version, author: 'bootstrap', time: new Date().toISOString(), note: text('note'), undoes: a === 'undo' ? Number(call.body.version) : undefined, changed: planned.changes.map(({ kind, id }) => ({ kind, id })), deleted: drop, documents: structuredClone(config.documents) })
          return { version: config.version }
        }
      }
    }
    throw new Refusal(404, 'Not found', `there is no operation ${call.method} /v1/${call.path.join('/')}`)
  }

  const serve = async (request: IncomingMessage, out: ServerResponse) => {
    const url = new URL(request.url ?? '/', 'http://mock')
    if (!url.pathname.startsWith('/v1/') && url.pathname !== '/epcis/capture') return sendFile(options.dist, url.pathname, out)
    const requestId = 'rq_' + makeId('r', next).slice(2, 12)
    out.setHeader('X-Request-Id', requestId)
    out.setHeader('Cache-Control', 'no-store')
    const json = (status: number, body: unknown) => {
      out.writeHead(status, { 'Content-Type': status < 400 ? 'application/json' : 'application/problem+json' })
      out.end(body === undefined ? '' : JSON.stringify(body))
    }
    const refuse = (status: number, title: string, detail: string) => json(status, { type: 'about:blank', title, status, detail, requestId })
    const method = request.method ?? 'GET'
    const path = url.pathname.replace(/^\/(v1|epcis)\//, '').split('/').map(decodeURIComponent)
    const body = method === 'POST' || method === 'PUT' ? await readBody(request) : {}
    const cookie = /rapport_session=(\w+)/.exec(request.headers.cookie ?? '')?.[1] ?? ''

    // The door for events stands open to write keys, as on a real server.
    if (method === 'POST' && ['track', 'page', 'identify', 'batch'].includes(path[0] ?? '')) {
      receive(body)
      return json(200, { success: true })
    }
    if (path[0] === 'session') {
      if (method === 'POST') {
        if (body.token !== token) return refuse(401, 'Unauthenticated', 'this token is not known')
        const id = makeId('s', next).slice(2)
        sessions.add(id)
        out.setHeader('Set-Cookie', `rapport_session=${id}; HttpOnly; SameSite=Strict; Path=/`)
        return json(200, { name: 'bootstrap', role: options.role ?? 'admin', expires: new Date(Date.now() + 43_200_000).toISOString() })
      }
      if (method === 'DELETE') {
        sessions.delete(cookie)
        return json(204, undefined)
      }
    }
    if (!sessions.has(cookie)) return refuse(401, 'Unauthenticated', 'nobody is signed in')
    if (path[0] === 'session') return json(200, { name: 'bootstrap', role: options.role ?? 'admin', expires: new Date(Date.now() + 43_200_000).toISOString() })
    if (method !== 'GET' && request.headers['x-rapport-console'] !== '1') return refuse(403, 'Denied', 'the header X-Rapport-Console is missing')
    if (path[0] === 'stream') {
      out.writeHead(200, { 'Content-Type': 'text/event-stream' })
      const watcher = { kinds: (url.searchParams.get('kinds') ?? '').split(','), out }
      watchers.add(watcher)
      const last = Number(request.headers['last-event-id'] ?? 0)
      for (const message of kept.filter((m) => (last ? m.id > last : true)).slice(-30)) write(out, message)
      out.write(': hello\n\n')
      request.on('close', () => watchers.delete(watcher))
      return
    }
    try {
      const result = answer({ method, path, query: url.searchParams, body })
      if (typeof result === 'string') {
        out.writeHead(200, { 'Content-Type': 'application/yaml' })
        out.end(result)
      } else json(result === undefined ? 204 : method === 'DELETE' && path[0] === 'people' ? 202 : 200, result)
    } catch (error) {
      if (error instanceof Refusal) return refuse(error.status, error.title, error.detail)
      throw error
    }
  }

  const receive = (body: Record<string, Json>) => {
    const ref = String(body.userId ?? body.anonymousId ?? 'someone')
    let who = people.find(({ person }) => person.identifiers.some((i) => i.value === ref))
    if (!who) {
      who = makePeople(1, Date.now())[0]!
      const id = makeId('p', next)
      who.person = { ...who.person, id, name: ref, identifiers: [{ kind: body.userId ? 'userId' : 'anonymousId', value: ref }], traits: {}, traitSources: {}, computed: {}, scores: {}, segments: [], consent: {}, counters: {}, firstSeen: new Date().toISOString() }
      who.identity = { person: id, fragments: [{ id }], links: [] }
      who.timeline = []
      people.unshift(who)
    }
    const name = String(body.event ?? 'Page view')
    who.timeline.unshift({ id: makeId('e', next).slice(0, 16), type: 'track', event: name, timestamp: new Date().toISOString(), receivedAt: new Date().toISOString(), source: 'web', properties: (body.properties ?? {}) as Fields })
    who.person.lastSeen = new Date().toISOString()
    who.person.counters[name] = (who.person.counters[name] ?? 0) + 1
    emit({ personId: who.person.id, person: who.person.name, name, detail: String((body.properties as Fields | undefined)?.name ?? ''), source: 'web' })
  }

  const server = createServer((request, out) => {
    serve(request, out).catch((error: unknown) => {
      out.writeHead(500)
      out.end(String(error))
    })
  })
  return {
    server,
    emit,
    gap: () => watchers.forEach(({ out }) => out.write('event: gap\ndata: {}\n\n')),
    expire: () => sessions.clear(),
    cut: () => watchers.forEach(({ out }) => out.destroy()),
    close: () => {
      clearInterval(ticking)
      clearInterval(beating)
      watchers.forEach(({ out }) => out.destroy())
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

const diffText = (before: string, after: string) => lineDiff(before, after).map((line) => `${line.kind} ${line.text}\n`).join('')

const masked = (who: MockPerson) => {
  const id = who.person.identifiers[0]?.value ?? ''
  return id ? `${id.slice(0, 4)}…${id.slice(-2)}` : ''
}

async function readBody(request: IncomingMessage): Promise<Record<string, Json>> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  try {
    return JSON.parse(Buffer.concat(parts).toString() || '{}') as Record<string, Json>
  } catch {
    return {}
  }
}

const types: Record<string, string> = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.woff2': 'font/woff2', '.json': 'application/json' }

function sendFile(dist: string | undefined, path: string, out: ServerResponse) {
  if (!dist) {
    out.writeHead(404)
    return out.end()
  }
  let file = join(dist, normalize(path))
  if (!existsSync(file) || statSync(file).isDirectory()) file = join(dist, 'index.html')
  out.writeHead(200, { 'Content-Type': types[extname(file)] ?? 'application/octet-stream', 'Content-Security-Policy': csp })
  out.end(readFileSync(file))
}

// How the rows of a file become events.
import type { Fields, Json } from '@/api/types'

export type Role = 'userId' | 'anonymousId' | 'email' | 'phone' | 'timestamp' | 'event' | 'id' | 'value' | 'skip'

export interface Mapping {
  /** Rows are people (identify) or things they did (track). */
  rows: 'people' | 'events'
  /** What the rows are called when no column says it. */
  event: string
  columns: { name: string; role: Role; as: string }[]
  /** Part of the ids of the events: the same file imported twice adds nothing. */
  file: string
}

const usual: [Role, RegExp][] = [
  ['email', /^(e-?mail|email.?address|mail)$/i],
  ['phone', /^(phone|mobile|tel(ephone)?|phone.?number|msisdn)$/i],
  ['userId', /^(user.?id|customer.?(id|no|number)|client.?id|member.?id|account.?id|uid)$/i],
  ['anonymousId', /^(anonymous.?id|device.?id|cookie)$/i],
  ['timestamp', /^(time|timestamp|date|datetime|created.?at|ordered.?at|order.?date|purchase.?date|bought|happened.?at)$/i],
  ['event', /^(event|event.?name|action)$/i],
  ['id', /^(order.?(id|no|number)|invoice.?(id|no|number)|message.?id|transaction.?id)$/i],
]

/** A first guess from the names of the columns. */
export function guess(header: string[], file: string): Mapping {
  const taken = new Set<Role>()
  const columns = header.map((name) => {
    const role = usual.find(([role, pattern]) => !taken.has(role) && pattern.test(name.trim()))?.[0] ?? 'value'
    if (role !== 'value') taken.add(role)
    return { name, role, as: key(name) }
  })
  const events = taken.has('timestamp') || taken.has('event')
  return { rows: events ? 'events' : 'people', event: events && !taken.has('event') ? 'Order Completed' : '', columns, file }
}

const key = (name: string) => name.trim().replace(/\s+(\S)/g, (_, c: string) => c.toUpperCase())

/** What keeps the mapping from working, if anything. */
export function trouble(mapping: Mapping): string | undefined {
  const roles = mapping.columns.map((c) => c.role)
  if (!roles.some((role) => ['userId', 'email', 'phone', 'anonymousId'].includes(role))) return 'Say which column tells whose row it is: a user id, an e-mail, a phone number or a device.'
  for (const role of ['userId', 'email', 'phone', 'anonymousId', 'timestamp', 'event', 'id'] as const) if (roles.filter((r) => r === role).length > 1) return `Two columns cannot both be the ${role}.`
  if (mapping.rows === 'events' && !roles.includes('event') && !mapping.event.trim()) return 'Say what the rows are called, such as Order Completed.'
  if (mapping.rows === 'events' && !roles.includes('timestamp')) return 'Say which column tells when it happened.'
  return undefined
}

export class BadRow extends Error {}

/** One row as an event of the collection API. It throws a BadRow that says why it cannot be one. */
export function eventOf(mapping: Mapping, cells: string[], line: number, now: Date): Fields {
  if (cells.length !== mapping.columns.length) throw new BadRow(`has ${cells.length} columns instead of ${mapping.columns.length}`)
  const values: Fields = {}
  const out: Fields = { type: mapping.rows === 'people' ? 'identify' : 'track' }
  const contact: Fields = {}
  let natural = ''
  let at: Date | undefined
  mapping.columns.forEach((column, i) => {
    const text = (cells[i] ?? '').trim()
    if (text === '' || /^null$/i.test(text)) return
    switch (column.role) {
      case 'userId':
      case 'anonymousId':
      case 'event':
        out[column.role] = text
        break
      case 'email':
      case 'phone':
        contact[column.role] = text
        break
      case 'timestamp':
        at = moment(text)
        if (!at) throw new BadRow(`“${text.slice(0, 40)}” is no time; write 2026-01-31 or 2026-01-31T08:00:00Z`)
        break
      case 'id':
        natural = text
        values[column.as] = text
        break
      case 'value':
        values[column.as] = typed(text)
    }
  })
  if (!out.userId && !out.anonymousId && !contact.email && !contact.phone) throw new BadRow('names nobody: every column that says whose it is is empty')
  if (mapping.rows === 'events') {
    if (!out.event) out.event = mapping.event.trim()
    if (!out.event) throw new BadRow('has no name of the event')
    if (!at) throw new BadRow('has no time')
    out.properties = values
    if (Object.keys(contact).length) out.context = { traits: contact }
  } else out.traits = { ...values, ...contact }
  out.timestamp = (at ?? now).toISOString()
  out.messageId = `csv-${natural ? digest(`${mapping.file}\n${String(out.event ?? '')}\n${natural}`) : digest(`${mapping.file}\n${line}\n${cells.join('\u0001')}`)}`
  return out
}

/** Numbers and truths are told as such; anything that would lose something stays text. */
export function typed(text: string): Json {
  if (/^-?(0|[1-9]\d{0,14})(\.\d{1,10})?$/.test(text)) return Number(text)
  if (/^true$/i.test(text)) return true
  if (/^false$/i.test(text)) return false
  return text
}

function moment(text: string): Date | undefined {
  if (/^\d{10}$/.test(text)) return new Date(Number(text) * 1000)
  if (/^\d{13}$/.test(text)) return new Date(Number(text))
  // A time without a zone is taken as UTC, on every machine alike.
  const plain = /^(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2})(:\d{2}(?:\.\d+)?)?)?$/.exec(text)
  const date = plain ? new Date(`${plain[1]}T${plain[2] ?? '00:00'}${plain[3] ?? ':00'}Z`) : /^\d{4}-\d{2}-\d{2}T.*(Z|[+-]\d{2}:?\d{2})$/.test(text) ? new Date(text) : undefined
  return date && Number.isFinite(date.getTime()) ? date : undefined
}

/** 106 bits of a text: two cyrb53 hashes. An id, not a secret. */
export function digest(text: string): string {
  return hash(text, 0x9e3779b9).toString(36) + hash(text, 0x85ebca6b).toString(36)
}

function hash(text: string, seed: number): number {
  let a = 0xdeadbeef ^ seed
  let b = 0x41c6ce57 ^ seed
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    a = Math.imul(a ^ c, 2654435761)
    b = Math.imul(b ^ c, 1597334677)
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909)
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909)
  return 4294967296 * (2097151 & b) + (a >>> 0)
}

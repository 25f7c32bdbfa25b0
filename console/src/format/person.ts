import type { Identifier, Json, Person, Time } from '@/api/types'

/** What to call a person: their name, or a visitor told apart by a piece of the id. */
export const called = (name: string | undefined, id: string) => (name && !name.startsWith('p_') ? name : `Visitor ${id.slice(4, 10)}`)

/** Whether anything but an id is known to call them by. */
export const isNamed = (name: string | undefined) => Boolean(name) && !name?.startsWith('p_')

/** IH for Ingrid Halvorsen; one letter for a single word; nothing for a nameless visitor. */
export function initials(name: string): string {
  if (!isNamed(name)) return ''
  const words = name.trim().split(/\s+/).filter((word) => /^\p{L}/u.test(word))
  if (words.length === 0) return ''
  const first = words[0] ?? ''
  const last = words.length > 1 ? (words[words.length - 1] ?? '') : ''
  return ((first.match(/^\p{L}/u)?.[0] ?? '') + (last.match(/^\p{L}/u)?.[0] ?? '')).toUpperCase()
}

const kindNames: Record<string, string> = { userId: 'User', anonymousId: 'Device', email: 'E-mail', phone: 'Phone' }

export const identifierKind = (kind: string) => kindNames[kind] ?? kind

/** The identifier a reader recognises first. */
export function mainIdentifier(identifiers: Identifier[] | null | undefined): Identifier | undefined {
  if (!identifiers) return undefined
  for (const kind of ['email', 'userId', 'phone']) {
    const found = identifiers.find((identifier) => identifier.kind === kind)
    if (found) return found
  }
  return identifiers[0]
}

/** An estimate, with its range where it has one. */
export interface Score {
  value: number
  low?: number
  high?: number
}

export const readScore = (score: number | Score): Score => (typeof score === 'number' ? { value: score } : score)

export interface ConsentRow {
  purpose: string
  channel?: string
  allowed: boolean
  at?: Time
  source?: string
}

/** Flattens consent into one row a purpose and channel. The channel "all" is every channel. */
export const consentRows = (consent: Person['consent'] | undefined): ConsentRow[] =>
  Object.entries(consent ?? {}).flatMap(([purpose, channels]) => Object.entries(channels).map(([channel, { allowed, at, source }]) => ({ purpose, channel: channel === 'all' ? undefined : channel, allowed, at, source })))

/** "Bergen, NO" from whatever the traits tell of a place. */
export function place(person: Pick<Person, 'traits'>): string {
  const address = person.traits.address
  const inner = address && typeof address === 'object' && !Array.isArray(address) ? address : {}
  const city = text(person.traits.city ?? inner.city)
  const country = text(person.traits.country ?? inner.country)
  return [city, country].filter(Boolean).join(', ')
}

const text = (value: Json | undefined) => (typeof value === 'string' ? value : '')

/** One line for any value of a trait or property. */
export function plain(value: Json | undefined): string {
  if (value === undefined || value === null) return '–'
  if (typeof value === 'string') return value
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : String(Math.round(value * 10_000) / 10_000)
  return JSON.stringify(value)
}

/** Reads what somebody types for a person as a reference: an id, kind:value, an e-mail, or a user id. */
export function reference(text: string): string {
  const trimmed = text.trim()
  if (trimmed === '' || trimmed.startsWith('p_') || /^[a-zA-Z]+:/.test(trimmed)) return trimmed
  return trimmed.includes('@') ? `email:${trimmed}` : `userId:${trimmed}`
}

/** "category beans · category milk" reads as "beans · milk" where one attribute is meant. */
export function spokenSoft(name: string): string {
  const parts = name.split(' · ')
  const first = parts[0]?.split(' ')[0] ?? ''
  return first && parts.every((part) => part.startsWith(first + ' ')) ? parts.map((part) => part.slice(first.length + 1)).join(' · ') : name
}

/** "loyaltyCard" and "days_since_order" read as "Loyalty card" and "Days since order". */
export function spokenTrait(name: string): string {
  const words = name
    .replace(/_/g, ' ')
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .trim()
  return words ? words[0]!.toUpperCase() + words.slice(1) : name
}

import type { Fields, StreamKind, TimelineEvent } from '@/api/types'
import { plain } from './person'

/** The colour family an event belongs to; each is one token. */
export type Tone = 'view' | 'cart' | 'order' | 'product' | 'decision' | 'delivery' | 'person' | 'answer' | 'other'

const tones: [RegExp, Tone][] = [
  [/^decision/i, 'decision'],
  [/deliver|webhook|message sent|email sent/i, 'delivery'],
  [/order|checkout|payment|purchase|refund/i, 'order'],
  [/cart|wishlist|coupon|product (added|removed)/i, 'cart'],
  [/survey|answer|nps|feedback|review/i, 'answer'],
  [/machine|canister|brew|telemetry|firmware|device|descal/i, 'product'],
  [/sign|log(ged)? ?(in|out)|identif|consent|account|erased|segment|alias|group/i, 'person'],
  [/view|page|screen|search|list|click|open/i, 'view'],
]

export function tone(name: string, kind: StreamKind | string = 'event'): Tone {
  if (kind === 'decision') return 'decision'
  if (kind === 'delivery') return 'delivery'
  for (const [pattern, found] of tones) if (pattern.test(name)) return found
  if (kind === 'page' || kind === 'screen') return 'view'
  if (kind === 'identify' || kind === 'alias' || kind === 'group') return 'person'
  return 'other'
}

const kinds: Record<string, string> = { page: 'Page view', screen: 'Screen view', identify: 'Identified', alias: 'Alias', group: 'Joined a group', decision: 'Decision' }

/** What to call an event of which only a name is known: the nameless kinds go by their call. */
export const spokenName = (name: string) => kinds[name] ?? name

/** What to call an event that may have no name of its own. */
export function eventName(event: Pick<TimelineEvent, 'event' | 'type'>): string {
  if (event.type === 'page') return event.event && !/^page$/i.test(event.event) ? `Page: ${event.event}` : spokenName('page')
  if (event.type === 'screen') return event.event ? `Screen: ${event.event}` : spokenName('screen')
  if (event.event) return event.event
  return kinds[event.type] ?? event.type
}

const telling = ['name', 'title', 'product', 'orderId', 'order_id', 'query', 'path', 'url', 'action', 'placement', 'reason', 'channel', 'status', 'answer', 'score']

/** The two or three properties that tell an event apart at a glance. */
export function eventDetail(event: TimelineEvent, moneyText: (n: number, currency?: string) => string): string {
  if (event.decision) {
    const { items, holdout, nothing, placement } = event.decision
    const what = holdout ? 'holdout' : items?.length ? items.map((item) => item.action).join(', ') : `nothing${nothing ? `, ${nothing}` : ''}`
    return `${what} · ${placement}`
  }
  const fields: Fields = { ...event.traits, ...event.properties }
  const parts: string[] = []
  for (const key of telling) {
    const value = fields[key]
    if (parts.length < 2 && (typeof value === 'string' || typeof value === 'number') && String(value) !== '' && String(value) !== event.event) {
      parts.push(/order_?id/i.test(key) ? `#${value}` : plain(value))
    }
  }
  const revenue = fields.revenue ?? fields.total ?? fields.price
  if (typeof revenue === 'number') parts.push(moneyText(revenue, typeof fields.currency === 'string' ? fields.currency : undefined))
  if (parts.length === 0) {
    for (const [key, value] of Object.entries(fields).slice(0, 2)) {
      if (typeof value !== 'object') parts.push(`${key} ${plain(value)}`)
    }
  }
  return parts.join(' · ')
}

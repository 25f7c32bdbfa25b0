import type { StreamMessage } from '@/api/types'

export type FeedRow = StreamMessage | { gap: true; id: string }

export interface Feed {
  /** Newest first. */
  rows: FeedRow[]
  /** Came in while the reader was looking; newest first. */
  waiting: FeedRow[]
  /** All that came in while the reader was looking, those no longer kept included. */
  waitingCount: number
}

export const emptyFeed: Feed = { rows: [], waiting: [], waitingCount: 0 }

/** Rows kept: enough to read back a minute, few enough to draw at once. */
export const keep = 150

/** Adds messages (oldest first). A held feed keeps its rows still and counts instead. */
export function add(feed: Feed, messages: FeedRow[], held: boolean): Feed {
  const known = new Set([...feed.rows, ...feed.waiting].map((row) => row.id))
  const fresh = messages.filter((message) => !known.has(message.id)).reverse()
  if (fresh.length === 0) return feed
  if (held) {
    const events = fresh.filter((row) => !('gap' in row)).length
    return { ...feed, waiting: [...fresh, ...feed.waiting].slice(0, keep), waitingCount: feed.waitingCount + events }
  }
  return { rows: [...fresh, ...feed.waiting, ...feed.rows].slice(0, keep), waiting: [], waitingCount: 0 }
}

/** Lets the waiting rows in. */
export function release(feed: Feed): Feed {
  if (feed.waitingCount === 0 && feed.waiting.length === 0) return feed
  return { rows: [...feed.waiting, ...feed.rows].slice(0, keep), waiting: [], waitingCount: 0 }
}

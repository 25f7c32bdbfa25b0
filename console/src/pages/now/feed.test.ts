import { describe, expect, it } from 'vitest'
import type { StreamMessage } from '@/api/types'
import { add, emptyFeed, keep, release, type FeedRow } from './feed'

const message = (id: number): StreamMessage => ({ id: String(id), kind: 'event', time: id, personId: 'p', person: '', name: 'n', detail: '', source: 's' })
const ids = (rows: FeedRow[]) => rows.map((row) => row.id)

describe('the live feed', () => {
  it('shows the newest first', () => {
    const feed = add(add(emptyFeed, [message(1), message(2)], false), [message(3)], false)
    expect(ids(feed.rows)).toEqual(['3', '2', '1'])
  })
  it('holds still while it is read, and counts what waits', () => {
    const feed = add(add(emptyFeed, [message(1)], false), [message(2), message(3)], true)
    expect(ids(feed.rows)).toEqual(['1'])
    expect(feed.waitingCount).toBe(2)
    expect(ids(release(feed).rows)).toEqual(['3', '2', '1'])
    expect(release(feed).waitingCount).toBe(0)
  })
  it('shows a moment once, though a reconnection tells it again', () => {
    const feed = add(add(emptyFeed, [message(1), message(2)], false), [message(2), message(3)], false)
    expect(ids(feed.rows)).toEqual(['3', '2', '1'])
  })
  it('keeps a bounded number of rows and counts all the same', () => {
    const many = Array.from({ length: 400 }, (_, i) => message(i))
    expect(add(emptyFeed, many, false).rows).toHaveLength(keep)
    const held = add(emptyFeed, many, true)
    expect(held.waiting).toHaveLength(keep)
    expect(held.waitingCount).toBe(400)
  })
  it('does not count a gap as news', () => {
    expect(add(emptyFeed, [{ gap: true, id: 'gap 1' }, message(1)], true).waitingCount).toBe(1)
  })
})

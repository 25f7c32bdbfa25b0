import { describe, expect, it } from 'vitest'
import { CsvReader, delimiterOf, type CsvRow } from '@/format/csvread'
import { BadRow, eventOf, guess, trouble, typed } from './mapping'

const text = '\uFEFFname;note\r\n"Åse ""A"" Berg";"two\nlines"\r\nBo;\r\n\r\nlast;x'
const rows: CsvRow[] = [
  { line: 1, cells: ['name', 'note'] },
  { line: 2, cells: ['Åse "A" Berg', 'two\nlines'] },
  { line: 4, cells: ['Bo', ''] },
  { line: 6, cells: ['last', 'x'] },
]

describe('reading CSV', () => {
  it('gives the same rows however the text is cut', () => {
    expect(delimiterOf(text)).toBe(';')
    for (let size = 1; size <= text.length; size++) {
      const reader = new CsvReader(';')
      const out: CsvRow[] = []
      for (let i = 0; i < text.length; i += size) out.push(...reader.feed(text.slice(i, i + size)))
      out.push(...reader.feed('', true))
      expect(out, `pieces of ${size}`).toEqual(rows)
    }
  })
})

describe('a row becomes an event', () => {
  const now = new Date('2026-03-01T12:00:00Z')
  it('of what somebody did, with the same id in every run', () => {
    const mapping = guess(['order no', 'E-mail', 'date', 'revenue', 'vip'], 'orders.csv')
    expect(mapping.rows).toBe('events')
    expect(trouble(mapping)).toBeUndefined()
    const event = eventOf(mapping, ['A-7', 'ada@example.com', '2026-02-01 08:30', '64.50', 'true'], 2, now)
    expect(event).toMatchObject({ type: 'track', event: 'Order Completed', timestamp: '2026-02-01T08:30:00.000Z', properties: { orderNo: 'A-7', revenue: 64.5, vip: true }, context: { traits: { email: 'ada@example.com' } } })
    expect(eventOf(mapping, ['A-7', 'ada@example.com', '2026-02-02', '1', ''], 9, now).messageId).toBe(event.messageId)
    expect(() => eventOf(mapping, ['A-7', 'ada@example.com', 'yesterday', '1', ''], 3, now)).toThrow(BadRow)
    expect(() => eventOf(mapping, ['A-7', '', '2026-02-02', '1', ''], 3, now)).toThrow(/nobody/)
    expect(() => eventOf(mapping, ['A-7'], 3, now)).toThrow(/1 columns instead of 5/)
  })
  it('of who somebody is', () => {
    const mapping = guess(['customer_no', 'mail', 'first name', 'zip'], 'people.csv')
    expect(mapping.rows).toBe('people')
    expect(eventOf(mapping, ['12', 'a@b.no', 'Ada', '0150'], 2, now)).toMatchObject({ type: 'identify', userId: '12', traits: { email: 'a@b.no', firstName: 'Ada', zip: '0150' }, timestamp: now.toISOString() })
  })
  it('keeps as text what a number would lose', () => {
    expect([typed('0150'), typed('12345678901234567890'), typed('1e5'), typed('-2.50'), typed('FALSE')]).toEqual(['0150', '12345678901234567890', '1e5', -2.5, false])
  })
  it('says what a mapping lacks', () => {
    expect(trouble(guess(['a', 'b'], 'x'))).toMatch(/whose row/)
    expect(trouble({ ...guess(['email', 'x'], 'x'), rows: 'events', event: 'X' })).toMatch(/when it happened/)
  })
})

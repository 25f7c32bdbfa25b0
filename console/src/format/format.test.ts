import { describe, expect, it } from 'vitest'
import { csv } from './csv'
import { lineDiff, parseDiff } from './diff'
import { eventDetail, eventName, spokenName, tone } from './event'
import { bytes, compact, decimal, millis, money, percent, plural, signed, signedPercent } from './number'
import { called, consentRows, initials, mainIdentifier, plain, reference } from './person'
import { ago, dayName, duration } from './time'

describe('numbers', () => {
  it('shows more digits where they matter', () => {
    expect([0, 0.0031, 0.0284, 0.11, 0.413, 1].map(percent)).toEqual(['0 %', '0.31 %', '2.8 %', '11 %', '41 %', '100 %'])
    expect([4.2, 0.31, 1204.4, 12.34].map(decimal)).toEqual(['4.2', '0.31', '1,204', '12.3'])
  })
  it('writes signs as a reader expects them', () => {
    expect(signedPercent(0.0284)).toBe('+2.8 %')
    expect(signedPercent(-0.006)).toBe('−0.6 %')
    expect(signed(-0.0001)).toBe('0.00')
  })
  it('shortens only what outgrows its place', () => {
    expect([compact(18_342), compact(1_502_800)]).toEqual(['18,342', '1.5M'])
    expect([bytes(412_000_000), bytes(900), bytes(1_204_000_000)]).toEqual(['412 MB', '900 B', '1.2 GB'])
    expect([millis(3.66), millis(140.2)]).toEqual(['3.7 ms', '140 ms'])
  })
  it('writes money only where there is a currency', () => {
    expect(money(64.5, 'EUR')).toBe('€64.50')
    expect(money(2184, 'EUR')).toBe('€2,184')
    expect(money(-0.5)).toBe('−0.50')
  })
  it('counts in words', () => {
    expect([plural(1, 'person', 'people'), plural(2, 'person', 'people')]).toEqual(['1 person', '2 people'])
  })
})

describe('times', () => {
  const now = Date.parse('2026-11-21T20:31:39Z')
  it('tells how long ago in one unit', () => {
    expect([1, 37, 60 * 37, 7200, 86_400 * 4].map((s) => ago(now - s * 1000, now))).toEqual(['now', '37 s', '37 min', '2 h', '4 d'])
    expect(ago('nonsense', now)).toBe('–')
    expect(duration(604_800)).toBe('7 d')
  })
  it('names today and yesterday', () => {
    expect([dayName(now, now), dayName(now - 86_400_000, now)]).toEqual(['Today', 'Yesterday'])
  })
})

describe('people', () => {
  it('takes initials from any script, and none from an id', () => {
    expect([initials('Ingrid Halvorsen'), initials('Öykü'), initials('李 小龍'), initials(''), initials('p_1 77')]).toEqual(['IH', 'Ö', '李小', '', ''])
  })
  it('reads consent in every shape it comes in', () => {
    expect(consentRows({ analytics: { all: { allowed: true, at: '2026-01-01', source: 'app' } }, marketing: { email: { allowed: false, at: '', source: 'web' } } })).toEqual([
      { purpose: 'analytics', channel: undefined, allowed: true, at: '2026-01-01', source: 'app' },
      { purpose: 'marketing', channel: 'email', allowed: false, at: '', source: 'web' },
    ])
    expect(consentRows(undefined)).toEqual([])
  })
  it('shows the identifier a reader recognises', () => {
    expect(mainIdentifier([{ kind: 'anonymousId', value: 'a' }, { kind: 'email', value: 'b@c.d' }])?.value).toBe('b@c.d')
    expect(mainIdentifier([])).toBeUndefined()
  })
  it('calls the nameless visitors, told apart', () => {
    expect([called('Noor', 'p_1'), called('p_2cabcdefgh', 'p_2cabcdefgh'), called('', 'p_2cabcdefgh')]).toEqual(['Noor', 'Visitor abcdef', 'Visitor abcdef'])
  })
  it('reads what is typed as a reference', () => {
    expect(['p_12', 'email:a@b.c', 'a@b.c', ' nb-1 '].map(reference)).toEqual(['p_12', 'email:a@b.c', 'email:a@b.c', 'userId:nb-1'])
  })
  it('shows any value in one line', () => {
    expect([plain('x'), plain(true), plain(0.1 + 0.2), plain(null), plain({ a: [1] })]).toEqual(['x', 'yes', '0.3', '–', '{"a":[1]}'])
  })
})

describe('events', () => {
  const event = (part: object) => ({ id: 'e', type: 'track', event: '', timestamp: '', receivedAt: '', source: '', properties: {}, ...part })
  it('names the nameless', () => {
    expect([spokenName('page'), spokenName('Order Completed')]).toEqual(['Page view', 'Order Completed'])
    expect([eventName(event({ type: 'page' })), eventName(event({ type: 'identify' })), eventName(event({ event: 'Order Completed' }))]).toEqual(['Page view', 'Identified', 'Order Completed'])
  })
  it('tells events apart by what tells them apart', () => {
    expect(eventDetail(event({ event: 'Order Completed', properties: { orderId: 'NB-1', revenue: 64.5 } }), (n) => `€${n}`)).toBe('#NB-1 · €64.5')
    expect(eventDetail(event({ properties: { cups: 2 } }), String)).toBe('cups 2')
    expect(eventDetail(event({}), String)).toBe('')
  })
  it('colours by what an event is about', () => {
    expect([tone('Product Added'), tone('Order Completed'), tone('Product Viewed'), tone('x', 'decision'), tone('Machine Brewed'), tone('Odd')]).toEqual(['cart', 'order', 'view', 'decision', 'product', 'other'])
  })
})

describe('diff', () => {
  const text = (lines: { kind: string; text: string }[]) => lines.map((line) => line.kind + line.text)
  it('keeps what is common', () => {
    expect(text(lineDiff('a\nb\nc\n', 'a\nx\nc\nd\n'))).toEqual([' a', '-b', '+x', ' c', '+d'])
    expect(text(lineDiff('', 'a\n'))).toEqual(['+a'])
    expect(text(lineDiff('a\n', 'a'))).toEqual([' a'])
  })
  it('turns either side back out of any change', () => {
    let seed = 3
    const next = () => (seed = (seed * 48271) % 2147483647) / 2147483647
    for (let run = 0; run < 200; run++) {
      const make = () => Array.from({ length: Math.floor(next() * 9) }, () => 'abc'[Math.floor(next() * 3)]).join('\n')
      const [before, after] = [make(), make()]
      const lines = lineDiff(before, after)
      expect(lines.filter((l) => l.kind !== '+').map((l) => l.text).join('\n')).toBe(before)
      expect(lines.filter((l) => l.kind !== '-').map((l) => l.text).join('\n')).toBe(after)
    }
  })
  it('reads the server’s form', () => {
    expect(text(parseDiff('  a\n- b\n+ c\n  ...\n'))).toEqual([' a', '-b', '+c', ' ...'])
  })
})

describe('csv', () => {
  it('quotes, and defuses what a spreadsheet would run', () => {
    expect(csv(['a', 'b'], [['x,"y"', '=1+1'], ['-', -2]])).toBe('a,b\r\n"x,""y""",\'=1+1\r\n\'-,-2\r\n')
  })
})

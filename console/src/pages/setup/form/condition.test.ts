import { expect, it } from 'vitest'
import { partsOf, textOf, type Clause } from './condition'

it('reads the parts people pick from', () => {
  expect(partsOf('traits.country == "NO" && performed("Order Completed").within("30d").count() < 3')).toEqual({
    join: 'all',
    clauses: [
      { kind: 'compare', path: 'traits.country', op: '==', value: 'NO' },
      { kind: 'done', not: false, event: 'Order Completed', within: '30d', measure: 'count', op: '<', value: 3 },
    ],
  })
  expect(partsOf('!segments.has("regulars") || consent.allows("marketing") || !has(traits.age)').clauses.map((c) => c.kind)).toEqual(['segment', 'consent', 'known'])
  expect(partsOf('traits.country in ["NO", "SE"]').clauses).toEqual([{ kind: 'among', path: 'traits.country', values: ['NO', 'SE'] }])
  expect(partsOf('performed("A").where(properties.total > 50).within("1d").sum("revenue") > 500').clauses[0]).toMatchObject({ kind: 'done', where: { path: 'total', op: '>', value: 50 }, measure: 'sum', property: 'revenue' })
})

it('keeps what has no such form as the text it is', () => {
  for (const text of ['performed("A").notThen("B").within("1d").happened()', 'items.any(i, i.level < 0.2 && i.x == "a && b")', 'a.b < c.d && traits.x > 1', '(traits.a == 1 || traits.b == 2) && traits.c == 3', 'traits.a == 1 && traits.b == 2 || traits.c == 3', 'traits.x == "a || b"', 'traits.a == 1 // why\n&& traits.b == 2']) {
    expect(textOf(partsOf(text))).toBe(text)
  }
  expect(partsOf('items.any(i, i.level < 0.2 && i.open)').clauses).toEqual([{ kind: 'text', text: 'items.any(i, i.level < 0.2 && i.open)' }])
})

it('writes what it read, whichever part', () => {
  const clauses: Clause[] = [
    { kind: 'compare', path: 'scores.clv', op: '>=', value: 12.5 },
    { kind: 'compare', path: 'traits.name', op: '!=', value: 'a "b" \\ c\n' },
    { kind: 'compare', path: 'traits.vip', op: '==', value: true },
    { kind: 'among', path: 'traits.country', values: ['NO', 2] },
    { kind: 'known', path: 'traits.age', not: true },
    { kind: 'segment', id: 'x', not: true },
    { kind: 'consent', purpose: 'marketing', not: false },
    { kind: 'done', event: "It's", not: true, measure: 'happened', op: '>=', value: 1, within: '90d' },
    { kind: 'done', event: 'A', not: false, measure: 'avg', property: 'p', op: '>', value: -1 },
  ]
  for (const join of ['all', 'any'] as const) expect(partsOf(textOf({ join, clauses }))).toEqual({ join, clauses })
})

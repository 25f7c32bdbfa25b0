import { expect, it } from 'vitest'
import { at, json, pathAt, put, read, remove, rename, swap } from './text'

const doc = `kind: action # what it is
id: x
# whom it is for
when: |
  a > 1
  && b
placements: [a, "b c"]   # where
content:
  title: Hello
    world
  url: /
empty:
goals:
  - {event: Order Completed, within: 7d}
  # the second
  - event: y
    within: 3d
`

const value = (text: string, ...path: (string | number)[]) => json(at(read(text).root, path))

it('reads every way of writing', () => {
  expect(json(read(doc).root)).toEqual({
    kind: 'action', id: 'x', when: 'a > 1\n&& b\n', placements: ['a', 'b c'], content: { title: 'Hello world', url: '/' }, empty: null,
    goals: [{ event: 'Order Completed', within: '7d' }, { event: 'y', within: '3d' }],
  })
  expect(json(read(`a: 'it''s'\nb: "x\\ny"\nc: 1.5\nd: true\ne: ~\nf: >-\n  one\n  two\n`).root)).toEqual({ a: "it's", b: 'x\ny', c: 1.5, d: true, e: null, f: 'one two' })
  expect(read('a: 1\n---\nb: 2\n').broken).toContain('several')
  expect(read('a: [1, 2\nb: }').broken).toContain('line')
})

it('changes one value and nothing else', () => {
  expect(put(doc, ['kind'], 'other')).toBe(doc.replace('kind: action', 'kind: other'))
  expect(put(doc, ['placements', 1], 'd e')).toBe(doc.replace('"b c"', '"d e"'))
  expect(put(doc, ['goals', 0, 'within'], '9d')).toBe(doc.replace('within: 7d', 'within: 9d'))
  expect(put(doc, ['content', 'title'], 'Hi: you')).toBe(doc.replace('Hello\n    world', '"Hi: you"'))
  expect(put(doc, ['when'], 'x == "y"')).toBe(doc.replace('|\n  a > 1\n  && b', 'x == "y"'))
  expect(put(doc, ['empty'], 3)).toBe(doc.replace('empty:', 'empty: 3'))
})

it('adds what is missing where its kind says it stands', () => {
  const order = ['kind', 'id', 'type', 'when', 'placements', 'content']
  expect(put(doc, ['type'], 'offer', order)).toBe(doc.replace('id: x\n', 'id: x\ntype: offer\n'))
  expect(put(doc, ['placements', 2], 'c')).toBe(doc.replace('"b c"]', '"b c", c]'))
  expect(put(doc, ['goals', 2], { event: 'z', within: '1d' })).toBe(doc + '  - event: z\n    within: 1d\n')
  expect(put(doc, ['goals', 0, 'value'], 2)).toBe(doc.replace('within: 7d}', 'within: 7d, value: 2}'))
  expect(put(doc, ['cap', 'max'], 3)).toBe(doc + 'cap:\n  max: 3\n')
  expect(put(doc, ['caps', 0, 'max'], 3)).toBe(doc + 'caps:\n  - max: 3\n')
  expect(put(doc, ['empty', 'a'], ['b'])).toBe(doc.replace('empty:', 'empty:\n  a: [b]'))
  expect(put('', ['kind'], 'action')).toBe('kind: action\n')
})

it('takes out a key, an element, and what they leave empty', () => {
  expect(remove(doc, ['placements'])).toBe(doc.replace(/^placements.*\n/m, ''))
  expect(remove(doc, ['placements', 0])).toBe(doc.replace('[a, "b c"]', '["b c"]'))
  expect(remove(doc, ['placements', 1])).toBe(doc.replace('[a, "b c"]', '[a]'))
  expect(value(remove(doc, ['goals', 0]), 'goals')).toEqual([{ event: 'y', within: '3d' }])
  expect(value(remove(doc, ['goals', 1, 'event']), 'goals', 1)).toEqual({ within: '3d' })
  expect(value(remove(remove(doc, ['content', 'title']), ['content', 'url']))).not.toHaveProperty('content')
  expect(remove(doc, ['when'])).toContain('# whom it is for\nplacements')
})

it('renames keys and swaps elements', () => {
  expect(rename(doc, ['content', 'title'], 'head')).toBe(doc.replace('title:', 'head:'))
  expect(rename(doc, ['content', 'title'], 'url')).toBe(doc)
  expect(value(swap(doc, ['goals'], 0), 'goals')).toEqual([{ event: 'y', within: '3d' }, { event: 'Order Completed', within: '7d' }])
  expect(swap(doc, ['placements'], 0)).toContain('["b c", a]')
})

it('says which key a place in the text belongs to', () => {
  expect(pathAt(read(doc).root, doc.indexOf('3d'))).toEqual(['goals', 1, 'within'])
  expect(pathAt(read(doc).root, doc.indexOf('# whom'))).toEqual([])
})

// Whatever is written reads back as it was meant, and what stands beside it stays.
it('writes any value so that it reads back the same', () => {
  const values = ['plain', '', ' x', 'a: b', 'a #b', '#x', '- x', '[x', '{{ name }}', '12', '1e3', 'true', 'null', '~', "it's", 'say "hi"', 'a\nb', 'a\nb\n', '\n', 'é – 日本', '21:00', '2026-05-01', '7d', '1d12h', 'a,b', '*', '@x', '`', '|', '%', '!x', '&a', 'C:\\x', 'tab\there', 'performed("A").count() >= 1', 5, -0.25, true, false, [], ['a', 'b, c', 1], { a: 1, 'b c': ['x'], d: { e: 'f: g' } }, [{ a: 1 }, { b: [{ c: 2 }] }]]
  for (const base of [doc, 'kind: a\n', 'kind: a\nkept: 1 # stays', 'kind: a\nv: old # note\nkept: 1\n', 'kind: a\nv:\n  - x\n  - y\nkept: 1\n', 'kind: a\nv: {a: 1}\n', 'kind: a\nv: |\n  x\n  y\nkept: 1\n']) {
    const before = json(read(base).root) as Record<string, unknown>
    for (const v of values) {
      const after = put(base, ['v'], v as never)
      expect(json(read(after).root), `${JSON.stringify(v)} in ${JSON.stringify(base)} gives ${JSON.stringify(after)}`).toEqual({ ...before, v })
      const without = { ...before }
      delete without.v
      expect(json(read(remove(after, ['v'])).root)).toEqual(without)
      const inside = put(base, ['o', 'l', 0, 'k'], v as never)
      expect(value(inside, 'o', 'l', 0, 'k'), JSON.stringify(inside)).toEqual(v)
      expect(value(put(put(base, ['f'], ['x']), ['f', 1], v as never), 'f', 1)).toEqual(v)
    }
  }
})

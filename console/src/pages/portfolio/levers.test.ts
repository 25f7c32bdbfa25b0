import { describe, expect, it } from 'vitest'
import { changedTexts, numberIn, readLevers, withNumber, writeLevers } from './levers'

describe('the levers of the board', () => {
  it('go into the address and come back', () => {
    const changes = [{ action: 'tasting-set', weight: 1.5, cost: 0.2 }, { action: 'a:b;c', off: true }]
    expect(readLevers(writeLevers(changes))).toEqual(changes)
    expect(writeLevers([{ action: 'untouched' }])).toBeUndefined()
  })
  it('leave out what an address cannot mean', () => {
    expect(readLevers('x:w-1;y;:w1;z:wabc;%E0%A4%A:w2')).toEqual([{ action: '%E0%A4%A', weight: 2 }])
  })
  it('change one number of a document and nothing else', () => {
    const yaml = 'kind: action\nid: a\ncost: 0.02 # per mail\ngoals:\n  - {event: X, value: 1}\n'
    expect(numberIn(yaml, 'cost')).toBe(0.02)
    expect(withNumber(yaml, 'cost', 0.5)).toBe(yaml.replace('0.02', '0.5'))
    expect(withNumber(yaml, 'weight', 2)).toBe(yaml + 'weight: 2\n')
    expect(changedTexts([{ action: 'a', cost: 1 }], [{ kind: 'action', id: 'a', yaml, version: 1, author: 'x', updatedAt: '' }])).toContain('cost: 1 # per mail')
  })
})

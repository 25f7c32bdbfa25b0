import { describe, expect, it } from 'vitest'
import { best, match } from './match'

describe('the palette’s search', () => {
  it('wants every word of the query', () => {
    expect(match('live now', 'Now live stream home')).toBeGreaterThan(0)
    expect(match('live people', 'Now live stream home')).toBe(0)
  })
  it('prefers beginnings', () => {
    expect(best(['Quarantine', 'Audit', 'Action tasting-set', 'Settings'], 'set', (x) => x, 3)).toEqual(['Settings', 'Action tasting-set'])
  })
  it('shows the first few for an empty query', () => {
    expect(best(['a', 'b', 'c'], ' ', (x) => x, 2)).toEqual(['a', 'b'])
  })
})

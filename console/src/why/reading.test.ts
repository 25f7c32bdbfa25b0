import { describe, expect, it } from 'vitest'
import type { Explanation } from '@/api/types'
import { funnelBars, ranked, whyNot, widestTerm } from './reading'

const explanation: Explanation = {
  sentence: '',
  funnel: [
    { rule: 'condition', label: 'Condition not met', removed: 1, left: 3, actions: [{ action: 'c', detail: 'traits.country is "SE"' }] },
    { rule: 'cap', label: 'Frequency cap', removed: 1, left: 2, actions: [{ action: 'd', detail: '3 of 3' }] },
  ],
  candidates: [
    { action: 'a', mean: 0.2, score: 0.21, propensity: 0.4, terms: [{ name: 'x', value: 0.3 }, { name: 'y', value: -0.5 }] },
    { action: 'b', mean: 0.3, score: 0.31, propensity: 0.6 },
    { action: 'c', excluded: 'condition', detail: 'traits.country is "SE"' },
    { action: 'd', excluded: 'cap', detail: '3 of 3' },
  ],
  whatWouldChange: [],
  decision: { decisionId: 'd_1', personId: 'p_1', person: '', placement: 'home', time: '2026-01-01T00:00:00Z', holdout: false, items: [{ action: 'b', kind: 'offer', propensity: 0.6, reason: '', value: 0.3 }], cause: 'request', config: 1, model: 1, seed: '1', candidates: [], features: {}, context: {} },
}

describe('why', () => {
  it('narrows from all actions to those weighed', () => {
    expect(funnelBars(explanation).map((bar) => [bar.rule, bar.before, bar.after])).toEqual([
      ['condition', 4, 3],
      ['cap', 3, 2],
    ])
  })
  it('ranks by the drawn score and leaves out the excluded', () => {
    expect(ranked(explanation.candidates).map((c) => c.action)).toEqual(['b', 'a'])
  })
  it('draws all contributions on one scale', () => {
    expect(widestTerm(explanation.candidates)).toBe(0.5)
  })
  it('answers why not for every way to lose', () => {
    expect(whyNot(explanation, 'b')).toBe('b was chosen, with probability 60 %.')
    expect(whyNot(explanation, 'a')).toBe('a was weighed and ranked 2: its score was 0.10 below b.')
    expect(whyNot(explanation, 'c')).toBe('c was taken out before scoring. Condition not met: traits.country is "SE".')
    expect(whyNot(explanation, 'x')).toBe('x did not exist when this was decided.')
    expect(whyNot({ ...explanation, decision: { ...explanation.decision, items: [] } }, 'a')).toContain('not worth breaking the silence')
  })
})

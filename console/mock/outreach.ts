// When people answer, what learning does, whom recalls reached: of the mock's small world.
import type { Insights, InsightStream, LearningHealth, MessagePreview, PersonSending, Recall, RecallPeople, RecallStatus } from '../src/api/types'
import type { MockPerson } from './world'

const iso = (at: number) => new Date(at).toISOString()

/** People who answer in the evening, most of them. */
export function sending(who: MockPerson): PersonSending {
  const rate = (hour: number) => 0.03 + 0.12 * Math.exp(-((hour - 20) ** 2) / 8)
  return {
    personId: who.person.id, zone: 'Europe/Oslo', alike: 'people active in the evening', waiting: [],
    hours: Array.from({ length: 24 }, (_, hour) => ({ hour, sent: hour > 17 ? 2 : 0, answered: hour === 20 ? 1 : 0, rate: rate(hour), low: rate(hour) * 0.4, high: rate(hour) * 1.9, ...(hour < 8 || hour > 21 ? { quiet: true } : {}) })),
    channels: [
      { channel: 'email', sent: 4, answered: 1, rate: 0.18, low: 0.06, high: 0.33 },
      { channel: 'sms', sent: 0, answered: 0, rate: 0.07, low: 0.01, high: 0.19, closed: 'no number is known' },
    ],
  }
}

export const learning = (now: number): LearningHealth => ({
  status: 'good', reason: 'what was expected came, as far as can be told', decisions: 5000, from: now - 86_400_000 * 6, to: now, holdout: 0.05, nothing: 0.41, explored: 0.03, best: 0.24, regret: 0.012, settled: 2210, open: 640, expected: 0.21, came: { value: 0.2, low: 0.17, high: 0.23 },
  calibration: [0.05, 0.12, 0.2, 0.29, 0.41].map((expected, i) => ({ expected, came: expected * (i % 2 ? 1.06 : 0.95), low: expected * 0.7, high: expected * 1.3, count: 442 })),
})

export const insights = (event: string): Insights => ({
  event, people: 18_342, rate: 0.21, leftOut: ['performed("Checkout Started").count()'],
  insights: [{ sentence: '', when: 'performed("Products Searched").count() >= 2', people: 2210, rate: 0.41, rest: 0.17, low: 0.2, high: 0.28, lift: 2.4, q: 0.001, discovery: true }],
})

export const insightStream = (now: number): InsightStream => {
  const day = (ago: number) => iso(now - ago * 86_400_000).slice(0, 10)
  return {
    level: 0.05, tests: 9, discoveries: 1, spent: 0.011, left: 0.039, next: 0.0021,
    told: '9 groups were tested and 1 held. Each test takes its share of an allowance for being wrong (3.9 % of 5 % is left), and each discovery adds to it.',
    days: [2, 1, 0].map((ago) => ({ day: day(ago), people: 18_342, tests: 3, discoveries: ago === 1 ? 1 : 0, spent: 0.004 })),
    insights: [{
      number: 5, question: 'purchases', event: 'Order Completed', within: '30d', found: day(1), sentence: '', when: 'performed("Products Searched").count() >= 2', people: 2210, rate: 0.41, rest: 0.17, low: 0.2, high: 0.28, p: 0.000001, allowed: 0.0012,
      told: 'Test 5: chance alone brings such a difference once in 1,000,000 times. After the tests before it, anything rarer than once in 830 times counted as found.',
      now: { day: day(0), people: 2230, rate: 0.4, rest: 0.17, low: 0.19, high: 0.27, holds: true },
    }],
  }
}

/** Everybody a recall concerns: the first took note, the second is reached, the third cannot be. */
export function recalled(recall: Recall, people: MockPerson[]): { status: RecallStatus; page: (state: string | null) => RecallPeople } {
  const states = ['acknowledged', 'reached', 'unreachable'] as const
  const list = people.slice(0, recall.items ? 3 : 0).map((who, i): RecallPeople['people'][number] => ({ person: who.person.id, name: who.person.name, items: [], state: states[i] ?? 'waiting', ...(i === 2 ? { why: 'no address is known' } : { channel: 'email' }), toldAt: iso(Date.now() - 60_000) }))
  const count = (state: string) => list.filter((one) => one.state === state).length
  return {
    status: { ...recall, progress: { at: iso(Date.now()), items: recall.items, marked: recall.items, unowned: Math.max(0, recall.items - list.length), people: list.length, waiting: 0, sent: 0, reached: count('reached'), acknowledged: count('acknowledged'), unreachable: count('unreachable') } },
    page: (state) => ({ people: list.filter((one) => !state || one.state === state) }),
  }
}

export const preview = (action: string, who: MockPerson): MessagePreview => ({ action, personId: who.person.id, form: 'content', locale: 'nb', fields: { title: 'Better in three minutes' }, content: { title: 'Better in three minutes', url: '/guides/brewing' } })

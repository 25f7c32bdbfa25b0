// A condition in words, for whoever reads rather than writes it. The text itself
// stays beside it: words are shorter, and leave out what only the text says.
import { spokenName } from './event'
import { partsOf, type Clause, type Literal } from '@/pages/setup/form/condition'

const units: Record<string, string> = { s: 'second', m: 'minute', h: 'hour', d: 'day', w: 'week' }

/** "90d" reads as "90 days", "1w" as "week". */
function span(text: string): string {
  const found = /^(\d+)([smhdw])$/.exec(text)
  if (!found) return text
  const n = Number(found[1])
  return n === 1 ? (units[found[2]!] ?? text) : `${n} ${units[found[2]!]}s`
}

const scores: Record<string, string> = { 'scores.clv': 'lifetime value', 'scores.churn': 'chance to have left', 'scores.intent': 'intent', 'scores.nextPurchase': 'days to the next purchase', 'scores.purchases': 'purchases foretold' }

function thing(path: string): string {
  if (scores[path]) return scores[path]
  const [root, ...rest] = path.split('.')
  const name = rest
    .join(' ')
    .replace(/_/g, ' ')
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .toLowerCase()
  return root === 'scores' ? `score ${name}` : root === 'context' ? `the page’s ${name}` : name || path
}

const value = (v: Literal) => (typeof v === 'boolean' ? (v ? 'yes' : 'no') : String(v))

function compared(what: string, op: string, v: Literal): string {
  if (op === '==') return `${what} is ${value(v)}`
  if (op === '!=') return `${what} is not ${value(v)}`
  return `${what} ${op === '<' ? 'below' : op === '<=' ? 'at most' : op === '>' ? 'above' : 'at least'} ${value(v)}`
}

const times = (n: number) => (n === 1 ? 'once' : n === 2 ? 'twice' : `${n} times`)

function often(op: string, n: number): string {
  if ((op === '>=' && n === 1) || (op === '>' && n === 0)) return ''
  if (op === '>=') return ` at least ${times(n)}`
  if (op === '>') return ` more than ${times(n)}`
  if (op === '<=') return ` at most ${times(n)}`
  if (op === '<') return ` fewer than ${n} times`
  if (op === '==') return ` exactly ${times(n)}`
  return ` not exactly ${times(n)}`
}

const measures = { sum: 'in all', avg: 'on average', min: 'at least each time', max: 'at most each time' } as const

function clause(c: Clause, names?: ReadonlyMap<string, string | undefined>): string {
  switch (c.kind) {
    case 'compare':
      return compared(thing(c.path), c.op, c.value)
    case 'among':
      return `${thing(c.path)} is ${c.values.map(value).join(' or ')}`
    case 'known':
      return `${thing(c.path)} is ${c.not ? 'not known' : 'known'}`
    case 'segment':
      return `${c.not ? 'not ' : ''}in “${names?.get(c.id) || c.id}”`
    case 'consent':
      return `${c.not ? 'did not agree' : 'agreed'} to ${c.purpose}`
    case 'text':
      return c.text
    case 'done': {
      const where = c.where ? ` with ${compared(c.where.path.replace(/[._]/g, ' '), c.where.op, c.where.value)}` : ''
      const when = c.within ? ` in the last ${span(c.within)}` : ''
      const event = `“${spokenName(c.event)}”`
      if (c.measure === 'happened') return `${c.not ? 'did not do' : 'did'} ${event}${where}${when}`
      if (c.measure === 'count') {
        if ((c.op === '<' && c.value === 1) || (c.op === '==' && c.value === 0) || (c.op === '<=' && c.value === 0)) return `${c.within ? 'did not do' : 'never did'} ${event}${where}${when}`
        return `did ${event}${where}${often(c.op, c.value)}${when}`
      }
      return `${compared(`${c.property ?? ''} of ${event}${where} ${measures[c.measure]}`, c.op, c.value)}${when}`
    }
  }
}

/** The condition in words; what has no words stays the text it is. `names` are those of audiences. */
export function said(condition: string, names?: ReadonlyMap<string, string | undefined>): string {
  const { join, clauses } = partsOf(condition)
  const text = clauses.map((c) => clause(c, names)).join(join === 'all' ? ', and ' : ', or ')
  return text && text !== condition.trim() ? text[0]!.toUpperCase() + text.slice(1) : text
}

// A condition as parts a person can pick from. What has no such form stays the
// text it is, so every condition can be shown and none is changed by showing it.

export type Literal = string | number | boolean

export type Clause =
  | { kind: 'compare'; path: string; op: string; value: Literal }
  | { kind: 'among'; path: string; values: Literal[] }
  | { kind: 'known'; path: string; not: boolean }
  | { kind: 'done'; event: string; not: boolean; where?: { path: string; op: string; value: Literal }; within?: string; measure: 'happened' | 'count' | 'sum' | 'avg' | 'min' | 'max'; property?: string; op: string; value: number }
  | { kind: 'segment'; id: string; not: boolean }
  | { kind: 'consent'; purpose: string; not: boolean }
  | { kind: 'text'; text: string }

export interface Parts {
  join: 'all' | 'any'
  clauses: Clause[]
}

export const comparisons = ['==', '!=', '<', '<=', '>', '>='] as const

/** Splits at an operator that stands outside of brackets and texts. */
function split(text: string, operator: '&&' | '||'): string[] {
  const parts: string[] = []
  let depth = 0
  let quote = ''
  let from = 0
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!
    if (quote) {
      if (c === '\\') i++
      else if (c === quote) quote = ''
    } else if (c === '"' || c === "'") quote = c
    else if ('([{'.includes(c)) depth++
    else if (')]}'.includes(c)) depth--
    else if (depth === 0 && text.startsWith(operator, i)) {
      parts.push(text.slice(from, i))
      from = i + 2
      i++
    }
  }
  return [...parts, text.slice(from)].map((part) => part.trim())
}

const pathText = '[a-zA-Z_][\\w]*(?:\\.[a-zA-Z_][\\w]*)+'
const literalText = `"(?:[^"\\\\]|\\\\.)*"|'(?:[^'\\\\]|\\\\.)*'|-?\\d+(?:\\.\\d+)?|true|false`
const opText = '==|!=|<=|>=|<|>'
const textText = `"(?:[^"\\\\]|\\\\.)*"|'(?:[^'\\\\]|\\\\.)*'`

const compare = new RegExp(`^(${pathText})\\s*(${opText})\\s*(${literalText})$`)
const among = new RegExp(`^(${pathText})\\s+in\\s+\\[\\s*((?:${literalText})(?:\\s*,\\s*(?:${literalText}))*)\\s*\\]$`)
const known = new RegExp(`^(!?)\\s*has\\(\\s*(${pathText})\\s*\\)$`)
const segment = new RegExp(`^(!?)\\s*segments\\.has\\(\\s*(${textText})\\s*\\)$`)
const consent = new RegExp(`^(!?)\\s*consent\\.allows\\(\\s*(${textText})\\s*\\)$`)
const done = new RegExp(
  `^(!?)\\s*performed\\(\\s*(${textText})\\s*\\)` +
    `(?:\\.where\\(\\s*(properties(?:\\.[a-zA-Z_]\\w*)+)\\s*(${opText})\\s*(${literalText})\\s*\\))?` +
    `(?:\\.within\\(\\s*(${textText})\\s*\\))?` +
    `\\.(happened|count|sum|avg|min|max)\\(\\s*(${textText})?\\s*\\)(?:\\s*(${opText})\\s*(-?\\d+(?:\\.\\d+)?))?$`,
)

function literal(text: string): Literal {
  if (text === 'true' || text === 'false') return text === 'true'
  if (/^["']/.test(text)) return unquote(text)
  return Number(text)
}

const unquote = (text: string): string => text.slice(1, -1).replace(/\\(u[0-9a-fA-F]{4}|.)/g, (_, c: string) => (c[0] === 'u' ? String.fromCharCode(parseInt(c.slice(1), 16)) : c === 'n' ? '\n' : c === 't' ? '\t' : c))

function clauseOf(text: string): Clause {
  let m = compare.exec(text)
  if (m) return { kind: 'compare', path: m[1]!, op: m[2]!, value: literal(m[3]!) }
  m = among.exec(text)
  if (m) return { kind: 'among', path: m[1]!, values: (m[2]!.match(new RegExp(literalText, 'g')) ?? []).map(literal) }
  m = known.exec(text)
  if (m) return { kind: 'known', not: m[1] === '!', path: m[2]! }
  m = segment.exec(text)
  if (m) return { kind: 'segment', not: m[1] === '!', id: unquote(m[2]!) }
  m = consent.exec(text)
  if (m) return { kind: 'consent', not: m[1] === '!', purpose: unquote(m[2]!) }
  m = done.exec(text)
  if (m) {
    const measure = m[7] as 'happened'
    const wellFormed = measure === 'happened' ? !m[8] && !m[9] : m[9] && !m[1] && (measure === ('count' as string)) === !m[8]
    if (wellFormed)
      return {
        kind: 'done', not: m[1] === '!', event: unquote(m[2]!), measure, op: m[9] ?? '>=', value: Number(m[10] ?? 1),
        ...(m[3] && { where: { path: m[3].replace(/^properties\./, ''), op: m[4]!, value: literal(m[5]!) } }),
        ...(m[6] && { within: unquote(m[6]) }),
        ...(m[8] && { property: unquote(m[8]) }),
      }
  }
  return { kind: 'text', text }
}

export function partsOf(text: string): Parts {
  const whole = text.trim()
  if (!whole) return { join: 'all', clauses: [] }
  if (/(^|\s)\/\//.test(whole)) return { join: 'all', clauses: [{ kind: 'text', text: whole }] } // a comment holds for the whole
  const any = split(whole, '||')
  if (any.length > 1) return { join: 'any', clauses: any.map(clauseOf) }
  return { join: 'all', clauses: split(whole, '&&').map(clauseOf) }
}

const lit = (value: Literal) => (typeof value === 'string' ? JSON.stringify(value) : String(value))

export function clauseText(clause: Clause): string {
  switch (clause.kind) {
    case 'compare':
      return `${clause.path} ${clause.op} ${lit(clause.value)}`
    case 'among':
      return `${clause.path} in [${clause.values.map(lit).join(', ')}]`
    case 'known':
      return `${clause.not ? '!' : ''}has(${clause.path})`
    case 'segment':
      return `${clause.not ? '!' : ''}segments.has(${lit(clause.id)})`
    case 'consent':
      return `${clause.not ? '!' : ''}consent.allows(${lit(clause.purpose)})`
    case 'text':
      return clause.text
    case 'done': {
      const head = `performed(${lit(clause.event)})${clause.where ? `.where(properties.${clause.where.path} ${clause.where.op} ${lit(clause.where.value)})` : ''}${clause.within ? `.within(${lit(clause.within)})` : ''}`
      return clause.measure === 'happened' ? `${clause.not ? '!' : ''}${head}.happened()` : `${head}.${clause.measure}(${clause.measure === 'count' ? '' : lit(clause.property ?? '')}) ${clause.op} ${clause.value}`
    }
  }
}

export function textOf({ join, clauses }: Parts): string {
  const texts = clauses.filter((clause) => clause.kind !== 'text' || clause.text.trim()).map((clause) => {
    const text = clauseText(clause)
    // "or" inside of an "and" needs its brackets; the other way round it does not.
    return join === 'all' && clauses.length > 1 && clause.kind === 'text' && split(text, '||').length > 1 ? `(${text})` : text
  })
  return texts.join(join === 'all' ? ' && ' : ' || ')
}

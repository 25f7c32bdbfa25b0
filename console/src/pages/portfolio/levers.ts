// What the board tries, as text: for the address, and as a change of documents.
import type { BoardChange, ConfigDocument } from '@/api/types'

/** "tasting-set:w1.5,c0.2;free-shipping:off": short, readable, and kept in the address. */
export function writeLevers(changes: BoardChange[]): string | undefined {
  const text = changes
    .map((change) => {
      const parts = [change.off && 'off', change.weight !== undefined && `w${change.weight}`, change.cost !== undefined && `c${change.cost}`, change.priority !== undefined && `p${change.priority}`].filter(Boolean)
      return parts.length ? `${encodeURIComponent(change.action)}:${parts.join(',')}` : ''
    })
    .filter(Boolean)
    .join(';')
  return text || undefined
}

/** Reads what writeLevers wrote; what cannot be read is left out. */
export function readLevers(text: string | undefined): BoardChange[] {
  const out: BoardChange[] = []
  for (const part of (text ?? '').split(';')) {
    const at = part.indexOf(':')
    if (at < 1) continue
    const change: BoardChange = { action: unescaped(part.slice(0, at)) }
    for (const word of part.slice(at + 1).split(',')) {
      const n = Number(word.slice(1))
      if (word === 'off') change.off = true
      else if (word.length < 2 || !Number.isFinite(n) || n < 0) continue
      else if (word[0] === 'w') change.weight = n
      else if (word[0] === 'c') change.cost = n
      else if (word[0] === 'p') change.priority = Math.round(n)
    }
    if (Object.keys(change).length > 1) out.push(change)
  }
  return out
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** A number of a document's top level, as its text says it. */
export function numberIn(yaml: string, key: string): number | undefined {
  const found = new RegExp(`^${key}:[ \\t]*([0-9.eE+-]+)[ \\t]*(#.*)?$`, 'm').exec(yaml)
  return found ? Number(found[1]) : undefined
}

/** The document with a number of its top level set; everything else, comments too, stays as it is. */
export function withNumber(yaml: string, key: string, value: number): string {
  const line = new RegExp(`^${key}:[^\\n]*$`, 'm')
  const tail = line.exec(yaml)?.[0].match(/[ \t]#.*$/)?.[0] ?? ''
  return tail || line.test(yaml) ? yaml.replace(line, `${key}: ${value}${tail}`) : `${yaml.replace(/\n*$/, '\n')}${key}: ${value}\n`
}

/** The texts of the documents that the levers change, as one. Switched off is weight 0. */
export function changedTexts(changes: BoardChange[], documents: ConfigDocument[]): string {
  const texts: string[] = []
  for (const change of changes) {
    const doc = documents.find((d) => d.kind === 'action' && d.id === change.action)
    if (!doc) continue
    let yaml = doc.yaml
    if (change.weight !== undefined) yaml = withNumber(yaml, 'weight', change.weight)
    if (change.cost !== undefined) yaml = withNumber(yaml, 'cost', change.cost)
    if (change.priority !== undefined) yaml = withNumber(yaml, 'priority', change.priority)
    texts.push(yaml.replace(/\n*$/, '\n'))
  }
  return texts.join('---\n')
}

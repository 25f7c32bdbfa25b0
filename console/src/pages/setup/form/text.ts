// A YAML document as values with their places in the text, and edits of the
// text that leave everything else as it was written: comments, order, quotes.
import type { SyntaxNode } from '@lezer/common'
import { parser } from '@lezer/yaml'
import type { Json } from '@/api/types'

export type Path = (string | number)[]

interface Place {
  from: number
  to: number
}
export interface Scalar extends Place {
  kind: 'scalar'
  value: string | number | boolean | null
  style: 'plain' | 'quoted' | 'block'
}
export interface Pair extends Place {
  key: string
  /** Where the key ends: a value that is missing would stand behind the colon. */
  keyTo: number
  value?: Node
}
export interface Mapping extends Place {
  kind: 'map'
  flow: boolean
  pairs: Pair[]
}
export interface Element extends Place {
  value?: Node
}
export interface Sequence extends Place {
  kind: 'list'
  flow: boolean
  items: Element[]
}
export type Node = Scalar | Mapping | Sequence

/** What a text says; `broken` where it cannot be read as one document, and why. */
export interface Reading {
  root?: Mapping
  broken?: string
}

export function read(text: string): Reading {
  const tree = parser.parse(text)
  const documents = tree.topNode.getChildren('Document')
  if (documents.length > 1) return { broken: 'The text holds several documents. They are edited as text.' }
  let error: number | undefined
  let special = false
  tree.iterate({
    enter(node) {
      if (node.type.isError) error ??= node.from
      if (node.name === 'Anchor' || node.name === 'Alias' || node.name === 'Tag') special = true
    },
  })
  if (error !== undefined) return { broken: `The text cannot be read at line ${text.slice(0, error).split('\n').length}.` }
  if (special) return { broken: 'The text uses anchors or tags. It is edited as text.' }
  const top = documents[0] && valueOf(documents[0], text)
  if (top === undefined) return { root: { kind: 'map', flow: false, pairs: [], from: text.length, to: text.length } }
  return top.kind === 'map' ? { root: top } : { broken: 'The text holds no keys.' }
}

function valueOf(node: SyntaxNode, text: string): Node | undefined {
  for (let child = node.firstChild; child; child = child.nextSibling) {
    const found = nodeOf(child, text)
    if (found) return found
  }
  return undefined
}

function nodeOf(node: SyntaxNode, text: string): Node | undefined {
  const place = { from: node.from, to: node.from + text.slice(node.from, node.to).trimEnd().length }
  switch (node.name) {
    case 'BlockMapping':
    case 'FlowMapping':
      return { kind: 'map', flow: node.name === 'FlowMapping', pairs: node.getChildren('Pair').map((pair) => pairOf(pair, text)), ...place }
    case 'BlockSequence':
    case 'FlowSequence':
      return { kind: 'list', flow: node.name === 'FlowSequence', items: node.getChildren('Item').map((item) => itemOf(item, text)), ...place }
    case 'Literal':
      return { kind: 'scalar', style: 'plain', value: plain(fold(text.slice(place.from, place.to))), ...place }
    case 'QuotedLiteral':
      return { kind: 'scalar', style: 'quoted', value: unquote(text.slice(place.from, place.to)), ...place }
    case 'BlockLiteral':
      return { kind: 'scalar', style: 'block', value: blockText(node, text), ...place }
    default:
      return undefined
  }
}

function itemOf(item: SyntaxNode, text: string): Element {
  const written = text.slice(item.from, item.to)
  return { from: item.from + written.length - written.trimStart().length, to: item.from + written.trimEnd().length, value: valueOf(item, text) }
}

function pairOf(pair: SyntaxNode, text: string): Pair {
  const key = pair.getChild('Key')
  const name = key ? valueOf(key, text) : undefined
  let value: Node | undefined
  for (let child = key?.nextSibling ?? pair.firstChild; child && !value; child = child.nextSibling) value = nodeOf(child, text)
  return { key: name?.kind === 'scalar' ? String(name.value ?? '') : '', from: pair.from, to: pair.from + text.slice(pair.from, pair.to).trimEnd().length, keyTo: key?.to ?? pair.from, value }
}

/** Line breaks within a plain or quoted text are blanks; an empty line is a break. */
const fold = (text: string) => text.replace(/[ \t]*\n[ \t]*(\n[ \t]*)*/g, (found) => '\n'.repeat((found.match(/\n/g)?.length ?? 1) - 1) || ' ')

function plain(text: string): Scalar['value'] {
  if (text === '' || text === '~' || /^null$/i.test(text)) return null
  if (/^true$/i.test(text)) return true
  if (/^false$/i.test(text)) return false
  return /^[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?$/i.test(text) ? Number(text) : text
}

function unquote(text: string): string {
  if (text.startsWith("'")) return fold(text.slice(1, -1)).replaceAll("''", "'")
  try {
    return JSON.parse(`"${fold(text.slice(1, -1))}"`) as string
  } catch {
    return fold(text.slice(1, -1))
  }
}

function blockText(node: SyntaxNode, text: string): string {
  const header = text.slice(node.from, node.firstChild?.to ?? node.from)
  const body = node.getChild('BlockLiteralContent')
  if (!body) return ''
  const lines = text.slice(body.from, body.to).split('\n')
  const indent = Math.min(...lines.filter((line) => line.trim()).map((line) => line.length - line.trimStart().length))
  const bare = lines.map((line) => line.slice(Math.min(indent, line.length))).join('\n').trimEnd()
  return (header.startsWith('>') ? bare.replace(/([^\n])\n(?=[^\n ])/g, '$1 ') : bare) + (header.includes('-') ? '' : '\n')
}

/** The value of a node, without its places. */
export function json(node: Node | undefined): Json {
  if (!node) return null
  if (node.kind === 'scalar') return node.value
  return node.kind === 'list' ? node.items.map((item) => json(item.value)) : Object.fromEntries(node.pairs.map((pair) => [pair.key, json(pair.value)]))
}

/** The node at a path, if it is written. */
export function at(node: Node | undefined, path: Path): Node | undefined {
  for (const step of path) {
    if (node?.kind === 'map') node = node.pairs.find((pair) => pair.key === step)?.value
    else if (node?.kind === 'list' && typeof step === 'number') node = node.items[step]?.value
    else return undefined
  }
  return node
}

/** The path of what is written at an offset: of the innermost key or element around it. */
export function pathAt(root: Node | undefined, offset: number): Path {
  const path: Path = []
  let node = root
  while (node && node.kind !== 'scalar') {
    if (node.kind === 'map') {
      const pair: Pair | undefined = node.pairs.find((p) => offset >= p.from && offset <= p.to)
      if (!pair) break
      path.push(pair.key)
      node = pair.value
    } else {
      const index: number = node.items.findIndex((item) => offset >= item.from && offset <= item.to)
      if (index < 0) break
      path.push(index)
      node = node.items[index]?.value
    }
  }
  return path
}

/** Where what a path names is written: the key and its value, or the nearest thing around it. */
export function placeOf(root: Node | undefined, path: Path): Place | undefined {
  let node = root
  let place: Place | undefined
  for (const step of path) {
    const found: Pair | Element | undefined = node?.kind === 'map' ? node.pairs.find((pair) => pair.key === step) : node?.kind === 'list' && typeof step === 'number' ? node.items[step] : undefined
    if (!found) break
    place = found
    node = found.value
  }
  return place
}

const columnOf = (text: string, offset: number) => offset - (text.lastIndexOf('\n', offset - 1) + 1)
const lineEnd = (text: string, offset: number) => {
  const end = text.indexOf('\n', offset)
  return end < 0 ? text.length : end
}
const splice = (text: string, from: number, to: number, insert: string) => text.slice(0, from) + insert + text.slice(to)

/** Puts a rendered value in place of a range. A comment behind it stays on its line. */
function settle(text: string, from: number, to: number, rendered: string): string {
  const end = lineEnd(text, to)
  const comment = /^\s+#/.test(text.slice(to, end)) ? text.slice(to, end) : ''
  const first = rendered.indexOf('\n')
  return comment && first >= 0 ? splice(text, from, end, rendered.slice(0, first) + comment + rendered.slice(first)) : splice(text, from, to, rendered)
}

/** A text as a scalar that reads as that text again. */
function scalarText(value: string | number | boolean | null, flow: boolean): string {
  if (typeof value !== 'string') return value === null ? 'null' : String(value)
  const bare = /^[\p{L}_/$*.]?[^\n]*$/u.test(value) && (/^[\p{L}_/$]/u.test(value) || /^\d+[a-z]+(\d+[a-z]+)*$/.test(value)) && value === value.trim() && !/: | #|:$|\t/.test(value) && !(flow && /[,[\]{}]/.test(value)) && typeof plain(value) === 'string'
  if (bare) return value
  return value.includes('"') && !/[\n\\\t]/.test(value) ? `'${value.replaceAll("'", "''")}'` : JSON.stringify(value)
}

/** A value as it stands behind a key or a dash, `indent` columns in. */
export function render(value: Json, indent: number, flow = false): string {
  if (value === null || typeof value !== 'object') {
    if (typeof value === 'string' && !flow && value.includes('\n') && !/^\s|[ \t]\n|\t/.test(value) && value.trim()) {
      const pad = ' '.repeat(indent)
      return `|${value.endsWith('\n') ? '' : '-'}\n${value.replace(/\n$/, '').split('\n').map((line) => line && pad + line).join('\n')}`
    }
    return scalarText(value, flow)
  }
  const entries = Array.isArray(value) ? [] : Object.entries(value)
  if (flow || (Array.isArray(value) ? value.every((v) => v === null || typeof v !== 'object') : entries.length === 0)) {
    return Array.isArray(value) ? `[${value.map((v) => render(v, 0, true)).join(', ')}]` : `{${entries.map(([k, v]) => `${scalarText(k, true)}: ${render(v, 0, true)}`).join(', ')}}`
  }
  const pad = ' '.repeat(indent)
  const lines = Array.isArray(value) ? value.map((v) => `${pad}- ${inner(v, indent + 2)}`) : entries.map(([k, v]) => pad + line(k, v, indent))
  return '\n' + lines.join('\n')
}

/** A key and its value, where the key stands `indent` columns in. */
const line = (key: string, value: Json, indent: number) => {
  const text = render(value, indent + 2)
  return `${scalarText(key, false)}:${text.startsWith('\n') ? '' : ' '}${text}`
}

/** What stands behind a dash: the first key of an object stands on its line. */
const inner = (value: Json, indent: number) => render(value, indent).replace(/^\n */, '')

/** Writes a value at a path. What is not there yet is added, a key in the place its order asks for. */
export function put(text: string, path: Path, value: Json, order: readonly string[] = []): string {
  const { root } = read(text)
  if (!root) return text
  // The innermost thing on the way that is written.
  let node: Node = root
  let depth = 0
  for (; depth < path.length; depth++) {
    const next = at(node, [path[depth]!])
    if (!next) break
    node = next
  }
  if (depth === path.length) return overwrite(text, root, path, node, value)
  // What is missing below it is added with it.
  const step = path[depth]!
  let rest: Json = value
  for (let i = path.length - 1; i > depth; i--) rest = typeof path[i] === 'number' ? [rest] : { [path[i]!]: rest }
  if (node.kind === 'list') return append(text, node, rest)
  if (node.kind === 'scalar') return depth === 0 ? text : overwrite(text, root, path.slice(0, depth), node, typeof step === 'number' ? [rest] : { [step]: rest })
  const empty = node.pairs.find((pair) => pair.key === step)
  if (empty) return behindColon(text, empty, rest, node.flow)
  return addKey(text, node, String(step), rest, order, depth === 0)
}

function overwrite(text: string, root: Node, path: Path, node: Node, value: Json): string {
  const parent = at(root, path.slice(0, -1))
  const flow = parent !== undefined && parent.kind !== 'scalar' && parent.flow
  const holder = placeOf(root, path)
  const indent = indentOf(text, parent)
  if (node.kind === 'scalar' && (value === null || typeof value !== 'object') && !(typeof value === 'string' && value.includes('\n'))) {
    const kept = node.style === 'quoted' && typeof value === 'string'
    const quote = text[node.from]
    const written = kept ? (quote === "'" ? `'${value.replaceAll("'", "''")}'` : JSON.stringify(value)) : scalarText(value, flow)
    return splice(text, node.from, node.to, written)
  }
  const rendered = render(value, indent + 2, flow || (node.kind !== 'scalar' && node.flow))
  // A block begins on a line of its own, right behind the colon.
  const from = rendered.startsWith('\n') && holder ? backToColon(text, node.from) : node.from
  const behind = from < node.from || /[\s[{,]/.test(text[from - 1] ?? ' ') ? '' : ' '
  if (rendered.startsWith('\n') && parent?.kind === 'list') return splice(text, node.from, node.to, inner(value, columnOf(text, node.from)))
  return settle(text, from, node.to, behind + rendered)
}

function backToColon(text: string, offset: number): number {
  let i = offset
  while (i > 0 && /\s/.test(text[i - 1]!)) i--
  return i
}

function indentOf(text: string, node: Node | undefined): number {
  if (!node || node.kind === 'scalar') return 0
  const first = node.kind === 'map' ? node.pairs[0] : node.items[0]
  if (!first) return 0
  return node.kind === 'map' ? columnOf(text, first.from) : columnOf(text, text.lastIndexOf('-', first.from))
}

function behindColon(text: string, pair: Pair, value: Json, flow: boolean): string {
  const colon = text.indexOf(':', pair.keyTo) + 1
  const rendered = render(value, columnOf(text, pair.from) + 2, flow)
  return settle(text, colon, colon, rendered.startsWith('\n') ? rendered : ' ' + rendered)
}

function addKey(text: string, node: Mapping, key: string, value: Json, order: readonly string[], top: boolean): string {
  if (node.flow || (node.pairs.length === 0 && !top)) {
    const inside = node.pairs.length ? ', ' : ''
    return splice(text, node.to - 1, node.to - 1, `${inside}${scalarText(key, true)}: ${render(value, 0, true)}`)
  }
  const indent = indentOf(text, node)
  const pad = ' '.repeat(indent)
  // Behind the last key that comes before it in the order of its kind.
  const rank = order.indexOf(key)
  const before = rank < 0 ? node.pairs.at(-1) : node.pairs.findLast((pair) => order.includes(pair.key) && order.indexOf(pair.key) < rank)
  if (node.pairs.length === 0) return `${text}${text && !text.endsWith('\n') ? '\n' : ''}${line(key, value, 0)}\n`
  if (!before) {
    const first = node.pairs[0]!
    return splice(text, first.from, first.from, `${line(key, value, indent)}\n${pad}`)
  }
  const end = lineEnd(text, before.to)
  return splice(text, end, end, `\n${pad}${line(key, value, indent)}`)
}

function append(text: string, node: Sequence, value: Json): string {
  const last = node.items.at(-1)
  if (node.flow || !last) return splice(text, node.to - 1, node.to - 1, `${last ? ', ' : ''}${render(value, 0, true)}`)
  const indent = indentOf(text, node)
  const end = lineEnd(text, last.to)
  return splice(text, end, end, `\n${' '.repeat(indent)}- ${inner(value, indent + 2)}`)
}

/** Takes out what a path names; an object or list that it leaves empty goes with it. */
export function remove(text: string, path: Path): string {
  const { root } = read(text)
  if (!root || path.length === 0) return text
  const parent = at(root, path.slice(0, -1))
  const step = path.at(-1)!
  if (!parent || parent.kind === 'scalar') return text
  const list: (Pair | Element)[] = parent.kind === 'map' ? parent.pairs : parent.items
  const index = parent.kind === 'map' ? parent.pairs.findIndex((pair) => pair.key === step) : Number(step)
  const gone = list[index]
  if (!gone) return text
  if (list.length === 1 && path.length > 1) {
    // The last of an element of a list leaves an empty element; the list keeps its length.
    return typeof path.at(-2) === 'number' ? splice(text, parent.from, parent.to, parent.kind === 'map' ? '{}' : '[]') : remove(text, path.slice(0, -1))
  }
  const next = list[index + 1]
  if (parent.flow) {
    const before = list[index - 1]
    return next ? splice(text, gone.from, next.from, '') : before ? splice(text, before.to, gone.to, '') : splice(text, gone.from, gone.to, '')
  }
  if (parent.kind === 'list') {
    const dash = text.lastIndexOf('-', gone.from)
    return removeLines(text, dash, gone.to, next && text.lastIndexOf('-', next.from))
  }
  return removeLines(text, gone.from, gone.to, next?.from)
}

function removeLines(text: string, from: number, to: number, next: number | undefined): string {
  const start = from - columnOf(text, from)
  const onOwnLine = text.slice(start, from).trim() === ''
  if (!onOwnLine && next !== undefined) return splice(text, from, next, '') // it follows a dash: the next takes its place
  const end = lineEnd(text, to)
  return splice(text, onOwnLine ? start : from, end < text.length ? end + 1 : end, '')
}

/** Gives a key another name. */
export function rename(text: string, path: Path, name: string): string {
  const { root } = read(text)
  const parent = at(root, path.slice(0, -1))
  const pair = parent?.kind === 'map' ? parent.pairs.find((p) => p.key === path.at(-1)) : undefined
  return pair && parent?.kind === 'map' && !parent.pairs.some((p) => p.key === name) ? splice(text, pair.from, pair.keyTo, scalarText(name, parent.flow)) : text
}

/** Swaps an element of a list with the one after it. */
export function swap(text: string, path: Path, index: number): string {
  const { root } = read(text)
  const list = at(root, path)
  const a = list?.kind === 'list' ? list.items[index] : undefined
  const b = list?.kind === 'list' ? list.items[index + 1] : undefined
  if (!a || !b) return text
  return text.slice(0, a.from) + text.slice(b.from, b.to) + text.slice(a.to, b.from) + text.slice(a.from, a.to) + text.slice(b.to)
}

import { createContext, use } from 'react'
import type { ConfigDocument, ConfigError, ConfigField, Json } from '@/api/types'
import { at, json, pathAt, type Node, type Path } from './text'

/** What every input of a form shares. */
export interface FormState {
  text: string
  root: Node
  errors: { path: Path; error: ConfigError }[]
  documents: ConfigDocument[]
  kinds: string[]
  currency?: string
  readOnly: boolean
  /** Where the cursor of the text stands. */
  active?: Path
  put: (path: Path, value: Json, order?: readonly string[]) => void
  remove: (path: Path) => void
  /** Makes any change of the text. */
  change: (edit: (text: string) => string) => void
  /** A field was entered: its lines are shown in the text. */
  enter: (path: Path) => void
}

export const FormContext = createContext<FormState | undefined>(undefined)

export function useForm(): FormState {
  const form = use(FormContext)
  if (!form) throw new Error('an input stands outside of a form')
  return form
}

const same = (a: Path, b: Path) => a.length === b.length && a.every((step, i) => step === b[i])
export const within = (path: Path, outer: Path) => outer.every((step, i) => step === path[i])

/** What is wrong at a path, or anywhere below it. */
export const wrongAt = (form: FormState, path: Path, deep = true) => form.errors.filter((e) => (deep ? within(e.path, path) : same(e.path, path))).map((e) => e.error)

export const isActive = (form: FormState, path: Path) => form.active !== undefined && same(form.active, path)

/** Gives every error the path of the key it is about. */
export function pathsOf(text: string, root: Node, errors: ConfigError[]): FormState['errors'] {
  const lines = text.split('\n')
  return errors.map((error) => {
    const offset = lines.slice(0, error.line - 1).reduce((sum, line) => sum + line.length + 1, 0) + Math.max(0, error.column - 1)
    const path = pathAt(root, offset)
    const missing = /^the key ([\w.[\]]+) is missing/.exec(error.message)?.[1]?.split('.').at(-1)
    return { path: missing && !/\[/.test(missing) ? [...(at(root, path)?.kind === 'scalar' ? path.slice(0, -1) : path), missing] : path, error }
  })
}

/** "quietHours" as people read it. */
const shouted = new Set(['gtin', 'url', 'tls', 'ttl', 'clv', 'ca', 'id', 'sku', 'skus', 'sms', 'gtins'])
export function nameOf(key: string): string {
  const words = key.replace(/([a-z\d])([A-Z])/g, '$1 $2').replace(/[_-]+/g, ' ').toLowerCase().split(' ')
  const text = words.map((word) => (shouted.has(word) ? word.toUpperCase() : word)).join(' ')
  return text.charAt(0).toUpperCase() + text.slice(1)
}

const usual = ['Order Completed', 'Product Viewed', 'Product Added', 'Cart Viewed', 'Checkout Started', 'Decision Clicked', 'Signed Up']

/** What may be picked for a field: ids of documents, names of events, what other documents hold there. */
export function suggestions(field: ConfigField, { documents, kinds }: Pick<FormState, 'documents' | 'kinds'>): string[] {
  const from = field.ref ?? field.suggest
  if (!from) return []
  if (from === 'kind') return kinds
  if (from === 'event') return eventNames(documents)
  const [kind, key] = from.split('.')
  const those = documents.filter((doc) => doc.kind === kind)
  if (!key) return those.map((doc) => doc.id)
  return unique(those.flatMap((doc) => new RegExp(`^${key}:[ \\t]*["']?([^"'#\\n]+?)["']?[ \\t]*(?:#.*)?$`, 'm').exec(doc.yaml)?.[1] ?? []))
}

const unique = (list: string[]) => [...new Set(list)].sort((a, b) => a.localeCompare(b))

/** Names of events that documents speak of. */
export function eventNames(documents: ConfigDocument[]): string[] {
  return unique([...usual, ...documents.flatMap(({ yaml }) => [...[...yaml.matchAll(/performed\("([^"]+)"\)/g)].map((m) => m[1]!), ...[...yaml.matchAll(/(?:^|[\s{,])(?:event|on):\s*["']?([^"'#,}\n]+?)["']?\s*(?=[#,}\n]|$)/g)].map((m) => m[1]!)])])
}

/** Paths that conditions ask about, such as traits.country. */
export function knownPaths(documents: ConfigDocument[]): string[] {
  return unique([
    ...['traits.country', 'traits.email', 'traits.city', 'scores.clv', 'scores.churn', 'scores.intent', 'scores.nextPurchase', 'now.hour', 'now.weekday'],
    ...documents.filter((doc) => doc.kind === 'computed').map((doc) => `computed.${doc.id}`),
    ...documents.flatMap(({ yaml }) => yaml.match(/\b(?:traits|scores|context)\.[a-zA-Z_]\w*/g) ?? []),
  ])
}

export const valueAt = (form: FormState, path: Path): Json | undefined => {
  const node = at(form.root, path)
  return node && json(node)
}

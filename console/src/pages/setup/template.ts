import type { ConfigField } from '@/api/types'

const known: Record<string, (id: string) => string> = {
  action: (id) => `kind: action
id: ${id}
type: message          # offer message recommendation question command content
placements: []         # where it may appear
when: performed("Order Completed").within("90d").count() >= 1
content:
  title: Hello
  url: /
goals:
  - {event: Order Completed, within: 7d, value: properties.revenue}
`,
  source: (id) => `kind: source\nid: ${id}\nkey: ${newKey(id)}\n`,
  placement: (id) => `kind: placement\nid: ${id}\nslots: 1\n`,
  segment: (id) => `kind: segment\nid: ${id}\nname: ${id}\nwhen: performed("Order Completed").within("90d").count() >= 1\n`,
  approval: (id) => `kind: approval\nid: ${id}\nkinds: [action, policy]   # all kinds if left out\nrole: marketer             # or admin\n`,
  policy: (id) => `kind: policy\nid: ${id}\nholdout: 0.05\ncaps:\n  - {scope: person, max: 3, per: 1d}\nquietHours: {from: "21:00", to: "08:00", zone: person}\n`,
}

/** A first text for a new document: ours where there is one, else its required keys. */
export function template(kind: string, id: string, about?: ConfigField): string {
  const own = known[kind]
  if (own) return own(id)
  const lines = [`kind: ${kind}`, `id: ${id}`]
  for (const field of about?.fields ?? []) {
    if (field.required && field.name !== 'kind' && field.name !== 'id') lines.push(`${field.name}: ${field.enum?.[0] ?? (field.default === undefined ? '' : JSON.stringify(field.default))}`.trimEnd())
  }
  return lines.join('\n') + '\n'
}

const letters = 'abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789'

/** A write key that cannot be guessed: 16 characters of 56, about 93 bits. */
export function newKey(id: string): string {
  const draws = crypto.getRandomValues(new Uint32Array(16))
  return `wk_${id.replace(/[^a-z0-9]/gi, '').slice(0, 12).toLowerCase()}_${[...draws].map((n) => letters[n % letters.length]).join('')}`
}

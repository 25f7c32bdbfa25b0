// Who is who, drawn: identifiers as dots, links as lines.
import type { Identifier, IdentityLink } from '@/api/types'
import { identifierKind } from '@/format/person'
import { cx } from '@/ui/cx'

interface Node {
  key: string
  identifier: Identifier
  x: number
  y: number
  /** Sits left of the middle: its name is written towards the left. */
  left: boolean
}

export const nameOf = (identifier: Identifier) => `${identifier.kind}:${identifier.value}`

const shownAtMost = 24
const width = 720
const middle = { x: width / 2, y: 0 }

const tones: Record<string, string> = { userId: 'fill-accent', email: 'fill-view', phone: 'fill-cart', anonymousId: 'fill-decision', loyaltyCard: 'fill-order' }

/** The identifier most links meet at stands in the middle, the others around it, the most alike in kind side by side. */
function layOut(links: IdentityLink[]): { nodes: Map<string, Node>; height: number; left: number } {
  const degree = new Map<string, { identifier: Identifier; n: number }>()
  for (const link of links)
    for (const identifier of link.identifiers ?? []) {
      const found = degree.get(nameOf(identifier))
      if (found) found.n++
      else degree.set(nameOf(identifier), { identifier, n: 1 })
    }
  const all = [...degree].sort(([, a], [, b]) => Number(b.identifier.kind === 'userId') - Number(a.identifier.kind === 'userId') || b.n - a.n)
  const [hub, ...others] = all
  const around = others.slice(0, shownAtMost).sort(([a], [b]) => a.localeCompare(b))
  const perSide = Math.ceil(around.length / 2)
  const height = Math.max(120, perSide * 44 + 20)
  middle.y = height / 2
  const nodes = new Map<string, Node>()
  if (hub) nodes.set(hub[0], { key: hub[0], identifier: hub[1].identifier, x: middle.x, y: middle.y, left: false })
  around.forEach(([key, { identifier }], i) => {
    const left = i >= perSide
    const row = left ? i - perSide : i
    const rows = left ? around.length - perSide : perSide
    nodes.set(key, { key, identifier, left, x: left ? 220 : width - 220, y: height / 2 + (row - (rows - 1) / 2) * 44 })
  })
  return { nodes, height, left: others.length - around.length }
}

/** The links of a person as a picture; the list beside it says the same in words. */
export function LinkGraph({ links, chosen, onChoose }: { links: IdentityLink[]; chosen?: string; onChoose: (id: string) => void }) {
  const { nodes, height, left } = layOut(links)
  if (nodes.size < 2) return null
  const stands = links.filter((link) => link.state === 'counts').length
  return (
    <figure>
      <div className="overflow-x-auto" tabIndex={0} role="group" aria-label="Graph of identifiers">
        <svg role="img" aria-label={`${nodes.size} identifiers joined by ${stands} links that count`} viewBox={`0 0 ${width} ${height}`} className="block w-full min-w-[560px]">
          {links.map((link) => {
            const [a, b] = (link.identifiers ?? []).map((identifier) => nodes.get(nameOf(identifier)))
            if (!a || !b) return null
            return (
              <g key={link.id} onClick={() => onChoose(link.id)} className="cursor-pointer">
                <title>{`${link.kind}, ${link.state === 'counts' ? 'counts' : link.state}: ${link.evidence}`}</title>
                <line x1={a.x} y1={a.y} x2={b.x} y2={b.y} strokeWidth="12" className="stroke-transparent" />
                <line
                  x1={a.x}
                  y1={a.y}
                  x2={b.x}
                  y2={b.y}
                  strokeWidth={link.id === chosen ? 3 : 1.5}
                  strokeDasharray={link.state === 'counts' ? undefined : '4 4'}
                  className={cx(link.id === chosen ? 'stroke-accent' : link.state === 'withdrawn' ? 'stroke-bad' : link.state === 'held' ? 'stroke-warn' : 'stroke-line-strong')}
                />
              </g>
            )
          })}
          {[...nodes.values()].map((node) => {
            const hub = node.x === middle.x
            return (
              <g key={node.key}>
                <circle cx={node.x} cy={node.y} r={hub ? 9 : 6} className={tones[node.identifier.kind] ?? 'fill-other'} />
                <text x={hub ? node.x : node.x + (node.left ? -13 : 13)} y={hub ? node.y - 16 : node.y - 2} textAnchor={hub ? 'middle' : node.left ? 'end' : 'start'} fontSize="12" className="fill-text">
                  {short(node.identifier.value)}
                </text>
                <text x={hub ? node.x : node.x + (node.left ? -13 : 13)} y={hub ? node.y + 24 : node.y + 12} textAnchor={hub ? 'middle' : node.left ? 'end' : 'start'} fontSize="11" className="fill-muted">
                  {identifierKind(node.identifier.kind)}
                </text>
              </g>
            )
          })}
        </svg>
      </div>
      <figcaption className="mt-1 text-meta text-muted">
        A line is a link; dashed ones do not count. Choose one to read its evidence.{left > 0 && ` ${left} more identifiers are in the list only.`}
      </figcaption>
    </figure>
  )
}

const short = (text: string) => (text.length > 28 ? `${text.slice(0, 16)}…${text.slice(-10)}` : text)

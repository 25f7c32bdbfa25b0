// Who a person is: the tiles above the page and the cards beside the timeline.
import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { Box, Check, X } from 'lucide-react'
import { personQuery, segmentsQuery, sendingQuery } from '@/api/queries'
import type { Person } from '@/api/types'
import { spokenName } from '@/format/event'
import { count, decimal, money, percent, plural } from '@/format/number'
import { called, consentRows, plain, readScore, spokenSoft, spokenTrait } from '@/format/person'
import { ago, moment } from '@/format/time'
import { serverNow } from '@/shell/clock'
import { useCurrency } from '@/shell/currency'
import { Ago, Bar, Card, Rows } from '@/ui/parts'
import { Tile, Tiles, type TileProps } from '@/ui/tile'
import { answersBest } from './answers'

/** Four figures: what is predicted first, where it is; then what was counted. */
export function PersonTiles({ person }: { person: Person }) {
  const currency = useCurrency()
  return (
    <Tiles>
      {tiles(person, currency)
        .slice(0, 4)
        .map((tile) => (
          <Tile key={tile.label} {...tile} />
        ))}
    </Tiles>
  )
}

const whole = (n: number, currency?: string) => money(Math.round(n), currency).replace(/\.00$/, '')

function tiles(person: Person, currency: string | undefined): TileProps[] {
  const out: TileProps[] = []
  const scores = person.scores ?? {}
  if (scores.clv !== undefined) {
    const clv = readScore(scores.clv)
    out.push({
      label: 'Lifetime value',
      value: whole(clv.value, currency),
      sub: clv.low === undefined || clv.high === undefined ? undefined : `80 % range ${whole(clv.low, currency)} – ${whole(clv.high, currency)}`,
      explain: <p>What this person is expected to still bring, from the rhythm and size of their purchases. The range holds in four of five cases.</p>,
    })
  }
  if (scores.intent !== undefined) {
    // Zero is told while no session runs.
    const running = scores.intent > 0
    out.push({
      label: 'Intent now',
      value: running ? percent(scores.intent) : <span className="text-muted">–</span>,
      sub: running ? 'this session ends in a purchase' : 'no session is running',
      explain: <p>How likely it is that the session that runs now ends in a purchase, from what was done in it. The Models page tells how good it is.</p>,
    })
  }
  if (scores.churn !== undefined) {
    out.push({ label: 'Churn', value: percent(scores.churn), sub: scores.churn > 0.5 ? 'has probably left' : 'chance to have left', explain: <p>How likely it is that this person has left for good, from how long they have bought nothing beside their own rhythm.</p> })
  }
  const counters = Object.entries(person.counters ?? {}).sort((a, b) => b[1] - a[1])
  const events = counters.reduce((sum, [, n]) => sum + n, 0)
  const orders = person.counters?.['Order Completed']
  if (orders) out.push({ label: 'Orders', value: count(orders), sub: 'completed, all time', explain: <p>Events named “Order Completed”, each counted once.</p> })
  out.push({
    label: 'Events',
    value: count(events),
    sub: `last ${ago(person.lastSeen, serverNow())}${ago(person.lastSeen, serverNow()) === 'now' ? '' : ' ago'}`,
    explain: (
      <>
        <p>Everything this person did, on every device that is theirs.</p>
        {counters.slice(0, 6).map(([name, n]) => (
          <p key={name} className="flex justify-between gap-6">
            <span className="clip">{spokenName(name)}</span>
            <span className="tabular-nums">{count(n)}</span>
          </p>
        ))}
      </>
    ),
  })
  out.push({ label: 'Known for', value: ago(person.firstSeen, serverNow()), sub: `since ${moment(person.firstSeen).slice(0, 10)}`, explain: <p>Time since the first event of any device that belongs to this person.</p> })
  out.push({
    label: 'Devices and names',
    value: count(person.identifiers.length),
    sub: person.identifiers.length === 1 ? 'one way to know them' : 'joined into one person',
    explain: <p>Identifiers that lead to this person. The Identity tab shows why each belongs, and takes it back if it does not.</p>,
  })
  const allowed = consentRows(person.consent).filter((row) => row.allowed).length
  out.push({ label: 'Consent', value: count(allowed), sub: allowed ? 'purposes allowed' : 'nothing allowed', explain: <p>Purposes and channels this person has agreed to.</p> })
  return out
}

export function Segments({ person }: { person: Person }) {
  const segments = person.segments ?? []
  const names = new Map((useQuery(segmentsQuery).data ?? []).map((s) => [s.id, s.name]))
  if (segments.length === 0) return null
  return (
    <Card title="Audiences">
      <ul className="space-y-2.5">
        {segments.map((segment) => (
          <li key={segment.id} title={segment.since ? `since ${moment(segment.since)}` : undefined}>
            <div className="mb-1 flex justify-between gap-3">
              <Link to="/audiences/$id" params={{ id: segment.id }} className="clip hover:underline">{names.get(segment.id) || segment.id}</Link>
              <span className="text-muted tabular-nums">{segment.degree === undefined || segment.degree === 1 ? (segment.since ? `for ${ago(segment.since, serverNow())}` : '') : percent(segment.degree)}</span>
            </div>
            {segment.degree !== undefined && segment.degree < 1 && <Bar share={segment.degree} />}
          </li>
        ))}
      </ul>
    </Card>
  )
}

/** Nobody is one thing: the soft segments a person belongs to most. */
export function Mixture({ person }: { person: Person }) {
  const soft = [...(person.scores?.softSegments ?? [])].sort((a, b) => b.degree - a.degree).slice(0, 4)
  if (soft.length === 0) return null
  return (
    <Card
      title="Who they are"
      actions={
        <Link to="/people/$ref" params={{ ref: person.id }} search={{ tab: 'scores' }} className="shrink-0 text-meta font-medium text-accent hover:underline">
          All scores
        </Link>
      }
    >
      <ul className="space-y-2.5">
        {soft.map((one) => (
          <li key={one.id}>
            <div className="mb-1 flex justify-between gap-3">
              <span className="clip">{spokenSoft(one.name)}</span>
              <span className="text-muted tabular-nums">{percent(one.degree)}</span>
            </div>
            <Bar share={one.degree} label={`${spokenSoft(one.name)}: ${percent(one.degree)}`} />
          </li>
        ))}
      </ul>
    </Card>
  )
}

/** What one would want to know before speaking to them, in a few lines. */
export function Portrait({ person }: { person: Person }) {
  const sending = useQuery(sendingQuery(person.id)).data
  const { nextPurchase, affinities, replenishment } = person.scores ?? {}
  const best = sending && answersBest(sending)
  const drawn = [...(affinities ?? [])].sort((a, b) => b.degree - a.degree).slice(0, 2)
  const needs = [...(replenishment ?? [])].sort((a, b) => a.days - b.days)[0]
  const days = (n: number) => decimal(Math.max(0, Math.round(n)))
  const rows = [
    ...(nextPurchase ? [{ name: 'Next purchase', value: `in ${days(nextPurchase.low)}–${days(nextPurchase.high)} days`, note: '80 % range, should they not have left' }] : []),
    ...(drawn.length ? [{ name: 'Drawn to', value: drawn.map((a) => a.value).join(', '), note: drawn.map((a) => `${a.value}, ${a.attribute}: ${percent(a.degree)}`).join('\n') }] : []),
    ...(needs ? [{ name: `Needs ${needs.product}`, value: needs.days < 1 ? 'now' : `in ${days(needs.low)}–${days(needs.high)} days`, note: '80 % range' }] : []),
    ...(best?.at ? [{ name: 'Answers best at', value: best.at, note: 'The hour messages to them, or to people like them, are answered most' }] : []),
    ...(best?.through ? [{ name: 'Answers through', value: best.through }] : []),
    ...(person.zone ? [{ name: 'Time zone', value: person.zone }] : []),
  ]
  if (rows.length === 0) return null
  return (
    <Card title="In short">
      <Rows rows={rows} />
    </Card>
  )
}

/** Who they share an address or a product with: people of their own. */
export function Households({ person }: { person: Person }) {
  const homes = (person.households ?? []).filter((home) => home.tooMany || home.people.length > 1)
  if (homes.length === 0) return null
  return (
    <Card title="Household" note="People of their own, who share something">
      <ul className="space-y-1.5">
        {homes.map((home) => (
          <li key={home.id} className="flex items-baseline gap-2">
            <span className="shrink-0 text-muted">{home.shares === 'address' ? 'One address' : 'One product'}</span>
            <span className="min-w-0 flex-1 text-right">
              {home.tooMany
                ? 'too many to be one home'
                : home.people
                    .filter((id) => id !== person.id)
                    .slice(0, 4)
                    .map((id, i) => (
                      <span key={id}>
                        {i > 0 && ', '}
                        <PersonName id={id} />
                      </span>
                    ))}
            </span>
          </li>
        ))}
      </ul>
    </Card>
  )
}

function PersonName({ id }: { id: string }) {
  const other = useQuery({ ...personQuery(id), staleTime: 60_000 }).data
  return (
    <Link to="/people/$ref" params={{ ref: id }} className="link">
      {called(other?.name, id)}
    </Link>
  )
}

export function Items({ person }: { person: Person }) {
  if (!person.items?.length) return null
  return (
    <Card title="Their products">
      <ul>
        {person.items.map((item) => {
          const { id, name, state } = typeof item === 'string' ? { id: item, name: undefined, state: undefined } : item
          return (
            <li key={id} className="py-1">
              <Link to="/products/items/$id" params={{ id }} className="flex items-center gap-2 hover:underline">
                <Box size={14} aria-hidden className="shrink-0 text-muted" />
                <span className="clip">{name ?? id}</span>
                {state && <span className="text-muted">{state}</span>}
              </Link>
            </li>
          )
        })}
      </ul>
    </Card>
  )
}

export function Traits({ person }: { person: Person }) {
  const told = Object.entries(person.traits ?? {})
  const computed = Object.entries(person.computed ?? {})
  if (told.length + computed.length === 0) {
    return (
      <Card title="Traits">
        <p className="text-muted">None yet. An identify call brings them.</p>
      </Card>
    )
  }
  return (
    <Card title="Traits">
      <Rows
        rows={[
          ...computed.map(([name, value]) => ({ name: spokenTrait(name), value: typeof value === 'number' ? decimal(value) : plain(value), note: `${name}, computed live` })),
          ...told.map(([name, value]) => {
            const from = person.traitSources?.[name]
            return { name: spokenTrait(name), value: plain(value), note: from ? `${plain(value)}\nfrom ${from.source}, ${moment(from.at)}\ntraits.${name}` : `${plain(value)}\ntraits.${name}` }
          }),
        ]}
      />
    </Card>
  )
}

export function ConsentCard({ person }: { person: Person }) {
  const rows = consentRows(person.consent)
  return (
    <Card title="Consent">
      {rows.length === 0 ? (
        <p className="text-muted">Nothing was asked or answered yet. What needs consent stays unsaid.</p>
      ) : (
        <ul>
          {rows.map((row) => (
            <li key={`${row.purpose} ${row.channel}`} className="flex items-baseline gap-2 py-[3.5px]" title={row.at ? `${row.allowed ? 'allowed' : 'denied'} ${moment(row.at)}${row.source ? `, ${row.source}` : ''}` : undefined}>
              {row.allowed ? <Check size={13} aria-hidden className="shrink-0 translate-y-0.5 text-good" /> : <X size={13} aria-hidden className="shrink-0 translate-y-0.5 text-bad" />}
              <span className="clip flex-1">
                {row.purpose}
                {row.channel && <span className="text-muted"> · {row.channel}</span>}
                <span className="sr-only">{row.allowed ? ', allowed' : ', denied'}</span>
              </span>
              {row.at && <Ago time={row.at} className="text-meta text-muted" />}
            </li>
          ))}
        </ul>
      )}
    </Card>
  )
}

export function Counters({ person }: { person: Person }) {
  const counters = Object.entries(person.counters ?? {}).sort((a, b) => b[1] - a[1])
  if (counters.length === 0) return null
  const most = counters[0]?.[1] ?? 1
  return (
    <Card title="What they do" note={plural(counters.length, 'kind of event', 'kinds of event')}>
      <ul className="space-y-2">
        {counters.slice(0, 7).map(([name, n]) => (
          <li key={name}>
            <div className="mb-1 flex justify-between gap-3">
              <span className="clip">{spokenName(name)}</span>
              <span className="text-muted tabular-nums">{count(n)}</span>
            </div>
            <Bar share={n / most} label={`${spokenName(name)}: ${n}`} />
          </li>
        ))}
      </ul>
    </Card>
  )
}

import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { CircleCheck, HeartPulse, TriangleAlert } from 'lucide-react'
import { fleetQuery, productsQuery } from '@/api/queries'
import type { FleetGroup, FleetReport } from '@/api/types'
import { count, percent, plural } from '@/format/number'
import { day, toDate } from '@/format/time'
import { serverNow } from '@/shell/clock'
import { Bar, Badge, Card } from '@/ui/parts'
import { Page } from '@/ui/page'
import { RangePlot, Shares } from '@/ui/charts'
import { Empty, Loaded, Skeleton } from '@/ui/states'
import { Segmented } from '@/ui/tabs'
import { Tile, Tiles, TileSkeleton } from '@/ui/tile'
import { ProductTabs } from './tabs'

const route = getRouteApi('/products/fleet')
const spans = ['7', '30', '90'] as const

/** How the fleet fares: trouble by firmware, what is about to run out or wants service. */
export function Fleet() {
  const { days = '7', gtin = '' } = route.useSearch()
  const navigate = route.useNavigate()
  const query = useQuery(fleetQuery(days, gtin))
  const products = useQuery(productsQuery).data ?? []
  const nameOf = (of: string) => products.find((p) => p.gtin === of)?.name ?? `GTIN ${of}`
  return (
    <Page
      title="Fleet"
      purpose="How all items fare, and what is due for whom."
      status={query.data && `${plural(query.data.items, 'item')}, since ${day(query.data.since)}`}
      actions={<Segmented label="Time looked at" value={days as '7'} options={spans.map((value) => ({ value, label: `${value} days` }))} onChange={(next) => void navigate({ search: (before) => ({ ...before, days: next === '7' ? undefined : next }), replace: true })} />}
    >
      <ProductTabs />
      <Loaded
        query={query}
        skeleton={
          <>
            <TileSkeleton />
            <Skeleton className="h-[320px] rounded-card!" />
          </>
        }
      >
        {(report) =>
          report.items === 0 ? (
            <div className="card">
              <Empty icon={<HeartPulse size={18} />} title="No item yet">
                The fleet is read from what items tell: their telemetry, faults and firmware. Connect devices over MQTT, or send their readings over HTTP.
              </Empty>
            </div>
          ) : (
            <Report report={report} nameOf={nameOf} days={days} />
          )
        }
      </Loaded>
    </Page>
  )
}

const sum = (list: number[]) => list.reduce((total, n) => total + n, 0)

function Report({ report, nameOf, days }: { report: FleetReport; nameOf: (gtin: string) => string; days: string }) {
  const insights = report.groups.filter((group) => group.insight)
  const faulty = sum(report.groups.map((group) => group.faulty))
  const anomalous = sum(report.groups.map((group) => group.anomalous))
  const soon = (kind: string) => sum(report.due.filter((due) => due.kind === kind).map((due) => due.week))
  const gtins = [...new Set(report.groups.map((group) => group.gtin))]
  return (
    <>
      <Tiles>
        <Tile label="With a fault" value={count(faulty)} sub={`${percent(faulty / report.items)} of ${plural(report.items, 'item')}`} explain={<p>Items that told of a fault, or asked for service, in the last {days} days.</p>} />
        <Tile label="Behaving oddly" value={count(anomalous)} sub="a reading beyond the item’s own past" explain={<p>Each item’s readings are compared with that item’s own usual ones. One that is very unlike them counts here, whether or not anything is broken.</p>} />
        <Tile label="Low stock" value={count(soon('runOut'))} sub="used up within a week" explain={<p>Items whose contents are foreseen to run out within seven days, by how fast they are being used now.</p>} />
        <Tile label="Service due" value={count(soon('service'))} sub="within a week" explain={<p>Items foreseen to reach the line at which they need service within seven days.</p>} />
      </Tiles>
      {insights.map((group) => (
        <Insight key={group.gtin + group.firmware} group={group} rest={report.groups.filter((other) => other.gtin === group.gtin && other !== group)} nameOf={nameOf} days={days} />
      ))}
      {insights.length === 0 && (
        <p className="flex items-center gap-2 text-muted">
          <CircleCheck size={14} aria-hidden className="shrink-0 text-good" />
          No firmware is known to do worse than the others of its product. One with fewer than ten items is not judged: chance alone could explain it.
        </p>
      )}
      <div className="grid items-start gap-3 lg:grid-cols-2">
        <div className="space-y-3">
          {gtins.map((gtin) => (
            <Firmwares key={gtin} name={nameOf(gtin)} gtin={gtin} groups={report.groups.filter((group) => group.gtin === gtin)} />
          ))}
        </div>
        <div className="space-y-3">
          <Due report={report} nameOf={nameOf} />
          <Soonest report={report} nameOf={nameOf} />
        </div>
      </div>
    </>
  )
}

const troubled = (group: FleetGroup) => Math.max(group.anomalous, group.faulty)

/** A firmware that does worse: one card, instead of an alarm for each of its items. */
function Insight({ group, rest, nameOf, days }: { group: FleetGroup; rest: FleetGroup[]; nameOf: (gtin: string) => string; days: string }) {
  const others = sum(rest.map((one) => one.items))
  const share = group.items ? troubled(group) / group.items : 0
  const elsewhere = others ? sum(rest.map(troubled)) / others : 0
  const reading = group.readings[0]
  return (
    <section aria-label={`Insight: firmware ${group.firmware || '(none told)'} of ${nameOf(group.gtin)}`} className="card border-l-2 border-l-warn p-4">
      <h2 className="flex items-center gap-2 text-card font-semibold">
        <TriangleAlert size={15} aria-hidden className="text-warn" />
        Firmware {group.firmware || '(none told)'} of {nameOf(group.gtin)} makes trouble
      </h2>
      <p className="mt-1 max-w-[720px] text-muted">
        {count(troubled(group))} of its {plural(group.items, 'item')} had a fault or an odd reading in {days} days: {percent(share)}, against {percent(elsewhere)} with other firmware. By chance alone that would come {oddsOf(group.chance)}.
        {reading && ` Most often it is the reading ${reading.reading} (${plural(reading.items, 'item')}).`}
      </p>
      <div className="mt-3 grid max-w-[520px] grid-cols-[minmax(0,150px)_1fr_52px] items-center gap-x-3 gap-y-1.5">
        <span className="clip">{group.firmware || 'none told'}</span>
        <Bar share={share} label={percent(share)} />
        <span className="text-right tabular-nums">{percent(share)}</span>
        <span className="clip text-muted">others</span>
        <Bar share={elsewhere} label={percent(elsewhere)} />
        <span className="text-right text-muted tabular-nums">{percent(elsewhere)}</span>
      </div>
      <p className="mt-3 flex flex-wrap gap-4">
        <Link to="/products/rollouts" className="link">
          Stop or start a rollout
        </Link>
        <Link to="/products" search={{ gtin: group.gtin }} className="link">
          See its items
        </Link>
      </p>
    </section>
  )
}

const oddsOf = (chance: number) => (chance <= 0 || chance < 1e-6 ? 'less than once in a million' : chance < 0.5 ? `once in ${count(Math.round(1 / chance))}` : 'more often than not')

function Firmwares({ name, gtin, groups }: { name: string; gtin: string; groups: FleetGroup[] }) {
  const widest = Math.max(0.05, ...groups.map((group) => Math.max(group.faulty, group.anomalous) / Math.max(1, group.items)))
  const shown = [...groups].sort((a, b) => b.items - a.items).slice(0, 12)
  return (
    <Card
      title={name}
      note={`${plural(sum(groups.map((group) => group.items)), 'item')}; share with trouble by firmware, a full bar is ${percent(widest)}`}
      actions={
        <Link to="/products" search={{ gtin }} className="link shrink-0">
          Items
        </Link>
      }
    >
      <ul className="mt-1 space-y-2.5">
        {shown.map((group) => (
          <li key={group.firmware}>
            <p className="mb-1 flex items-center gap-2">
              <span className="font-mono text-meta">{group.firmware || 'no firmware told'}</span>
              <span className="text-meta text-muted tabular-nums">{plural(group.items, 'item')}</span>
              {group.insight && <Badge look="warn">worse than the rest</Badge>}
            </p>
            {(
              [
                ['faults', group.faulty],
                ['odd readings', group.anomalous],
              ] as const
            ).map(([what, n]) => (
              <span key={what} className="grid grid-cols-[84px_1fr_84px] items-center gap-x-3">
                <span className="text-meta text-muted">{what}</span>
                <Bar share={n / Math.max(1, group.items) / widest} label={`${percent(n / Math.max(1, group.items))} with ${what}`} />
                <span className="text-right text-meta tabular-nums">
                  {count(n)} · {percent(n / Math.max(1, group.items))}
                </span>
              </span>
            ))}
          </li>
        ))}
      </ul>
      {groups.length > shown.length && <p className="mt-2 text-meta text-muted">and {plural(groups.length - shown.length, 'more firmware', 'more firmwares')} with fewer items</p>}
    </Card>
  )
}

const kinds: Record<string, string> = { runOut: 'runs out', service: 'service due' }

function Due({ report, nameOf }: { report: FleetReport; nameOf: (gtin: string) => string }) {
  return (
    <Card title="Remaining life" note="How long until items run out or want service">
      {report.due.length === 0 ? (
        <p className="text-muted">Nothing is foreseen yet. It needs readings that fall or rise steadily, and a product that says what they mean.</p>
      ) : (
        <ul className="space-y-3">
          {report.due.map((due) => (
            <li key={due.gtin + due.kind}>
              <p className="mb-1 flex justify-between gap-3">
                <span className="clip">
                  <span className="font-medium">{nameOf(due.gtin)}</span> <span className="text-muted">{kinds[due.kind]}</span>
                </span>
                <span className="text-meta text-muted tabular-nums">{plural(due.week + due.month + due.quarter + due.later, 'item')}</span>
              </p>
              <Shares
                label={`${nameOf(due.gtin)} ${kinds[due.kind]}`}
                parts={[
                  { name: 'a week', value: due.week, ink: 'bg-order' },
                  { name: 'a month', value: due.month, ink: 'bg-cart' },
                  { name: '3 months', value: due.quarter, ink: 'bg-view' },
                  { name: 'later', value: due.later, ink: 'bg-other' },
                ]}
                write={count}
              />
            </li>
          ))}
        </ul>
      )}
    </Card>
  )
}

function Soonest({ report, nameOf }: { report: FleetReport; nameOf: (gtin: string) => string }) {
  if (report.soonest.length === 0) return null
  const now = serverNow()
  const shown = report.soonest.slice(0, 10)
  const end = Math.max(...shown.map((next) => Math.min(toDate(next.high).getTime(), now + 60 * 86_400_000)), now + 86_400_000)
  return (
    <Card title="Due first" note={`Dot: the day expected. Line: where it lies in 4 of 5 cases, from today to ${day(end)}`}>
      <ul className="-mx-2">
        {shown.map((next) => (
          <li key={next.item + next.kind}>
            <Link to="/products/items/$id" params={{ id: next.item }} className="grid grid-cols-[minmax(0,1fr)_minmax(0,1fr)_72px] items-center gap-3 rounded-control px-2 py-1.5 transition-colors hover:bg-sunken">
              <span className="min-w-0">
                <span className="clip block">{nameOf(next.gtin)}</span>
                <span className="clip block text-meta text-muted">
                  {next.item.split('_21_')[1] ?? next.item} · {kinds[next.kind]}
                </span>
              </span>
              <RangePlot from={now} to={end} at={toDate(next.at).getTime()} low={toDate(next.low).getTime()} high={toDate(next.high).getTime()} label={`${day(next.at)}, between ${day(next.low)} and ${day(next.high)}`} />
              <span className="text-right text-meta whitespace-nowrap tabular-nums">{toDate(next.at).getTime() <= now ? 'now' : day(next.at)}</span>
            </Link>
          </li>
        ))}
      </ul>
    </Card>
  )
}

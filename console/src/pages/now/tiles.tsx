import type { Overview } from '@/api/types'
import { liftValue } from '@/format/lift'
import { compact, count, decimal, millis, money, percent } from '@/format/number'
import { Spark } from '@/ui/charts'
import { Ago } from '@/ui/parts'
import { Tile, Tiles, type TileProps } from '@/ui/tile'

/** The four figures: what the base is worth, what decisions add, who is known, and the flow. */
export function NowTiles({ overview }: { overview: Overview }) {
  return (
    <Tiles>
      {(overview.clv ? [clvTile(overview, overview.clv), liftTile(overview), peopleTile(overview), decisionsTile(overview)] : [peopleTile(overview), liftTile(overview), eventsTile(overview), decisionsTile(overview)]).map((tile) => (
        <Tile key={tile.label} {...tile} />
      ))}
    </Tiles>
  )
}

/** What the customers who still come are expected to bring. */
function clvTile({ currency }: Overview, clv: NonNullable<Overview['clv']>): TileProps {
  const at = (n: number) => money(n >= 100 ? Math.round(n) : n, currency).replace(/\.00$/, '')
  const horizon = Math.round(clv.horizonDays / 30.4)
  return {
    label: 'Customer lifetime value',
    value: at(clv.value),
    sub: `95 % interval ${at(clv.low)} – ${at(clv.high)}`,
    explain: (
      <>
        <p>What an active customer is expected to bring within {horizon} months, on average. Active: they bought, and have more likely stayed than left.</p>
        <p>
          {count(clv.people)} of {count(clv.customers)} customers are active; together they are worth {at(clv.total)}.{clv.sampled < clv.people && ` Estimated from ${count(clv.sampled)} of them.`}
        </p>
        <p>
          Counted <Ago time={clv.at} suffix="ago" />. The interval is what chance leaves open; how far the model itself may be off is on the Models page.
        </p>
      </>
    ),
  }
}

function peopleTile({ people, events, clv }: Overview): TileProps {
  return {
    label: 'People known',
    value: compact(people),
    sub: clv ? `${decimal(events.perSecond)} events a second` : `from ${compact(events.total)} events`,
    aside: clv && <Spark values={events.lastHour} label={`Events a minute over the last hour, ${count(events.lastHour.reduce((sum, n) => sum + n, 0))} in all`} />,
    explain: (
      <>
        <p>Relationships held: everyone seen at least once, after several devices and names of one person were joined.</p>
        <p>
          {count(people)} now, from {count(events.total)} events. Counted live; erased people are not in it.
        </p>
      </>
    ),
  }
}

function liftTile({ lift, holdoutShare, currency }: Overview): TileProps {
  if (!lift) {
    return {
      label: 'Lift over the holdout',
      value: '–',
      sub: holdoutShare > 0 ? `${percent(holdoutShare)} held out, not enough data yet` : 'no holdout is configured',
      explain: (
        <>
          <p>What decisions add, against people who are left in peace on purpose. It shows once both groups are large enough for an interval.</p>
          <p>{holdoutShare > 0 ? `${percent(holdoutShare)} of people are in the permanent holdout.` : 'Set holdout in the policy document to measure it.'}</p>
        </>
      ),
    }
  }
  const sure = lift.low > 0 ? 'The interval lies above zero.' : lift.high < 0 ? 'The interval lies below zero.' : 'The interval spans zero: this may still be chance.'
  const at = (n: number) => liftValue(n, lift.unit, currency)
  return {
    label: 'Lift over the holdout',
    // What may be chance does not shout.
    value: lift.low > 0 || lift.high < 0 ? at(lift.value) : <span className="text-muted">{at(lift.value)}</span>,
    sub: `95 % interval ${at(lift.low)} to ${at(lift.high)}`,
    explain: (
      <>
        <p>What the people we decide for bring more than those in the permanent holdout, in {lift.unit}: what would not have come otherwise.</p>
        <p>
          {count(lift.treated)} treated, {count(lift.holdout)} held out ({percent(holdoutShare)}). {sure}
        </p>
      </>
    ),
  }
}

function eventsTile({ events }: Overview): TileProps {
  const hour = events.lastHour.reduce((sum, n) => sum + n, 0)
  return {
    label: 'Events per second',
    value: decimal(events.perSecond),
    sub: `${compact(hour)} in the last hour`,
    aside: <Spark values={events.lastHour} label={`Events a minute over the last hour, ${count(hour)} in all`} />,
    explain: (
      <>
        <p>Accepted events, durable before they were acknowledged; duplicates are not counted. Mean of the last ten seconds.</p>
        <p>{count(events.total)} in all.</p>
      </>
    ),
  }
}

function decisionsTile({ decisions }: Overview): TileProps {
  return {
    label: 'Decisions per second',
    value: decimal(decisions.perSecond),
    sub: `p99 ${millis(decisions.p99Millis)} · ${percent(decisions.nothingShare)} nothing`,
    explain: (
      <>
        <p>Moments at which the next best thing was chosen for one person, “nothing” included.</p>
        <p>
          Half take under {millis(decisions.p50Millis)}, 99 of 100 under {millis(decisions.p99Millis)}. {count(decisions.total)} since the server started. Of the recent ones {percent(decisions.nothingShare)} chose to say nothing.
        </p>
      </>
    ),
  }
}

import type { Action, Interval } from '@/api/types'
import { percent, signedPercent } from '@/format/number'
import { IntervalPlot } from '@/ui/charts'

/** Half the width of an axis that holds every interval, in round tenths of a percent. */
export function liftSpan(actions: Action[]): number {
  const most = Math.max(0.01, ...actions.flatMap((action) => (action.stats.lift ? [Math.abs(action.stats.lift.low), Math.abs(action.stats.lift.high)] : [])))
  return Math.ceil(most * 100) / 100
}

export const liftText = (lift: Interval) => `${signedPercent(lift.value)}, 95 % interval ${signedPercent(lift.low)} to ${signedPercent(lift.high)}`

/** A lift with its interval; no lift is ever shown without. */
export function Lift({ lift, span }: { lift: Interval | undefined; span: number }) {
  if (!lift) return <span className="text-meta text-muted">not enough data</span>
  return (
    <span className="flex items-center gap-3" title={liftText(lift)}>
      <IntervalPlot interval={lift} span={span} className="min-w-0 flex-1" />
      <span className="w-[52px] shrink-0 text-right tabular-nums">{signedPercent(lift.value)}</span>
    </span>
  )
}

export const clickRate = (action: Action) => (action.stats.shown > 0 ? percent(action.stats.clicked / action.stats.shown) : '–')

import type { Action, Lift } from '@/api/types'
import { liftSentence, liftValue } from '@/format/lift'
import { percent } from '@/format/number'
import { useCurrency } from '@/shell/currency'
import { IntervalPlot } from '@/ui/charts'

/** A lift with its interval; no lift is ever shown without. */
export function LiftCell({ lift, span }: { lift: Lift | null | undefined; span: number }) {
  const currency = useCurrency()
  if (!lift) return <span className="text-meta text-muted">not enough data</span>
  const text = liftSentence(lift, currency)
  return (
    <span className="flex items-center gap-3" title={text}>
      <IntervalPlot interval={lift} span={span} label={text} className="min-w-0 flex-1" />
      <span className="w-[58px] shrink-0 text-right tabular-nums">{liftValue(lift.value, lift.unit, currency)}</span>
    </span>
  )
}

export const clickRate = (action: Action) => (action.stats.shown > 0 ? percent(action.stats.clicked / action.stats.shown) : '–')

import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { actionsQuery } from '@/api/queries'
import { liftSentence, liftValue } from '@/format/lift'
import { percent } from '@/format/number'
import { useCurrency } from '@/shell/currency'
import { Bar, Card } from '@/ui/parts'

/** The actions that speak most, with what they bring. */
export function AtWork() {
  const actions = useQuery({ ...actionsQuery, refetchInterval: 15_000 }).data
  const currency = useCurrency()
  const shown = [...(actions ?? [])].filter((action) => action.stats.share > 0).sort((a, b) => b.stats.share - a.stats.share).slice(0, 5)
  if (shown.length === 0) return null
  return (
    <Card
      title="At work"
      note="Lift, and share of what is said"
      actions={
        <Link to="/actions" className="shrink-0 text-meta font-medium text-accent hover:underline">
          All actions
        </Link>
      }
    >
      <ul className="-mx-2">
        {shown.map((action) => (
          <li key={action.id}>
            <Link to="/actions/$id" params={{ id: action.id }} className="block rounded-control px-2 py-1.5 transition-colors hover:bg-sunken">
              <span className="mb-1.5 flex items-baseline justify-between gap-2">
                <span className="clip" title={action.id}>{action.title || action.id}</span>
                <span className="shrink-0 text-meta text-muted tabular-nums">
                  {action.stats.lift && <span title={liftSentence(action.stats.lift, currency)}>{liftValue(action.stats.lift.value, action.stats.lift.unit, currency)} · </span>}
                  {percent(action.stats.share)}
                </span>
              </span>
              <Bar share={action.stats.share} label={`${percent(action.stats.share)} of what is said`} />
            </Link>
          </li>
        ))}
      </ul>
    </Card>
  )
}

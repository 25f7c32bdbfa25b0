import type { DecisionSummary } from '@/api/types'
import { Badge } from '@/ui/parts'
import { useTitles } from '../actions/titles'

/** What was decided, in a word or two: the chosen actions, nothing and why, or the holdout. */
export function Outcome({ decision }: { decision: Pick<DecisionSummary, 'items' | 'holdout' | 'nothing'> }) {
  const titled = useTitles()
  if (decision.holdout) return <Badge>holdout</Badge>
  const items = decision.items ?? []
  if (items.length === 0) {
    return (
      <span className="text-muted">
        Nothing{decision.nothing ? ` · ${decision.nothing}` : ''}
      </span>
    )
  }
  return (
    <span className="font-medium" title={items.map((item) => item.action).join(', ')}>
      {titled(items[0]?.action)}
      {items.length > 1 && <span className="text-muted"> +{items.length - 1}</span>}
    </span>
  )
}

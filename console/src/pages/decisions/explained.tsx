import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { explainQuery } from '@/api/queries'
import { called } from '@/format/person'
import { moment } from '@/format/time'
import { CopyButton, CopyId } from '@/ui/parts'
import { Failure, Skeleton } from '@/ui/states'
import { Why } from '@/why/why'

/** One stored decision, explained. */
export function ExplainedDecision({ id }: { id: string }) {
  const query = useQuery(explainQuery(id))
  if (query.error) return <Failure error={query.error} retry={() => void query.refetch()} />
  if (!query.data) {
    return (
      <div role="status" aria-label="Loading" className="space-y-4">
        <Skeleton className="h-16" />
        <Skeleton className="h-40" />
        <Skeleton className="h-56" />
      </div>
    )
  }
  return <Why explanation={query.data} />
}

/** Who, where and when, above the explanation. */
export function DecisionHead({ id, level: Level }: { id: string; level: 'h1' | 'h2' }) {
  const decision = useQuery(explainQuery(id)).data?.decision
  return (
    <div className="min-w-0">
      <Level className={Level === 'h1' ? 'text-page font-semibold' : 'text-card font-semibold'}>
        {decision ? (
          <>
            Why{' '}
            <Link to="/people/$ref" params={{ ref: decision.personId }} className="link">
              {called(decision.person, decision.personId)}
            </Link>{' '}
            {decision.items?.length ? `got ${decision.items.map((item) => item.action).join(', ')}` : 'was left in peace'}
          </>
        ) : (
          'Why'
        )}
      </Level>
      <div className="flex flex-wrap items-center gap-x-2 text-meta text-muted">
        {decision && (
          <>
            <span>{decision.placement}</span>·<time>{moment(decision.time)}</time>·
          </>
        )}
        <CopyId id={id} />
      </div>
    </div>
  )
}

export function ExplainCall({ id }: { id: string }) {
  return <CopyButton label="Copy API call" text={`curl ${location.origin}/v1/decisions/${id}/explain -H "Authorization: Bearer $RAPPORT_TOKEN"`} />
}

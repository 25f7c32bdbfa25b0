import { getRouteApi } from '@tanstack/react-router'
import { Page } from '@/ui/page'
import { DecisionHead, ExplainCall, ExplainedDecision } from './explained'

const route = getRouteApi('/decisions/$id')

/** One decision on a page of its own, for links from elsewhere. */
export function DecisionPage() {
  const { id } = route.useParams()
  return (
    <Page title={`Decision ${id}`} heading={<DecisionHead id={id} level="h1" />} actions={<ExplainCall id={id} />}>
      <div className="card max-w-[860px] p-4 md:p-5">
        <ExplainedDecision id={id} />
      </div>
    </Page>
  )
}

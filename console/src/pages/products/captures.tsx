import { useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { Truck } from 'lucide-react'
import { capturesQuery } from '@/api/queries'
import type { CaptureJob } from '@/api/types'
import { count, plural } from '@/format/number'
import { moment } from '@/format/time'
import { Page } from '@/ui/page'
import { Panel } from '@/ui/panel'
import { Ago, Badge, CopyId } from '@/ui/parts'
import { Empty, Loaded } from '@/ui/states'
import { Table, TableCard, type Column } from '@/ui/table'
import { ProductTabs } from './tabs'

const route = getRouteApi('/products/supply-chain')

const State = ({ job }: { job: CaptureJob }) => (job.running ? <Badge look="warn">running</Badge> : job.success ? <Badge look="good">captured</Badge> : <Badge look="bad">refused</Badge>)

const columns: Column<CaptureJob>[] = [
  { id: 'job', head: 'Job', cell: (job) => <span className="font-mono text-meta">{job.captureID}</span> },
  { id: 'state', head: 'Outcome', width: 'w-[110px]', cell: (job) => <State job={job} /> },
  { id: 'events', head: 'Events', right: true, from: 'md', width: 'w-[90px]', cell: (job) => count(job.events) },
  { id: 'errors', head: 'Errors', right: true, from: 'md', width: 'w-[90px]', cell: (job) => count(job.errors?.length ?? 0) },
  { id: 'at', head: 'When', right: true, width: 'w-[100px]', cell: (job) => <Ago time={job.createdAt} suffix="ago" className="text-muted" /> },
]

/** What partners sent of the supply chain, and what was wrong with it. */
export function Captures() {
  const { id } = route.useSearch()
  const navigate = route.useNavigate()
  const query = useQuery(capturesQuery)
  const chosen = query.data?.find((job) => job.captureID === id)
  const broken = query.data?.filter((job) => (job.errors?.length ?? 0) > 0).length ?? 0
  return (
    <Page title="Supply chain" fill status={query.data && (broken ? `${plural(broken, 'job')} with errors` : plural(query.data.length, 'job'))} purpose="What partners captured over EPCIS 2.0.">
      <ProductTabs />
      <TableCard className="md:flex-1">
        <Loaded query={query}>
          {(jobs) => (
            <Table
              label="Capture jobs"
              columns={columns}
              rows={jobs}
              rowKey={(job) => job.captureID}
              link={(job) => ({ to: '/products/supply-chain', search: { id: job.captureID } })}
              selected={id}
              empty={
                <Empty icon={<Truck size={18} />} title="Nothing was captured yet">
                  Partners send EPCIS documents to POST /epcis/capture, with a token of the role source. Each is a job with its errors here.
                </Empty>
              }
            />
          )}
        </Loaded>
      </TableCard>
      {chosen && (
        <Panel
          label="Capture job"
          onClose={() => void navigate({ search: {} })}
          head={
            <>
              <h2 className="flex items-center gap-2 text-card font-semibold">
                {plural(chosen.events, 'event')} <State job={chosen} />
              </h2>
              <CopyId id={chosen.captureID} />
            </>
          }
        >
          <p className="text-muted">
            Begun {moment(chosen.createdAt)}
            {!chosen.running && `, ended ${moment(chosen.finishedAt)}`}. On an error the document {chosen.captureErrorBehaviour === 'proceed' ? 'goes on with its other events' : 'is taken back as a whole'}.
          </p>
          {(chosen.errors?.length ?? 0) === 0 && <p className="mt-3">Nothing was wrong.</p>}
          <ul className="mt-3 space-y-2">
            {chosen.errors?.map((error, i) => (
              <li key={i} className="rounded-control bg-bad-soft px-3 py-2">
                <p className="font-medium text-bad">{error.title}</p>
                <p className="break-words">{error.detail}</p>
                {error.eventID && <p className="font-mono text-meta break-all text-muted">{error.eventID}</p>}
              </li>
            ))}
          </ul>
        </Panel>
      )}
    </Page>
  )
}

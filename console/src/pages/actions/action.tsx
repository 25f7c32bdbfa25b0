import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { ArrowLeft, PenLine, Split } from 'lucide-react'
import { ApiError } from '@/api/client'
import { actionsQuery, decisionsQuery, documentQuery, segmentsQuery } from '@/api/queries'
import type { Action, Lift } from '@/api/types'
import { liftSentence, liftSpan, liftValue } from '@/format/lift'
import { count, decimal, money, percent } from '@/format/number'
import { called } from '@/format/person'
import { said } from '@/format/said'
import { useCurrency } from '@/shell/currency'
import { useMay } from '@/shell/session'
import { button } from '@/ui/button'
import { IntervalPlot } from '@/ui/charts'
import { Page } from '@/ui/page'
import { Ago, Badge, Card, Code, Rows } from '@/ui/parts'
import { Empty, Failure, Loaded, Skeleton } from '@/ui/states'
import { Tabs } from '@/ui/tabs'
import { Tile, Tiles, TileSkeleton } from '@/ui/tile'
import { PreviewAs } from '../content/preview'
import { clickRate } from './lift'

const route = getRouteApi('/actions/$id')

/** One action: what it is, for whom, and what it has brought. */
export function ActionPage() {
  const { id } = route.useParams()
  const { tab, person } = route.useSearch()
  const navigate = route.useNavigate()
  const query = useQuery(actionsQuery)
  const may = useMay()
  const action = query.data?.find((candidate) => candidate.id === id)
  if (query.error && !query.data) return <Failure error={query.error} retry={() => void query.refetch()} className="min-h-full" />
  if (query.data && !action) return <Failure error={new ApiError({ title: `There is no action ${id}`, status: 404, detail: 'It may have been removed from the config.' })} className="min-h-full" />
  return (
    <Page
      title={id}
      heading={
        <div>
          <Link to="/actions" className="mb-0.5 inline-flex items-center gap-1 text-meta text-muted hover:text-text">
            <ArrowLeft size={12} aria-hidden /> Actions
          </Link>
          <h1 className="flex items-center gap-2 text-page font-semibold">
            <span className="clip">{action?.title || id}</span>
            {action?.title && <span className="text-meta font-normal text-muted">{id}</span>}
            {action && <Badge>{action.type}</Badge>}
            {action?.purpose && <Badge title="The consent it needs">{action.purpose}</Badge>}
          </h1>
        </div>
      }
      actions={
        <>
          <Link to="/decisions" search={{ action: id }} className={button()}>
            <Split size={14} aria-hidden />
            Its decisions
          </Link>
          {may.edit && (
            <Link to="/setup/config/$kind/$id" params={{ kind: 'action', id }} className={button({ look: 'solid' })}>
              <PenLine size={14} aria-hidden />
              Edit
            </Link>
          )}
        </>
      }
    >
      {action ? <Figures action={action} /> : <TileSkeleton />}
      <Tabs
        label="Action"
        tabs={[
          { label: 'Overview', bySearch: true, link: { to: '/actions/$id', params: { id }, search: {} } },
          { label: 'Preview', bySearch: true, link: { to: '/actions/$id', params: { id }, search: { tab: 'preview' } } },
          { label: '</> Config', bySearch: true, link: { to: '/actions/$id', params: { id }, search: { tab: 'config' } } },
        ]}
      />
      {tab === 'config' ? (
        <Config id={id} />
      ) : tab === 'preview' && action ? (
        <div className="card max-w-[900px] p-4">
          <PreviewAs action={action} person={person} onPerson={(next) => void navigate({ search: { tab: 'preview', person: next }, replace: true })} />
        </div>
      ) : action ? (
        <Overview action={action} />
      ) : (
        <Skeleton className="h-72 rounded-card!" />
      )}
    </Page>
  )
}

function Figures({ action }: { action: Action }) {
  const currency = useCurrency()
  const { stats } = action
  const worth = (n: number) => (currency ? money(n, currency) : decimal(n))
  return (
    <Tiles>
      <Tile label="Shown" value={count(stats.shown)} sub={`${percent(stats.share)} of what is said`} explain={<p>Times it was chosen and seen. A showing is known from the event “Decision Shown”.</p>} />
      <Tile label="Clicked" value={clickRate(action)} sub={`${count(stats.clicked)} clicks`} explain={<p>Clicks over showings, from the event “Decision Clicked”.</p>} />
      <Tile label="Value per showing" value={worth(stats.mean)} sub={`${worth(stats.reward)} in all`} explain={<p>What one showing has brought on average: goals reached within their windows, less the cost. It counts what followed, not what it caused; for that see the lift.</p>} />
      <Tile
        label="Lift over the holdout"
        value={stats.lift ? liftValue(stats.lift.value, stats.lift.unit, currency) : '–'}
        sub={stats.lift ? `95 % interval ${liftValue(stats.lift.low, stats.lift.unit, currency)} to ${liftValue(stats.lift.high, stats.lift.unit, currency)}` : 'not enough data yet'}
        explain={
          <>
            <p>How much more the people who may get it bring than those in the permanent holdout. It is shown with its interval, or not at all.</p>
            {stats.lift && (
              <p>
                In {stats.lift.unit}, from {count(stats.lift.treated)} people treated and {count(stats.lift.holdout)} held out.
              </p>
            )}
          </>
        }
      />
    </Tiles>
  )
}

function Overview({ action }: { action: Action }) {
  const currency = useCurrency()
  const { lift } = action.stats
  const names = new Map((useQuery(segmentsQuery).data ?? []).map((s) => [s.id, s.name]))
  return (
    <div className="grid items-start gap-3 lg:grid-cols-[minmax(0,1fr)_340px]">
      <div className="space-y-3">
        <Card title="For whom">{action.when ? (<><p className="mb-2">{said(action.when, names)}.</p><Code label="Condition" text={action.when} /></>) : <p className="text-muted">Everybody: it has no condition.</p>}</Card>
        {lift && (
          <Card title="What it causes" note={`Against the holdout, in ${lift.unit}`}>
            <IntervalPlot interval={lift} span={liftSpan([lift])} label={liftSentence(lift, currency)} className="my-2 h-4" />
            <p className="text-muted">{verdict(lift, (n) => liftValue(n, lift.unit, currency))}</p>
          </Card>
        )}
        <Recent id={action.id} />
      </div>
      <Card title="Rules">
        <Rows
          rows={[
            { name: 'Type', value: action.type },
            { name: 'Placements', value: action.placements.join(', '), note: action.placements.join('\n') },
            { name: 'Through', value: action.channels?.join(', ') || action.channel || 'its placements', note: action.channels ? 'Which of them is learned for each person' : undefined },
            { name: 'Consent', value: action.purpose ?? 'not needed', note: 'The purpose a person must have allowed' },
            ...(action.version ? [{ name: 'Config version', value: action.version }] : []),
          ]}
        />
      </Card>
    </div>
  )
}

function verdict(lift: Lift, text: (n: number) => string): string {
  if (lift.low > 0) return `It helps: with 95 % confidence it adds between ${text(lift.low)} and ${text(lift.high)}.`
  if (lift.high < 0) return `It hurts: with 95 % confidence it takes between ${text(lift.high)} and ${text(lift.low)}.`
  return 'Nobody can tell yet: the interval spans zero. Rapport keeps learning, and shows it less the less it seems to bring.'
}

function Recent({ id }: { id: string }) {
  const query = useInfiniteQuery(decisionsQuery({ action: id }))
  const decisions = query.data?.pages[0]?.decisions?.slice(0, 8) ?? []
  return (
    <Card title="Who got it last">
      <Loaded query={query}>
        {() =>
          decisions.length === 0 ? (
            <Empty title="Nobody yet" className="py-6!" />
          ) : (
            <ul className="-mx-2">
              {decisions.map((d) => (
                <li key={d.decisionId}>
                  <Link to="/decisions/$id" params={{ id: d.decisionId }} className="flex h-[34px] items-center gap-3 rounded-control px-2 transition-colors hover:bg-sunken">
                    <span className="clip flex-1 font-medium">{called(d.person, d.personId)}</span>
                    <span className="clip text-muted">{d.placement}</span>
                    <Ago time={d.time} className="w-14 shrink-0 text-right text-meta text-muted" />
                  </Link>
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
    </Card>
  )
}

function Config({ id }: { id: string }) {
  const query = useQuery(documentQuery('action', id))
  return (
    <Loaded query={query} skeleton={<Skeleton className="h-72 rounded-card!" />}>
      {(doc) => (
        <div className="max-w-[900px] space-y-3">
          <Code label={`Config of ${id}`} className="[&_pre]:max-h-[640px]" text={doc.yaml} />
          <p className="text-meta text-muted">
            Version {doc.version}, by {doc.author}.{' '}
            <Link to="/setup/config/$kind/$id" params={{ kind: 'action', id }} search={{ view: 'history' }} className="link">
              History
            </Link>
          </p>
        </div>
      )}
    </Loaded>
  )
}

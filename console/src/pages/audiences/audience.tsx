import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { ArrowLeft, PencilLine, UsersRound } from 'lucide-react'
import { useEffect, useState } from 'react'
import { configQuery, membersQuery, overlapQuery, segmentHistoryQuery, segmentPreviewQuery, segmentsQuery } from '@/api/queries'
import { overviewQuery } from '@/api/shell'
import type { PersonSummary, Segment, SegmentHistory } from '@/api/types'
import { count, percent, plural } from '@/format/number'
import { called, mainIdentifier } from '@/format/person'
import { said } from '@/format/said'
import { ago, clock, day, toDate } from '@/format/time'
import { serverNow } from '@/shell/clock'
import { useMay } from '@/shell/session'
import { button } from '@/ui/button'
import { Trend } from '@/ui/charts'
import { Explained } from '@/ui/explain'
import { Page } from '@/ui/page'
import { Ago, Avatar, Badge, Bar, Card, Code } from '@/ui/parts'
import { Empty, Failure, Loaded, Skeleton } from '@/ui/states'
import { Tabs } from '@/ui/tabs'
import { Tile, Tiles, TileSkeleton } from '@/ui/tile'
import { Editing } from '../setup/document'
import { StateBadge } from './audiences'

const route = getRouteApi('/audiences/$id')

/** One segment: how large it is and was, who is in it, what it shares, and its definition. */
export function Audience() {
  const { id } = route.useParams()
  const { tab, when } = route.useSearch()
  const may = useMay()
  const query = useQuery(segmentsQuery)
  const segment = query.data?.find((s) => s.id === id)
  const missing = query.data !== undefined && !segment
  const defining = tab === 'definition'
  if (query.error && !query.data) return <Failure error={query.error} retry={() => void query.refetch()} className="min-h-full" />
  return (
    <Page
      title={segment?.name || id}
      fill={defining}
      heading={
        <div className="min-w-0">
          <Link to="/audiences" className="mb-0.5 inline-flex items-center gap-1 text-meta text-muted hover:text-text">
            <ArrowLeft size={12} aria-hidden /> Audiences
          </Link>
          <h1 className="flex items-center gap-2 text-page font-semibold">
            <span className="clip">{segment?.name || id}</span>
            {missing && <Badge look="good">new</Badge>}
            {segment && <StateBadge segment={segment} />}
          </h1>
        </div>
      }
      actions={
        may.edit && !defining && (
          <Link to="/audiences/$id" params={{ id }} search={{ tab: 'definition' }} className={button({ look: 'solid' })}>
            <PencilLine size={14} aria-hidden /> Edit definition
          </Link>
        )
      }
    >
      <Tabs
        label="Audience"
        tabs={[
          { label: 'Overview', bySearch: true, link: { to: '/audiences/$id', params: { id }, search: {}, replace: true } },
          { label: 'Definition', bySearch: true, link: { to: '/audiences/$id', params: { id }, search: { tab: 'definition' }, replace: true } },
          { label: '</> API', bySearch: true, link: { to: '/audiences/$id', params: { id }, search: { tab: 'api' }, replace: true } },
        ]}
      />
      {defining ? (
        <Definition id={id} when={when} />
      ) : tab === 'api' ? (
        <Code label="API call" className="max-w-[900px]" text={`curl '${location.origin}/v1/segments/${encodeURIComponent(id)}/people' \\\n  -H "Authorization: Bearer $RAPPORT_TOKEN"`} />
      ) : segment ? (
        <Overview segment={segment} />
      ) : missing ? (
        <Empty icon={<UsersRound size={18} />} title={`There is no audience ${id}`}>
          It was deleted or never was. Its definition can be written under Definition.
        </Empty>
      ) : (
        <>
          <TileSkeleton />
          <Skeleton className="h-[300px] rounded-card!" />
        </>
      )}
    </Page>
  )
}

function Overview({ segment }: { segment: Segment }) {
  const members = useQuery(membersQuery(segment.id))
  const others = [...(useQuery(segmentsQuery).data ?? [])].filter((s) => s.id !== segment.id).sort((a, b) => b.size - a.size).slice(0, 8)
  const overlap = useQuery(overlapQuery(segment.id, others.map((s) => s.id)))
  const history = useQuery(segmentHistoryQuery(segment.id)).data
  const sizes = history?.sizes ?? []
  const names = new Map((useQuery(segmentsQuery).data ?? []).map((s) => [s.id, s.name]))
  const people = useQuery(overviewQuery).data?.people ?? 0
  const share = people ? segment.size / people : 0
  const first = sizes[0]
  const change = first ? segment.size - first.size : 0
  return (
    <>
      <Tiles>
        <Tile label="People now" value={count(segment.size)} sub="at this moment" explain={<p>Everybody the condition holds for, as of every event acknowledged.</p>} />
        <Tile label="Share" value={percent(share)} sub="of everybody known" explain={<p>People in this audience, of all people known.</p>} />
        <Tile label={first ? `Change in ${ago(first.at, serverNow())}` : 'Change'} value={`${change > 0 ? '+' : change < 0 ? '−' : ''}${count(Math.abs(change))}`} sub={first ? `from ${count(first.size)}` : 'nothing recorded yet'} explain={<p>Size now, less the first size recorded.</p>} />
        {segment.building ? (
          <Tile label="Reading history" value={percent(segment.building.total ? segment.building.done / segment.building.total : 0)} sub={`${count(segment.building.done)} of ${count(segment.building.total)}`} aside={<Bar share={segment.building.total ? segment.building.done / segment.building.total : 0} className="mb-2" />} explain={<p>What the condition asks of the past is read from history first; until then the audience is as it was.</p>} />
        ) : (
          <Tile label="Follows" value={segment.state === 'live' ? 'every event' : 'soon'} sub={segment.state === 'live' ? 'kept up to date as people act' : 'everybody is looked at once'} explain={<p>Live: it follows every event. Filling: everybody is looked at once for a new definition. Building: what it asks of the past is read from history first.</p>} />
        )}
      </Tiles>
      <div className="grid grid-cols-1 items-start gap-3 lg:grid-cols-[minmax(0,1fr)_340px]">
        <div className="space-y-3">
          <Card title="Size over time" actions={history?.past && <PastBadge past={history.past} />}>
            <Trend label="People in the audience" points={sizes.map((s) => ({ at: toDate(s.at).getTime(), value: s.size, ...rangeOf(s, history?.past) }))} write={count} writeTime={(at) => `${day(at)} ${clock(at).slice(0, 5)}`} />
            {history?.past && <PastNote past={history.past} />}
          </Card>
          <Card title="Some of them" note={members.data && `${count(Math.min(12, members.data.people.length))} of ${count(members.data.size)}`}>
            <Loaded query={members}>
              {(page) =>
                page.people.length === 0 ? (
                  <Empty icon={<UsersRound size={18} />} title="Nobody is in it now">
                    People come in by themselves, the moment the condition holds for them.
                  </Empty>
                ) : (
                  <PeopleList people={page.people} />
                )
              }
            </Loaded>
          </Card>
        </div>
        <div className="space-y-3">
          <Card title="Who is in it">
            <p>{said(segment.when, names)}.</p>
            <pre tabIndex={0} role="group" aria-label="Condition" className="mt-2 overflow-auto font-mono text-meta whitespace-pre-wrap text-muted">{segment.when}</pre>
            {segment.pending && (
              <>
                <h3 className="mt-3 font-medium">In force soon</h3>
                <pre tabIndex={0} role="group" aria-label="Condition in force soon" className="overflow-auto font-mono text-meta whitespace-pre-wrap">{segment.pending}</pre>
              </>
            )}
          </Card>
          <Card title="Overlap" note="How many of them are in another audience, too">
            <Loaded query={overlap}>
              {(list) =>
                list.length === 0 ? (
                  <p className="text-muted">There is no other audience.</p>
                ) : (
                  <ul className="-mx-2">
                    {[...list].sort((x, y) => y.both - x.both).map((other) => (
                      <li key={other.b.id}>
                        <Link to="/audiences/$id" params={{ id: other.b.id }} className="block rounded-control px-2 py-1.5 transition-colors hover:bg-sunken" title={`${count(other.both)} of ${count(segment.size)}; overlap of all ${percent(other.jaccard)}`}>
                          <span className="mb-1 flex justify-between gap-3">
                            <span className="clip">{other.b.name || other.b.id}</span>
                            <span className="shrink-0 text-meta text-muted tabular-nums">
                              {count(other.both)} · {percent(segment.size ? other.both / segment.size : 0)}
                            </span>
                          </span>
                          <Bar share={segment.size ? other.both / segment.size : 0} label={`${count(other.both)} people in both`} />
                        </Link>
                      </li>
                    ))}
                  </ul>
                )
              }
            </Loaded>
          </Card>
        </div>
      </div>
    </>
  )
}

type Past = NonNullable<SegmentHistory['past']>

/** Sizes told from a sample have a range: 95 % by the normal approximation of a share. */
function rangeOf(size: SegmentHistory['sizes'][number], past: Past | undefined): { low?: number; high?: number } {
  if (!past?.until || past.sampled >= past.total || past.sampled === 0 || toDate(size.at) >= toDate(past.until)) return {}
  const share = Math.min(1, size.size / past.total)
  const half = 1.96 * Math.sqrt((share * (1 - share)) / past.sampled) * Math.sqrt(1 - past.sampled / past.total) * past.total
  return { low: Math.max(0, size.size - half), high: size.size + half }
}

function PastBadge({ past }: { past: Past }) {
  if (past.building) return <Badge look="warn">reading the past</Badge>
  if (past.until && past.sampled < past.total) return <Badge title="Sizes from before the definition were told from a sample">estimate</Badge>
  return null
}

/** How the sizes from before the definition are known. */
function PastNote({ past }: { past: Past }) {
  const building = past.building
  if (building) {
    const share = building.total ? building.done / building.total : 0
    return (
      <div role="status" className="mt-3 space-y-1">
        <p className="text-meta text-muted">
          The lives of people are gone through again for the sizes from before: {count(building.done)} of {count(building.total)}.
        </p>
        <Bar share={share} label={`${percent(share)} of the past is read`} />
      </div>
    )
  }
  if (past.unknown) return <p className="mt-2 text-meta text-muted">Sizes from before its definition are not known: {past.unknown}.</p>
  if (!past.until) return null
  return (
    <p className="mt-2 text-meta text-muted">
      Before {day(past.until)} told afterwards from {past.sampled < past.total ? `a sample of ${count(past.sampled)} of ${count(past.total)} people: estimates, with their 95 % range` : 'everybody’s past: exact'}. Later ones were counted.
    </p>
  )
}

function PeopleList({ people }: { people: (PersonSummary & { since?: string | number })[] }) {
  return (
    <ul className="-mx-2">
      {people.map((person) => (
        <li key={person.id}>
          <Link to="/people/$ref" params={{ ref: person.id }} className="flex h-9 items-center gap-2.5 rounded-control px-2 transition-colors hover:bg-sunken">
            <Avatar name={person.name} />
            <span className="clip font-medium">{called(person.name, person.id)}</span>
            <span className="clip min-w-0 flex-1 text-muted">{mainIdentifier(person.identifiers)?.value}</span>
            {person.since !== undefined && <Ago time={person.since} className="shrink-0 text-meta text-muted" />}
          </Link>
        </li>
      ))}
    </ul>
  )
}

function Definition({ id, when }: { id: string; when?: string }) {
  const config = useQuery(configQuery)
  return (
    <Loaded query={config} skeleton={<Skeleton className="h-[420px] rounded-card!" />}>
      {({ documents, version }) => <Editing key={id} kind="segment" id={id} doc={documents.find((doc) => doc.kind === 'segment' && doc.id === id)} version={version} beside={(text) => <Preview yaml={text} />} first={when && `kind: segment\nid: ${id}\nname: ${JSON.stringify(said(when))}\nwhen: ${JSON.stringify(when)}\n`} />}
    </Loaded>
  )
}

/** The condition within a segment's text: one line, quoted, or a block. */
export function conditionOf(yaml: string): string {
  const found = /^when:[ \t]*(.*(?:\n[ \t]+.*)*)/m.exec(yaml)?.[1]?.trim() ?? ''
  if (/^[|>][+-]?\s/.test(found)) return found.replace(/^[|>][+-]?\s+/, '').replace(/\n\s*/g, ' ').trim()
  if (/^'[^]*'$/.test(found)) return found.slice(1, -1).replaceAll("''", "'")
  if (/^"[^]*"$/.test(found)) {
    try {
      return JSON.parse(found) as string
    } catch {
      return found
    }
  }
  return found.replace(/\n\s*/g, ' ')
}

/** How many people the text would hold for, a moment after the typing stops. */
function Preview({ yaml }: { yaml: string }) {
  const when = conditionOf(yaml)
  const [asked, setAsked] = useState(when)
  useEffect(() => {
    const timer = setTimeout(() => setAsked(when), 350)
    return () => clearTimeout(timer)
  }, [when])
  const query = useQuery({ ...segmentPreviewQuery(asked), enabled: asked !== '' })
  const preview = query.data
  return (
    <Card title="Would be in it" className={query.isFetching || asked !== when ? 'opacity-80' : ''}>
      <div aria-live="polite">
        {asked === '' ? (
          <p className="text-muted">Write a condition under when.</p>
        ) : query.error ? (
          <p className="text-bad">{query.error.message}</p>
        ) : preview ? (
          <>
            <Explained title="How this is known" trigger={<span className="text-kpi font-semibold tabular-nums">{preview.exact ? '' : '≈ '}{count(preview.value)}</span>}>
              <p>{preview.exact ? `All ${count(preview.sampled)} people were looked at.` : `A random sample of ${count(preview.sampled)} of ${count(preview.total)} people was looked at. The interval holds in 19 of 20 samples.`}</p>
              {preview.history && <p>It asks something nothing keeps yet, so the sample’s timelines were read.</p>}
              <p>Took {count(preview.millis)} ms.</p>
            </Explained>
            <p className="text-meta text-muted">
              {preview.exact ? 'counted' : `95 % interval ${count(preview.low)} to ${count(preview.high)}`} · {percent(preview.total ? preview.value / preview.total : 0)} of {plural(preview.total, 'person', 'people')}
            </p>
            <Bar share={preview.total ? preview.value / preview.total : 0} label={`${percent(preview.total ? preview.value / preview.total : 0)} of everybody`} className="my-3" />
            {preview.people.length > 0 && <PeopleList people={preview.people} />}
          </>
        ) : (
          <Skeleton className="h-24" />
        )}
      </div>
    </Card>
  )
}

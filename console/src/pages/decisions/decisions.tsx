import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { Download, Maximize2, RefreshCw, Split, X } from 'lucide-react'
import { useCallback, useMemo, useState } from 'react'
import { actionsQuery, decisionsQuery, placementsQuery } from '@/api/queries'
import type { DecisionSummary } from '@/api/types'
import { csv, download } from '@/format/csv'
import { money, percent } from '@/format/number'
import { called, reference } from '@/format/person'
import { clock, day, moment, toDate } from '@/format/time'
import { useLiveSignals } from '@/shell/live'
import { serverNow } from '@/shell/clock'
import { useCurrency } from '@/shell/currency'
import { Button, button } from '@/ui/button'
import { SearchField, Select } from '@/ui/field'
import { Page } from '@/ui/page'
import { Panel } from '@/ui/panel'
import { Empty, Loaded } from '@/ui/states'
import { Table, TableCard, type Column } from '@/ui/table'
import { DecisionHead, ExplainCall, ExplainedDecision } from './explained'
import { Outcome } from './outcome'

const route = getRouteApi('/decisions')

function useColumns(): Column<DecisionSummary>[] {
  const currency = useCurrency()
  return useMemo(
    () => [
      {
        id: 'person',
        head: 'Person',
        cell: (d) => (
          <>
            <span className="font-medium">{called(d.person, d.personId)}</span>
            <span className="block clip text-meta text-muted md:hidden">
              {d.items?.length ? d.items[0]?.action : d.holdout ? 'holdout' : `nothing${d.nothing ? ` · ${d.nothing}` : ''}`}
            </span>
          </>
        ),
      },
      { id: 'placement', head: 'Placement', from: 'md', width: 'w-[140px]', cell: (d) => <span className="text-muted">{d.placement}</span> },
      { id: 'outcome', head: 'Outcome', from: 'md', width: 'w-[34%]', cell: (d) => <Outcome decision={d} /> },
      { id: 'value', head: 'Value', right: true, from: 'lg', width: 'w-[90px]', cell: (d) => (d.items?.[0]?.value === undefined ? '' : money(d.items[0].value, currency)) },
      { id: 'chance', head: 'Chance', right: true, from: 'lg', width: 'w-[84px]', cell: (d) => (d.items?.[0]?.propensity === undefined ? '' : percent(d.items[0].propensity)) },
      { id: 'cause', head: 'Asked by', from: 'lg', width: 'w-[100px]', cell: (d) => <span className="text-muted">{d.cause}</span> },
      {
        id: 'time',
        head: 'Time',
        right: true,
        width: 'w-[84px]',
        cell: (d) => (
          <time title={moment(d.time)} className="text-muted">
            {day(d.time) === day(serverNow()) ? clock(d.time) : day(d.time).slice(5)}
          </time>
        ),
      },
    ],
    [currency],
  )
}

/** Every decision, filtered by the address, explained beside its list. */
export function Decisions() {
  const { id, ...filter } = route.useSearch()
  const navigate = route.useNavigate()
  const query = useInfiniteQuery(decisionsQuery({ ...filter, person: filter.person && reference(filter.person) }))
  const decisions = useMemo(() => query.data?.pages.flatMap((page) => page.decisions ?? []) ?? [], [query.data])
  const { fetchNextPage, hasNextPage, isFetchingNextPage } = query
  const onEnd = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage()
  }, [fetchNextPage, hasNextPage, isFetchingNextPage])
  const columns = useColumns()
  const placements = useQuery(placementsQuery).data
  const actions = useQuery(actionsQuery).data
  const filtered = Object.values(filter).some(Boolean)
  const set = useCallback((next: typeof filter) => void navigate({ search: (before) => ({ ...before, ...next, id: undefined }), replace: true }), [navigate])
  const onPerson = useCallback((person: string) => set({ person: person || undefined }), [set])
  const [fresh, clearFresh] = useFresh()

  const save = () =>
    download(
      'decisions.csv',
      'text/csv',
      csv(
        ['decisionId', 'time', 'personId', 'placement', 'action', 'value', 'propensity', 'holdout', 'nothing', 'cause'],
        decisions.map((d) => [d.decisionId, toDate(d.time).toISOString(), d.personId, d.placement, d.items?.[0]?.action, d.items?.[0]?.value, d.items?.[0]?.propensity, String(d.holdout), d.nothing, d.cause]),
      ),
    )

  return (
    <Page
      title="Decisions"
      fill
      purpose="Each is a stored fact: what was weighed, what was chosen, and why"
      actions={
        <>
          {fresh > 0 && !filtered && (
            <Button
              className="rise"
              icon={<RefreshCw size={13} aria-hidden />}
              onClick={() => {
                clearFresh()
                void query.refetch()
              }}
            >
              {fresh} new
            </Button>
          )}
          <Button onClick={save} disabled={decisions.length === 0} icon={<Download size={14} aria-hidden />} className="max-md:hidden">
            CSV
          </Button>
        </>
      }
    >
      <div className="flex flex-wrap items-center gap-2">
        <Select aria-label="Placement" value={filter.placement ?? ''} onChange={(event) => set({ placement: event.target.value || undefined })}>
          <option value="">All placements</option>
          {placements?.map((p) => (
            <option key={p.id}>{p.id}</option>
          ))}
        </Select>
        <Select aria-label="Action" value={filter.action ?? ''} onChange={(event) => set({ action: event.target.value || undefined })}>
          <option value="">All actions</option>
          {actions?.map((a) => (
            <option key={a.id}>{a.id}</option>
          ))}
        </Select>
        <Select aria-label="Outcome" value={filter.outcome ?? ''} onChange={(event) => set({ outcome: event.target.value || undefined })}>
          <option value="">Any outcome</option>
          <option value="chosen">Something chosen</option>
          <option value="nothing">Nothing</option>
          <option value="holdout">Holdout</option>
        </Select>
        <SearchField label="E-mail, user id or person id" value={filter.person ?? ''} onChange={onPerson} className="w-[240px] max-md:w-full" />
        {filtered && (
          <Button look="ghost" icon={<X size={14} aria-hidden />} onClick={() => void navigate({ search: {}, replace: true })}>
            Clear
          </Button>
        )}
      </div>
      <TableCard className="flex-1">
        <Loaded query={query}>
          {() => (
            <Table
              label="Decisions"
              twoLines
              columns={columns}
              rows={decisions}
              rowKey={(d) => d.decisionId}
              link={(d) => ({ to: '/decisions', search: { ...filter, id: d.decisionId } })}
              selected={id}
              onEnd={onEnd}
              more={hasNextPage}
              empty={
                <Empty icon={<Split size={18} />} title={filtered ? 'No decision fits these filters' : 'Nothing has been decided yet'}>
                  {filtered ? 'Clear a filter to see more.' : 'Ask with POST /v1/decide from your site, or preview one on a person’s page.'}
                </Empty>
              }
            />
          )}
        </Loaded>
      </TableCard>
      {id && (
        <Panel
          key={id}
          wide
          label="Why this decision"
          head={<DecisionHead id={id} level="h2" />}
          onClose={() => void navigate({ search: filter })}
        >
          <ExplainedDecision id={id} />
          <div className="mt-6 flex gap-2 border-t border-line pt-4">
            <Link to="/decisions/$id" params={{ id }} className={button({ size: 'small' })}>
              <Maximize2 size={13} aria-hidden />
              Open as a page
            </Link>
            <ExplainCall id={id} />
          </div>
        </Panel>
      )}
    </Page>
  )
}

/** Decisions made since the list was loaded. */
function useFresh(): [number, () => void] {
  const [fresh, setFresh] = useState(0)
  useLiveSignals((signal) => {
    if (signal.type === 'message' && signal.message.kind === 'decision') setFresh((n) => n + 1)
  })
  return [fresh, () => setFresh(0)]
}

import { useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { Download, Telescope } from 'lucide-react'
import { actionsQuery, placementsQuery, portfolioQuery, segmentsQuery } from '@/api/queries'
import type { Opportunity } from '@/api/types'
import { csv, download } from '@/format/csv'
import { liftValue } from '@/format/lift'
import { count, decimal, money, percent } from '@/format/number'
import { ActionTabs } from '@/pages/actions/tabs'
import { useCurrency } from '@/shell/currency'
import { Button } from '@/ui/button'
import { IntervalPlot } from '@/ui/charts'
import { cx } from '@/ui/cx'
import { Explained } from '@/ui/explain'
import { Select } from '@/ui/field'
import { Page } from '@/ui/page'
import { Badge, Bar } from '@/ui/parts'
import { Empty, Loaded } from '@/ui/states'
import { Table, TableCard, type Column } from '@/ui/table'

const route = getRouteApi('/portfolio')

const states = ['working', 'losing', 'learning', 'untried', 'paused'] as const
const looks: Record<Opportunity['state'], 'good' | 'bad' | 'accent' | 'plain' | 'warn'> = { working: 'good', losing: 'bad', learning: 'accent', untried: 'plain', paused: 'warn' }
const meant: Record<Opportunity['state'], string> = {
  working: 'adds value, and the interval says so',
  losing: 'takes value, and the interval says so',
  learning: 'given, and nobody can tell yet',
  untried: 'not given to anybody yet',
  paused: 'stopped by its dates, stock or budget',
}

/** Every small chance to help somebody: an action in a place for a part of people, and how far it is. */
export function PortfolioPage() {
  const { placement, action, state } = route.useSearch()
  const navigate = route.useNavigate()
  const query = useQuery(portfolioQuery({ placement, action, state }))
  const placements = useQuery(placementsQuery).data ?? []
  const actions = useQuery(actionsQuery).data ?? []
  const segments = new Map((useQuery(segmentsQuery).data ?? []).map((s) => [s.id, s.name || s.id]))
  const currency = useCurrency()
  const rows = query.data?.opportunities ?? []
  // A few wild intervals of the hardly tried must not flatten all others.
  const widths = rows.flatMap((row) => (row.effect ? [Math.max(Math.abs(row.effect.low), Math.abs(row.effect.high))] : [])).sort((a, b) => a - b)
  const span = widths[Math.floor(widths.length * 0.7)] || 1
  const set = (change: Record<string, string | undefined>) => void navigate({ search: (before) => ({ ...before, ...change }), replace: true })
  const columns: Column<Opportunity>[] = [
    {
      id: 'action',
      head: 'Opportunity',
      cell: (row) => (
        <span className="clip">
          <span className="font-medium">{row.action}</span> <span className="text-muted">for {row.segment ? (segments.get(row.segment) ?? row.segment) : 'everybody'}</span>
          <span className="block clip text-meta text-muted md:hidden">{row.next}</span>
        </span>
      ),
    },
    { id: 'placement', head: 'Where', from: 'lg', width: 'w-[100px]', cell: (row) => <span className="text-muted">{row.placement}</span> },
    { id: 'state', head: 'State', width: 'w-[96px]', cell: (row) => <Badge look={looks[row.state]} title={meant[row.state]}>{row.state}</Badge> },
    {
      id: 'share',
      head: (
        <Explained title="Share" trigger="Share">
          Part of what its placement gave, in recent decisions outside of the holdout.
        </Explained>
      ),
      from: 'md',
      width: 'w-[104px]',
      cell: (row) => (
        <span className="flex items-center gap-2" title={`${count(row.exposures)} times`}>
          <Bar share={row.share} label={`${percent(row.share)}, ${count(row.exposures)} times`} className="flex-1" />
          <span className="w-10 text-right text-meta text-muted tabular-nums">{percent(row.share)}</span>
        </span>
      ),
    },
    { id: 'clicks', head: 'Clicks', right: true, from: 'lg', width: 'w-[72px]', cell: (row) => (row.exposures ? percent(row.clicks) : '–') },
    { id: 'reward', head: 'Value', right: true, from: 'lg', width: 'w-[80px]', cell: (row) => (row.exposures ? (currency ? money(row.reward, currency) : decimal(row.reward)) : '–') },
    {
      id: 'effect',
      head: (
        <Explained title="Effect" trigger="Effect">
          What it adds per person against those who did not get it, with an interval that holds however often you look.
        </Explained>
      ),
      from: 'lg',
      width: 'w-[170px]',
      cell: (row) =>
        row.effect ? (
          <span className="flex items-center gap-3">
            <IntervalPlot interval={row.effect} span={span} label={`${liftValue(row.effect.value, '', currency)}, ${liftValue(row.effect.low, '', currency)} to ${liftValue(row.effect.high, '', currency)}`} className="min-w-0 flex-1" />
            <span className="w-[58px] shrink-0 text-right tabular-nums">{liftValue(row.effect.value, '', currency)}</span>
          </span>
        ) : (
          <span className="text-meta text-muted">not known yet</span>
        ),
    },
    { id: 'next', head: 'What happens next', from: 'md', width: 'w-[24%]', cell: (row) => <span className="text-muted" title={row.next}>{row.next}</span> },
  ]
  const save = () =>
    download(
      'portfolio.csv',
      'text/csv',
      csv(
        ['action', 'placement', 'segment', 'state', 'exposures', 'share', 'clicks', 'reward', 'effect', 'low', 'high', 'next'],
        rows.map((row) => [row.action, row.placement, row.segment, row.state, row.exposures, row.share, row.clicks, row.reward, row.effect?.value, row.effect?.low, row.effect?.high, row.next]),
      ),
    )
  const total = Object.values(query.data?.states ?? {}).reduce((sum, n) => sum + n, 0)
  return (
    <Page
      title="Portfolio"
      fill
      purpose="Every small opportunity and how far it is. Rapport tries, learns and drops by itself."
      actions={
        <Button onClick={save} disabled={rows.length === 0} icon={<Download size={14} aria-hidden />} className="max-md:hidden">
          CSV
        </Button>
      }
    >
      <ActionTabs />
      <div className="flex flex-wrap items-center gap-2">
        <div role="group" aria-label="State" className="flex flex-wrap gap-1.5">
          {([undefined, ...states] as const).map((name) => (
            <button
              key={name ?? 'all'}
              type="button"
              aria-pressed={state === name}
              title={name && meant[name]}
              onClick={() => set({ state: name })}
              className={cx('h-[30px] rounded-full border px-3 transition-colors pointer-coarse:h-[38px]', state === name ? 'border-accent bg-accent-soft font-medium text-accent' : 'border-line text-muted hover:border-line-strong')}
            >
              {name ?? 'all'} <span className="tabular-nums">{name ? (query.data?.states[name] ?? 0) : total}</span>
            </button>
          ))}
        </div>
        <span className="flex-1" />
        <Select aria-label="Placement" value={placement ?? ''} onChange={(event) => set({ placement: event.target.value || undefined })}>
          <option value="">All placements</option>
          {placements.map((p) => (
            <option key={p.id}>{p.id}</option>
          ))}
        </Select>
        <Select aria-label="Action" value={action ?? ''} onChange={(event) => set({ action: event.target.value || undefined })}>
          <option value="">All actions</option>
          {actions.map((a) => (
            <option key={a.id}>{a.id}</option>
          ))}
        </Select>
      </div>
      <TableCard className="flex-1">
        <Loaded query={query}>
          {() => (
            <Table
              label="Opportunities"
              twoLines
              columns={columns}
              rows={rows}
              rowKey={(row) => `${row.placement} ${row.action} ${row.segment ?? ''}`}
              link={(row) => ({ to: '/actions/$id', params: { id: row.action } })}
              empty={
                <Empty icon={<Telescope size={18} />} title={state || placement || action ? 'No opportunity is like this' : 'There is no opportunity yet'}>
                  {state || placement || action ? 'Choose fewer filters.' : 'Each action in each of its placements is one; audiences that decisions know of make more.'}
                </Empty>
              }
            />
          )}
        </Loaded>
      </TableCard>
    </Page>
  )
}

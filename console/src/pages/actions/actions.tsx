import { useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { Plus, Sparkles } from 'lucide-react'
import { useMemo } from 'react'
import { actionsQuery, placementsQuery } from '@/api/queries'
import type { Action } from '@/api/types'
import { liftSpan } from '@/format/lift'
import { count, decimal, money, percent } from '@/format/number'
import { useCurrency } from '@/shell/currency'
import { useMay } from '@/shell/session'
import { Button } from '@/ui/button'
import { Explained } from '@/ui/explain'
import { SearchField, Select } from '@/ui/field'
import { Page } from '@/ui/page'
import { Badge, Bar } from '@/ui/parts'
import { Empty, Loaded } from '@/ui/states'
import { Table, TableCard, type Column } from '@/ui/table'
import { clickRate, LiftCell } from './lift'
import { ActionTabs } from './tabs'

const route = getRouteApi('/actions')

/** Everything that may be said or done, and what each brings. */
export function Actions() {
  const { q = '', placement } = route.useSearch()
  const navigate = route.useNavigate()
  const query = useQuery({ ...actionsQuery, refetchInterval: 15_000 })
  const placements = useQuery(placementsQuery).data ?? []
  const currency = useCurrency()
  const may = useMay()
  const span = liftSpan((query.data ?? []).map((action) => action.stats.lift))
  const actions = useMemo(() => {
    const needle = q.toLowerCase()
    return (query.data ?? [])
      .filter((action) => (!placement || action.placements.includes(placement)) && (!needle || `${action.id} ${action.title ?? ''} ${action.type} ${action.purpose ?? ''} ${action.when ?? ''}`.toLowerCase().includes(needle)))
      .sort((a, b) => b.stats.share - a.stats.share)
  }, [query.data, q, placement])

  const columns: Column<Action>[] = [
    {
      id: 'action',
      head: 'Action',
      cell: (action) => (
        <span className="flex items-center gap-2">
          <span className="clip">
            <span className="font-medium">{action.title || action.id}</span>
            {action.title && <span className="text-meta text-muted"> {action.id}</span>}
          </span>
          <Badge className="max-lg:hidden">{action.type}</Badge>
        </span>
      ),
    },
    { id: 'placements', head: 'Where', from: 'lg', cell: (action) => <span className="text-muted" title={action.placements.join(', ')}>{action.placements.join(', ')}</span> },
    { id: 'shown', head: 'Shown', right: true, from: 'md', width: 'w-[84px]', cell: (action) => count(action.stats.shown) },
    { id: 'clicked', head: 'Clicked', right: true, from: 'md', width: 'w-[84px]', cell: (action) => <span title={`${count(action.stats.clicked)} clicks`}>{clickRate(action)}</span> },
    {
      id: 'mean',
      head: (
        <Explained title="Value per showing" trigger="Value">
          What one showing has brought on average: the goals reached within their windows, less the cost.
        </Explained>
      ),
      right: true,
      from: 'md',
      width: 'w-[84px]',
      cell: (action) => (currency ? money(action.stats.mean, currency) : decimal(action.stats.mean)),
    },
    {
      id: 'share',
      head: (
        <Explained title="Share" trigger="Share">
          Part of all that was said. It moves toward what works, by itself.
        </Explained>
      ),
      width: 'w-[110px]',
      cell: (action) => (
        <span className="flex items-center gap-2">
          <Bar share={action.stats.share} className="flex-1" />
          <span className="w-9 text-right tabular-nums">{percent(action.stats.share)}</span>
        </span>
      ),
    },
    {
      id: 'lift',
      head: (
        <Explained title="Lift over the holdout" trigger="Lift, 95 % interval">
          How much more the people who may get it bring than those in the permanent holdout. Where the line crosses the middle, it may still be chance.
        </Explained>
      ),
      from: 'lg',
      width: 'w-[210px]',
      cell: (action) => <LiftCell lift={action.stats.lift} span={span} />,
    },
  ]

  return (
    <Page
      title="Actions"
      fill
      purpose="What may be said, offered or asked; the engine picks the next best, or nothing"
      actions={
        may.edit && (
          <Button look="solid" icon={<Plus size={14} aria-hidden />} onClick={() => void navigate({ to: '/setup/config', search: { add: true } })}>
            New action
          </Button>
        )
      }
    >
      <ActionTabs />
      <div className="flex flex-wrap gap-2">
        <SearchField label="Search actions" value={q} onChange={(text) => void navigate({ search: (before) => ({ ...before, q: text || undefined }), replace: true })} className="w-full md:w-[260px]" />
        <Select aria-label="Placement" value={placement ?? ''} onChange={(event) => void navigate({ search: (before) => ({ ...before, placement: event.target.value || undefined }), replace: true })}>
          <option value="">All placements</option>
          {placements.map((p) => (
            <option key={p.id}>{p.id}</option>
          ))}
        </Select>
      </div>
      <TableCard>
        <Loaded query={query}>
          {() => (
            <Table
              label="Actions"
              columns={columns}
              rows={actions}
              rowKey={(action) => action.id}
              link={(action) => ({ to: '/actions/$id', params: { id: action.id } })}
              empty={
                <Empty icon={<Sparkles size={18} />} title={q || placement ? 'No action fits' : 'Nothing may be said yet'}>
                  {q || placement ? 'Search looks into ids, types and conditions.' : 'An action is an offer, a message, a question or a recommendation, with a condition that says for whom.'}
                </Empty>
              }
            />
          )}
        </Loaded>
      </TableCard>
    </Page>
  )
}

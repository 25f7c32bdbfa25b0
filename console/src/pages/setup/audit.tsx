import { useInfiniteQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { Download, ScrollText } from 'lucide-react'
import { useCallback, useMemo } from 'react'
import { auditQuery } from '@/api/queries'
import type { AuditEntry } from '@/api/types'
import { csv, download } from '@/format/csv'
import { moment, toDate } from '@/format/time'
import { Button } from '@/ui/button'
import { SearchField } from '@/ui/field'
import { CopyId } from '@/ui/parts'
import { Empty, Loaded } from '@/ui/states'
import { Table, TableCard, type Column } from '@/ui/table'
import { SetupPage } from './frame'

const route = getRouteApi('/setup/audit')

const columns: Column<AuditEntry>[] = [
  { id: 'time', head: 'Time', from: 'md', width: 'w-[170px]', cell: (entry) => <span className="text-muted tabular-nums">{moment(entry.time)}</span> },
  { id: 'author', head: 'Who', width: 'w-[120px]', cell: (entry) => <span className="font-medium">{entry.author}</span> },
  {
    id: 'action',
    head: 'Did',
    width: 'md:w-[170px]',
    cell: (entry) => (
      <>
        {entry.action}
        <span className="block clip text-meta text-muted md:hidden">{entry.object}</span>
      </>
    ),
  },
  { id: 'object', head: 'To', from: 'md', cell: (entry) => entry.object },
  { id: 'detail', head: 'Detail', from: 'lg', cell: (entry) => <span className={entry.detail?.startsWith('refused') ? 'text-bad' : 'text-muted'}>{entry.detail}</span> },
  { id: 'request', head: 'Request', from: 'lg', width: 'w-[150px]', cell: (entry) => (entry.request ? <CopyId id={entry.request} /> : null) },
]

/** Every change, and who made it. */
export function Audit() {
  const { q = '' } = route.useSearch()
  const navigate = route.useNavigate()
  const query = useInfiniteQuery(auditQuery)
  const entries = useMemo(() => {
    const needle = q.toLowerCase()
    return (query.data?.pages.flat() ?? []).filter((entry) => !needle || `${entry.author} ${entry.action} ${entry.object} ${entry.detail} ${entry.request}`.toLowerCase().includes(needle))
  }, [query.data, q])
  const { fetchNextPage, hasNextPage, isFetchingNextPage } = query
  const onEnd = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage()
  }, [fetchNextPage, hasNextPage, isFetchingNextPage])
  return (
    <SetupPage
      title="Audit"
      fill
      purpose="Every change, refused ones too, newest first"
      actions={
        <>
          <SearchField label="Who, what, request id" value={q} onChange={(text) => void navigate({ search: { q: text || undefined }, replace: true })} className="w-full md:w-[240px]" />
          <Button
            icon={<Download size={14} aria-hidden />}
            disabled={entries.length === 0}
            className="max-md:hidden"
            onClick={() => download('audit.csv', 'text/csv', csv(['time', 'author', 'action', 'object', 'detail', 'request'], entries.map((e) => [toDate(e.time).toISOString(), e.author, e.action, e.object, e.detail, e.request])))}
          >
            CSV
          </Button>
        </>
      }
    >
      <TableCard className="md:flex-1">
        <Loaded query={query}>
          {() => (
            <Table
              label="Audit"
              twoLines
              columns={columns}
              rows={entries}
              rowKey={(entry) => `${entry.time} ${entry.request ?? ''} ${entry.action}`}
              onEnd={onEnd}
              more={hasNextPage}
              empty={<Empty icon={<ScrollText size={18} />} title={q ? 'No entry fits' : 'Nothing was changed yet'} />}
            />
          )}
        </Loaded>
      </TableCard>
    </SetupPage>
  )
}

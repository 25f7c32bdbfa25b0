import { useInfiniteQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { Boxes } from 'lucide-react'
import { useCallback, useMemo } from 'react'
import { itemsQuery } from '@/api/queries'
import type { Item } from '@/api/types'
import { plural } from '@/format/number'
import { SearchField, Select } from '@/ui/field'
import { Page } from '@/ui/page'
import { Ago, Badge } from '@/ui/parts'
import { Empty, Loaded } from '@/ui/states'
import { Table, TableCard, type Column } from '@/ui/table'
import { ProductTabs } from './tabs'

const route = getRouteApi('/products')
const stages = ['made', 'packed', 'shipped', 'received', 'stocked', 'sold', 'activated', 'used', 'serviced', 'returned', 'retired']

const columns: Column<Item>[] = [
  {
    id: 'item',
    head: 'Item',
    cell: (item) => (
      <span className="flex items-center gap-2">
        <span className="clip font-medium">{item.product?.name ?? `GTIN ${item.gtin}`}</span>
        {item.recall && <Badge look="bad">recalled</Badge>}
      </span>
    ),
  },
  { id: 'serial', head: 'Serial', width: 'w-[150px]', cell: (item) => <span className="font-mono text-meta text-muted">{item.serial || item.id}</span> },
  { id: 'state', head: 'Stage', from: 'md', width: 'w-[110px]', cell: (item) => item.state || '–' },
  { id: 'owner', head: 'Owner', from: 'lg', width: 'w-[100px]', cell: (item) => (item.owner ? 'owned' : <span className="text-muted">nobody’s</span>) },
  { id: 'firmware', head: 'Firmware', from: 'lg', width: 'w-[110px]', cell: (item) => <span className="text-muted">{item.firmware || '–'}</span> },
  { id: 'line', head: 'Connected', from: 'md', width: 'w-[100px]', cell: (item) => (item.connected ? <Badge look="good">online</Badge> : <span className="text-muted">no</span>) },
  { id: 'seen', head: 'Heard of', right: true, from: 'md', width: 'w-[100px]', cell: (item) => <Ago time={item.seenAt ?? null} className="text-muted" /> },
]

/** Every product item with the state its twin knows. */
export function Products() {
  const { gtin = '', state = '' } = route.useSearch()
  const navigate = route.useNavigate()
  const query = useInfiniteQuery(itemsQuery({ gtin, state }))
  const items = useMemo(() => query.data?.pages.flatMap((page) => page.items) ?? [], [query.data])
  const { fetchNextPage, hasNextPage, isFetchingNextPage } = query
  const onEnd = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage()
  }, [fetchNextPage, hasNextPage, isFetchingNextPage])
  const named = [...new Set([...stages, ...items.map((item) => item.state), ...(state ? [state] : [])])].filter(Boolean)
  return (
    <Page
      title="Products"
      fill
      status={query.data && items.length > 0 && `${plural(items.length, 'item')}${hasNextPage ? ' so far' : ''}`}
      purpose="Each item with a digital twin of its own."
      actions={
        <>
          <SearchField label="GTIN" value={gtin} onChange={(text) => void navigate({ search: (before) => ({ ...before, gtin: text || undefined }), replace: true })} className="w-full md:w-[190px]" />
          <Select aria-label="Stage" value={state} onChange={(event) => void navigate({ search: (before) => ({ ...before, state: event.target.value || undefined }), replace: true })}>
            <option value="">All stages</option>
            {named.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </Select>
        </>
      }
    >
      <ProductTabs />
      <TableCard className="md:flex-1">
        <Loaded query={query}>
          {() => (
            <Table
              label="Items"
              columns={columns}
              rows={items}
              rowKey={(item) => item.id}
              link={(item) => ({ to: '/products/items/$id', params: { id: item.id } })}
              onEnd={onEnd}
              more={hasNextPage}
              empty={
                gtin || state ? (
                  <Empty icon={<Boxes size={18} />} title="No item matches" />
                ) : (
                  <Empty icon={<Boxes size={18} />} title="No item yet">
                    An item appears with its first event: when it is made or shipped (EPCIS), speaks (its device), or is tapped. POST /v1/devices makes one known.
                  </Empty>
                )
              }
            />
          )}
        </Loaded>
      </TableCard>
    </Page>
  )
}

import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { Download, UserSearch } from 'lucide-react'
import { useCallback, useMemo } from 'react'
import { peopleQuery, segmentsQuery } from '@/api/queries'
import type { PersonSummary } from '@/api/types'
import { csv, download } from '@/format/csv'
import { count, money, percent, plural } from '@/format/number'
import { called, identifierKind, mainIdentifier } from '@/format/person'
import { toDate } from '@/format/time'
import { useCurrency } from '@/shell/currency'
import { Button } from '@/ui/button'
import { SearchField, Select } from '@/ui/field'
import { Page } from '@/ui/page'
import { Ago, Avatar } from '@/ui/parts'
import { Empty, Loaded } from '@/ui/states'
import { Table, TableCard, type Column } from '@/ui/table'

const route = getRouteApi('/people')

const columnsOf = (currency: string | undefined): Column<PersonSummary>[] => [
  {
    id: 'person',
    head: 'Person',
    cell: (person) => (
      <span className="flex items-center gap-2.5">
        <Avatar name={person.name} />
        <span className="clip">
          <span className="font-medium">{called(person.name, person.id)}</span>
          <span className="block clip text-meta text-muted md:hidden">{mainIdentifier(person.identifiers)?.value}</span>
        </span>
      </span>
    ),
  },
  {
    id: 'identifier',
    head: 'Known as',
    from: 'md',
    cell: (person) => {
      const main = mainIdentifier(person.identifiers)
      const others = (person.identifiers?.length ?? 0) - 1
      return (
        <span title={person.identifiers?.map((i) => `${identifierKind(i.kind)}: ${i.value}`).join('\n')}>
          {main?.value}
          {others > 0 && <span className="text-muted"> +{others}</span>}
        </span>
      )
    },
  },
  { id: 'clv', head: 'Lifetime value', right: true, from: 'md', width: 'w-[120px]', cell: (person) => (person.clv === undefined ? <span className="text-muted">–</span> : money(Math.round(person.clv), currency).replace(/\.00$/, '')) },
  { id: 'churn', head: 'Has left', right: true, from: 'lg', width: 'w-[90px]', cell: (person) => (person.churn === undefined ? <span className="text-muted">–</span> : percent(person.churn)) },
  { id: 'country', head: 'Country', from: 'lg', width: 'w-[90px]', cell: (person) => <span className="text-muted">{person.country ?? ''}</span> },
  { id: 'events', head: 'Events', right: true, from: 'md', width: 'w-[90px]', cell: (person) => count(person.events) },
  { id: 'first', head: 'Known for', right: true, from: 'lg', width: 'w-[110px]', cell: (person) => <Ago time={person.firstSeen} className="text-muted" /> },
  { id: 'last', head: 'Last seen', right: true, width: 'w-[100px]', cell: (person) => <Ago time={person.lastSeen} suffix="ago" className="text-muted" /> },
]

/** Everyone known, and found by any identifier. */
export function People() {
  const { q = '', audience = '' } = route.useSearch()
  const navigate = route.useNavigate()
  const query = useInfiniteQuery(peopleQuery(q, q ? '' : audience))
  const audiences = useQuery(segmentsQuery).data ?? []
  const currency = useCurrency()
  const columns = useMemo(() => columnsOf(currency), [currency])
  const people = useMemo(() => query.data?.pages.flatMap((page) => page.people ?? []) ?? [], [query.data])
  const total = query.data?.pages[0]?.total
  const { fetchNextPage, hasNextPage, isFetchingNextPage } = query
  const onEnd = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage()
  }, [fetchNextPage, hasNextPage, isFetchingNextPage])
  const onSearch = useCallback((text: string) => void navigate({ search: (before) => ({ ...before, q: text || undefined }), replace: true }), [navigate])

  const save = () =>
    download(
      'people.csv',
      'text/csv',
      csv(
        ['id', 'name', 'identifiers', 'lifetimeValue', 'hasLeft', 'country', 'events', 'firstSeen', 'lastSeen'],
        people.map((p) => [p.id, p.name, (p.identifiers ?? []).map((i) => `${i.kind}:${i.value}`).join(' '), p.clv, p.churn, p.country, p.events, toDate(p.firstSeen).toISOString(), toDate(p.lastSeen).toISOString()]),
      ),
    )

  return (
    <Page
      title="People"
      fill
      status={total !== undefined && (q ? `${plural(people.length, 'person', 'people')} found` : audience ? `${plural(total, 'person', 'people')} in this audience` : `${plural(total, 'person', 'people')} known`)}
      actions={
        <>
          <Select aria-label="Audience" value={audience} onChange={(e) => void navigate({ search: (before) => ({ ...before, q: undefined, audience: e.target.value || undefined }), replace: true })} className="max-w-[220px]">
            <option value="">Everybody</option>
            {audiences.map((one) => (
              <option key={one.id} value={one.id}>
                {one.name || one.id}
              </option>
            ))}
          </Select>
          <SearchField label="E-mail, phone, user or device id" value={q} onChange={onSearch} className="w-full md:w-[300px]" />
          <Button onClick={save} disabled={people.length === 0} icon={<Download size={14} aria-hidden />} title={`Saves the ${count(people.length)} people loaded so far`} className="max-md:hidden">
            CSV
          </Button>
        </>
      }
    >
      <TableCard className="flex-1">
        <Loaded query={query}>
          {() => (
            <Table
              label="People"
              twoLines
              columns={columns}
              rows={people}
              rowKey={(person) => person.id}
              link={(person) => ({ to: '/people/$ref', params: { ref: person.id } })}
              onEnd={onEnd}
              more={hasNextPage}
              empty={
                audience && !q ? (
                  <Empty icon={<UserSearch size={18} />} title="Nobody is in this audience now">
                    People come in by themselves, the moment its condition holds for them.
                  </Empty>
                ) : q ? (
                  <Empty icon={<UserSearch size={18} />} title={`Nobody is known as “${q}”`}>
                    Search by a whole e-mail, phone number, user id, device id or person id.
                  </Empty>
                ) : (
                  <Empty icon={<UserSearch size={18} />} title="Nobody is known yet">
                    People appear here with their first event.{' '}
                    <Link to="/setup/sources" className="link">
                      Connect a source
                    </Link>
                    .
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

import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { Mails, MailX, PenLine, Plug } from 'lucide-react'
import { useMemo } from 'react'
import { actionsQuery, channelsQuery, placementsQuery, suppressionsQuery } from '@/api/queries'
import type { Action, Suppressions } from '@/api/types'
import { count, plural } from '@/format/number'
import { called } from '@/format/person'
import { clock } from '@/format/time'
import { useMay } from '@/shell/session'
import { button } from '@/ui/button'
import { SearchField, Select } from '@/ui/field'
import { Page } from '@/ui/page'
import { Panel } from '@/ui/panel'
import { Ago, Badge } from '@/ui/parts'
import { Empty, Loaded } from '@/ui/states'
import { Table, TableCard, type Column } from '@/ui/table'
import { Tabs } from '@/ui/tabs'
import { clickRate } from '../actions/lift'
import { PreviewAs } from './preview'

const route = getRouteApi('/content')

/** What is said and through what: content as people read it, channels, and who hears nothing. */
export function ContentPage() {
  const { tab } = route.useSearch()
  const may = useMay()
  const suppressed = useQuery(channelsQuery).data?.suppressed
  return (
    <Page
      title="Content"
      fill={tab !== 'channels'}
      purpose="What is said, as people read it, and the channels it goes through."
      actions={
        may.edit && (
          <Link to="/setup/config" search={{ add: true, kind: tab === 'channels' ? 'channel' : 'action' }} className={button({ look: 'solid' })}>
            {tab === 'channels' ? 'Add a channel' : 'New content'}
          </Link>
        )
      }
    >
      <Tabs
        label="Content"
        tabs={[
          { label: 'Content', bySearch: true, link: { to: '/content', search: {} } },
          { label: 'Channels', bySearch: true, link: { to: '/content', search: { tab: 'channels' } } },
          { label: 'Nothing is sent to', bySearch: true, count: suppressed, link: { to: '/content', search: { tab: 'suppressed' } } },
        ]}
      />
      {tab === 'channels' ? <Channels /> : tab === 'suppressed' ? <Suppressed /> : <Contents />}
    </Page>
  )
}

/** Through what an action goes out: its own channels, or those of its placements; none is one's own site. */
function useThrough(): (action: Action) => string {
  const placements = useQuery(placementsQuery).data
  return useMemo(() => {
    const ways = new Map((placements ?? []).map((p) => [p.id, p.channels ?? (p.channel ? [p.channel] : [])]))
    return (action) => {
      const own = action.channels ?? (action.channel ? [action.channel] : action.placements.flatMap((p) => ways.get(p) ?? []))
      return [...new Set(own)].join(', ')
    }
  }, [placements])
}

function Contents() {
  const { q = '', action, person } = route.useSearch()
  const navigate = route.useNavigate()
  const query = useQuery(actionsQuery)
  const through = useThrough()
  const chosen = query.data?.find((one) => one.id === action)
  const rows = useMemo(() => {
    const needle = q.toLowerCase()
    return (query.data ?? []).filter((one) => `${one.title ?? ''} ${one.id} ${one.type}`.toLowerCase().includes(needle))
  }, [query.data, q])
  const columns: Column<Action>[] = [
    {
      id: 'title',
      head: 'Content',
      cell: (one) => (
        <span className="clip">
          <span className="font-medium">{one.title || one.id}</span> {one.title && <span className="text-meta text-muted">{one.id}</span>}
        </span>
      ),
    },
    { id: 'type', head: 'Type', from: 'md', width: 'w-[130px]', cell: (one) => <span className="text-muted">{one.type}</span> },
    { id: 'through', head: 'Through', width: 'w-[120px] md:w-[160px]', cell: (one) => through(one) || <span className="text-muted">own site or app</span> },
    { id: 'where', head: 'Where', from: 'lg', width: 'w-[220px]', cell: (one) => <span className="text-muted" title={one.placements.join(', ')}>{one.placements.join(', ')}</span> },
    { id: 'shown', head: 'Shown', right: true, from: 'md', width: 'w-[90px]', cell: (one) => count(one.stats.shown) },
    { id: 'clicked', head: 'Clicked', right: true, from: 'md', width: 'w-[90px]', cell: (one) => clickRate(one) },
  ]
  return (
    <>
      <SearchField label="Find content" value={q} onChange={(text) => void navigate({ search: (before) => ({ ...before, q: text || undefined }), replace: true })} className="w-full md:w-[300px]" />
      <TableCard className="md:flex-1">
        <Loaded query={query}>
          {() => (
            <Table
              label="Content"
              columns={columns}
              rows={rows}
              rowKey={(one) => one.id}
              selected={action}
              link={(one) => ({ to: '/content', search: { ...(q && { q }), action: one.id } })}
              empty={
                <Empty icon={<Mails size={18} />} title={q ? `Nothing matches “${q}”` : 'There is nothing to say yet'}>
                  {!q && 'An action holds what may be said, and for whom. Rapport picks the one worth most for a person, or nothing.'}
                </Empty>
              }
            />
          )}
        </Loaded>
      </TableCard>
      {chosen && (
        <Panel
          key={chosen.id}
          wide
          label={`Preview of ${chosen.id}`}
          onClose={() => void navigate({ search: (before) => ({ ...before, action: undefined, person: undefined }) })}
          head={
            <div className="flex flex-wrap items-center gap-2">
              <h2 className="clip text-card font-semibold">{chosen.title || chosen.id}</h2>
              <Badge>{chosen.type}</Badge>
              <span className="flex-1" />
              <Link to="/setup/config/$kind/$id" params={{ kind: 'action', id: chosen.id }} className={button({ size: 'small' })}>
                <PenLine size={13} aria-hidden /> Edit
              </Link>
            </div>
          }
        >
          <PreviewAs action={chosen} person={person} onPerson={(id) => void navigate({ search: (before) => ({ ...before, person: id }), replace: true })} />
        </Panel>
      )}
    </>
  )
}

const looks = { working: 'good', failing: 'warn', paused: 'bad' } as const
const types: Record<string, string> = { smtp: 'e-mail', sms: 'text message', webpush: 'browser push' }

function Channels() {
  const query = useQuery(channelsQuery)
  return (
    <Loaded query={query}>
      {({ channels }) =>
        channels.length === 0 ? (
          <div className="card">
            <Empty icon={<Plug size={18} />} title="No channel yet">
              On your own site and app nothing is needed: they ask what to show. To reach people elsewhere, add a channel for e-mail, text messages or browser push.{' '}
              <Link to="/docs/$" params={{ _splat: 'channels' }} className="link">
                How channels work
              </Link>
              .
            </Empty>
          </div>
        ) : (
          <ul className="grid gap-3 md:grid-cols-2 xl:grid-cols-3">
            {channels.map((channel) => (
              <li key={channel.id} className="card p-4">
                <div className="flex items-center justify-between gap-3">
                  <h2 className="clip text-card font-semibold">{channel.id}</h2>
                  {channel.health ? <Badge look={looks[channel.health.state as keyof typeof looks] ?? 'warn'}>{channel.health.state}</Badge> : <Badge>not used yet</Badge>}
                </div>
                <p className="text-muted">
                  {types[channel.type] ?? channel.type}
                  {channel.from && `, from ${channel.from}`}
                </p>
                {channel.health && (
                  <dl className="mt-3 grid grid-cols-2 gap-2">
                    <div>
                      <dt className="text-meta text-muted">Delivered</dt>
                      <dd className="text-kpi font-semibold tabular-nums">{count(channel.health.delivered)}</dd>
                    </div>
                    <div>
                      <dt className="text-meta text-muted">Failed</dt>
                      <dd className="text-kpi font-semibold tabular-nums">{count(channel.health.failed)}</dd>
                    </div>
                  </dl>
                )}
                <p className="mt-2 text-meta text-muted">
                  {channel.health?.lastSuccess ? (
                    <>
                      Last delivery <Ago time={channel.health.lastSuccess} suffix="ago" />; counted since the server started
                    </>
                  ) : (
                    'Nothing went through it since the server started'
                  )}
                  {channel.health?.pausedUntil && `; rests until ${clock(channel.health.pausedUntil)}`}
                </p>
                {channel.health && channel.health.state !== 'working' && channel.health.lastError && <p className="mt-1 text-meta text-bad">{channel.health.lastError}</p>}
                <div className="mt-3 flex gap-2">
                  <Link to="/setup/config/$kind/$id" params={{ kind: 'channel', id: channel.id }} className={button({ size: 'small' })}>
                    Settings
                  </Link>
                  <Link to="/setup/deliveries" className={button({ size: 'small', look: 'ghost' })}>
                    Deliveries
                  </Link>
                </div>
              </li>
            ))}
          </ul>
        )
      }
    </Loaded>
  )
}

type Suppression = Suppressions['suppressions'][number]

const reasons = { bounce: 'bounced', complaint: 'called it spam', manual: 'put here by hand', import: 'imported' } as const

function Suppressed() {
  const { reason, q = '' } = route.useSearch()
  const navigate = route.useNavigate()
  const query = useInfiniteQuery(suppressionsQuery({ reason, address: q || undefined }))
  const rows = useMemo(() => query.data?.pages.flatMap((page) => page.suppressions) ?? [], [query.data])
  const total = query.data?.pages[0]?.total
  const columns: Column<Suppression>[] = [
    { id: 'address', head: 'Address', cell: (row) => row.address || <span className="text-muted">known only as a fingerprint</span> },
    { id: 'person', head: 'Person', from: 'md', width: 'w-[200px]', cell: (row) => (row.personId ? called('', row.personId) : '') },
    { id: 'reason', head: 'Why', width: 'w-[140px]', cell: (row) => <span title={row.detail}>{reasons[row.reason] ?? row.reason}</span> },
    { id: 'by', head: 'By', from: 'lg', width: 'w-[160px]', cell: (row) => <span className="text-muted">{row.by}</span> },
    { id: 'at', head: 'Since', right: true, width: 'w-[90px]', cell: (row) => <Ago time={row.at} className="text-muted" /> },
  ]
  return (
    <>
      <div className="flex flex-wrap items-center gap-2">
        <SearchField label="Is this address here?" value={q} onChange={(text) => void navigate({ search: (before) => ({ ...before, q: text.trim() || undefined }), replace: true })} className="w-full md:w-[300px]" />
        <Select aria-label="Why" value={reason ?? ''} onChange={(e) => void navigate({ search: (before) => ({ ...before, reason: e.target.value || undefined }), replace: true })}>
          <option value="">Any reason</option>
          {Object.entries(reasons).map(([id, text]) => (
            <option key={id} value={id}>
              {text}
            </option>
          ))}
        </Select>
        {total !== undefined && <span className="text-muted">{plural(total, 'address', 'addresses')} in all</span>}
      </div>
      <TableCard className="md:flex-1">
        <Loaded query={query}>
          {() => (
            <Table
              label="Nothing is sent to"
              columns={columns}
              rows={rows}
              rowKey={(row) => row.id}
              link={(row) => (row.personId ? { to: '/people/$ref', params: { ref: row.personId } } : { to: '/content', search: { tab: 'suppressed' } })}
              onEnd={() => void (query.hasNextPage && !query.isFetchingNextPage && query.fetchNextPage())}
              more={query.hasNextPage}
              empty={
                <Empty icon={<MailX size={18} />} title={q ? 'It is not here' : 'Every address is open'}>
                  {q ? 'Messages may go to this address, as far as consent allows.' : 'An address that bounces for good, or whose owner calls a message spam, comes here by itself.'}
                </Empty>
              }
            />
          )}
        </Loaded>
      </TableCard>
    </>
  )
}

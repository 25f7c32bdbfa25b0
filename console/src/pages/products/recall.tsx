import { useInfiniteQuery, useQuery, useQueryClient } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { ArrowLeft, BellRing, UserCheck, UsersRound } from 'lucide-react'
import { useMemo, useState } from 'react'
import { del, post } from '@/api/client'
import { recallPeopleQuery, recallQuery } from '@/api/queries'
import type { RecallPerson, RecallStatus } from '@/api/types'
import { count, percent, plural } from '@/format/number'
import { called } from '@/format/person'
import { moment } from '@/format/time'
import { useMay } from '@/shell/session'
import { Button } from '@/ui/button'
import { Shares } from '@/ui/charts'
import { Confirm } from '@/ui/dialog'
import { Page } from '@/ui/page'
import { Ago, Badge, Card, Rows } from '@/ui/parts'
import { Empty, Failure, Loaded } from '@/ui/states'
import { Select } from '@/ui/field'
import { Table, TableCard, type Column } from '@/ui/table'
import { Tile, Tiles, TileSkeleton } from '@/ui/tile'
import { useToast } from '@/ui/toast'
import { RecallBadge } from './recalls'

const route = getRouteApi('/products/recalls/$id')

const states = ['waiting', 'sent', 'reached', 'acknowledged', 'unreachable'] as const
const looks: Record<RecallPerson['state'], 'plain' | 'accent' | 'good' | 'bad'> = { waiting: 'plain', sent: 'accent', reached: 'accent', acknowledged: 'good', unreachable: 'bad' }
const inks: Record<(typeof states)[number], string> = { waiting: 'bg-line-strong', sent: 'bg-decision', reached: 'bg-view', acknowledged: 'bg-cart', unreachable: 'bg-order' }
const names: Record<(typeof states)[number], string> = { waiting: 'waiting', sent: 'on its way', reached: 'reached', acknowledged: 'took note', unreachable: 'cannot be reached' }

/** One recall: how far it came, who took note, and who is still to be told. */
export function RecallPage() {
  const { id } = route.useParams()
  const query = useQuery(recallQuery(id))
  const recall = query.data
  const may = useMay()
  const client = useQueryClient()
  const toast = useToast()
  const [asking, setAsking] = useState<'remind' | 'lift'>()
  if (query.error && !recall) return <Failure error={query.error} retry={() => void query.refetch()} className="min-h-full" />
  const left = recall ? recall.progress.people - recall.progress.acknowledged : 0
  return (
    <Page
      title={recall?.reason ?? 'Recall'}
      heading={
        <div className="min-w-0">
          <Link to="/products/recalls" className="mb-0.5 inline-flex items-center gap-1 text-meta text-muted hover:text-text">
            <ArrowLeft size={12} aria-hidden /> Recalls
          </Link>
          <h1 className="flex items-center gap-2 text-page font-semibold">
            <span className="clip">{recall?.reason ?? 'Recall'}</span>
            {recall && <RecallBadge recall={recall} />}
          </h1>
        </div>
      }
      actions={
        recall && may.edit && !recall.lifted && (
          <>
            <Button onClick={() => setAsking('lift')}>Lift…</Button>
            <Button look="solid" icon={<BellRing size={14} aria-hidden />} disabled={left === 0} onClick={() => setAsking('remind')}>
              Remind
            </Button>
          </>
        )
      }
    >
      {recall ? <Progress recall={recall} /> : <TileSkeleton />}
      <div className="grid items-start gap-3 lg:grid-cols-[minmax(0,1fr)_340px]">
        <Whom id={id} />
        {recall && (
          <Card title="What owners read">
            <p className="font-medium">{recall.reason}</p>
            {recall.instructions && <p className="mt-1">{recall.instructions}</p>}
            <Rows
              className="mt-3"
              rows={[
                {
                  name: 'Of',
                  value: (
                    <Link to="/products/recalls" search={{ of: recall.of }} className="link">
                      {recall.of}
                    </Link>
                  ),
                  note: recall.of,
                },
                ...(recall.url ? [{ name: 'More at', value: recall.url, note: recall.url }] : []),
                { name: 'Decided in', value: recall.placement || 'the first that has a recall' },
                { name: 'Called back', value: <Ago time={recall.createdAt} suffix="ago" />, note: moment(recall.createdAt) },
                { name: 'By', value: recall.by },
              ]}
            />
          </Card>
        )}
      </div>
      <Confirm
        open={asking === 'remind'}
        onClose={() => setAsking(undefined)}
        title={`Remind ${plural(left, 'person', 'people')}?`}
        verb="Remind"
        onConfirm={async () => {
          await post(`/v1/recalls/${encodeURIComponent(id)}/remind`)
          toast.say('Everybody who did not take note is told once more')
          await client.invalidateQueries({ queryKey: ['recalls'] })
        }}
      >
        Whoever did not take note is told once more, each through the channel that reaches them. Those who took note hear nothing.
      </Confirm>
      <Confirm
        open={asking === 'lift'}
        onClose={() => setAsking(undefined)}
        title="Lift this recall?"
        verb="Lift"
        onConfirm={async () => {
          await del(`/v1/recalls/${encodeURIComponent(id)}`)
          toast.say('Items and owners are told that it is over')
          await client.invalidateQueries({ queryKey: ['recalls'] })
        }}
      >
        Its items lose their mark, and every owner is told that it is over.
      </Confirm>
    </Page>
  )
}

function Progress({ recall: { progress } }: { recall: RecallStatus }) {
  const told = progress.people - progress.waiting - progress.unreachable
  const share = (n: number) => (progress.people ? percent(n / progress.people) : '–')
  return (
    <>
      <Tiles>
        <Tile label="People concerned" value={count(progress.people)} sub="owners and their households" explain={<p>Everybody who holds an item of it, or lives with somebody who does. {plural(progress.unowned, 'item')} are nobody’s yet: whoever claims one is told then.</p>} />
        <Tile label="Told" value={share(told)} sub={`${count(told)} of ${count(progress.people)}`} explain={<p>A message is on its way to them, was taken by their channel, or was seen.</p>} />
        <Tile label="Took note" value={share(progress.acknowledged)} sub={`${count(progress.acknowledged)} said so`} explain={<p>They confirmed it themselves, or somebody noted it for them, as after a call.</p>} />
        <Tile label="Items marked" value={`${count(progress.marked)} of ${count(progress.items)}`} sub={`${count(progress.unowned)} are nobody’s yet`} explain={<p>Items whose own page says that they are called back. Whoever taps one reads it there.</p>} />
      </Tiles>
      {progress.people > 0 && (
        <Card>
          <Shares label="Where people stand" parts={states.map((state) => ({ name: names[state], value: progress[state], ink: inks[state] }))} write={count} />
        </Card>
      )}
    </>
  )
}

/** Whom it concerns, and where each of them stands. */
function Whom({ id }: { id: string }) {
  const { state } = route.useSearch()
  const navigate = route.useNavigate()
  const client = useQueryClient()
  const toast = useToast()
  const may = useMay()
  const query = useInfiniteQuery(recallPeopleQuery(id, state))
  const people = useMemo(() => query.data?.pages.flatMap((page) => page.people) ?? [], [query.data])
  const note = (person: RecallPerson) =>
    post(`/v1/recalls/${encodeURIComponent(id)}/acknowledgements`, { person: person.person })
      .then(() => toast.say('Noted: they took note'))
      .catch(toast.fail)
      .finally(() => void client.invalidateQueries({ queryKey: ['recalls', id] }))
  const columns: Column<RecallPerson>[] = [
    { id: 'person', head: 'Person', cell: (row) => <span className="font-medium">{called(row.name, row.person)}</span> },
    {
      id: 'state',
      head: 'State',
      width: 'w-[150px]',
      cell: (row) => (
        <Badge look={looks[row.state]} title={row.why}>
          {names[row.state]}
        </Badge>
      ),
    },
    { id: 'through', head: 'Through', from: 'md', width: 'w-[28%]', cell: (row) => <span title={row.why}>{row.state === 'unreachable' ? <span className="text-muted">{row.why}</span> : row.channel || (row.decisionId ? 'where they look next' : '')}</span> },
    { id: 'since', head: 'Since', right: true, from: 'md', width: 'w-[90px]', cell: (row) => <Ago time={row.acknowledgedAt ?? row.seenAt ?? row.deliveredAt ?? row.decidedAt ?? row.toldAt} className="text-muted" /> },
    ...(may.edit
      ? [
          {
            id: 'note',
            head: <span className="sr-only">Note that they took note</span>,
            right: true,
            width: 'w-[44px]',
            cell: (row: RecallPerson) =>
              row.state !== 'acknowledged' && (
                <button type="button" title="Note that they took note, as after a call" aria-label={`Note that ${called(row.name, row.person)} took note`} onClick={() => void note(row)} className="relative z-10 flex size-7 items-center justify-center rounded-control text-muted hover:bg-sunken hover:text-text">
                  <UserCheck size={14} aria-hidden />
                </button>
              ),
          },
        ]
      : []),
  ]
  return (
    <TableCard className="max-h-[560px]">
      <header className="flex items-center gap-3 border-b border-line px-3 py-2">
        <h2 className="flex-1 text-card font-semibold">Whom it concerns</h2>
        <Select aria-label="State" value={state ?? ''} onChange={(event) => void navigate({ search: { state: event.target.value || undefined }, replace: true })}>
          <option value="">Everybody</option>
          {states.map((one) => (
            <option key={one} value={one}>
              {names[one]}
            </option>
          ))}
        </Select>
      </header>
      <Loaded query={query}>
        {() => (
          <Table
            label="Whom it concerns"
            columns={columns}
            rows={people}
            rowKey={(row) => row.person}
            link={(row) => (row.decisionId ? { to: '/decisions/$id', params: { id: row.decisionId } } : { to: '/people/$ref', params: { ref: row.person } })}
            onEnd={() => void (query.hasNextPage && !query.isFetchingNextPage && query.fetchNextPage())}
            more={query.hasNextPage}
            empty={
              <Empty icon={<UsersRound size={18} />} title={state ? 'Nobody stands there' : 'It concerns nobody yet'}>
                {state ? 'Choose another state above.' : 'No item of it has an owner. Whoever claims one is told at once.'}
              </Empty>
            }
          />
        )}
      </Loaded>
    </TableCard>
  )
}

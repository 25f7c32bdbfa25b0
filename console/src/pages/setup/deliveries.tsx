import { useQuery, useQueryClient } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { MailCheck, RotateCcw } from 'lucide-react'
import { useState } from 'react'
import { post } from '@/api/client'
import { deliveriesQuery } from '@/api/queries'
import type { Delivery, Destination } from '@/api/types'
import { count } from '@/format/number'
import { called } from '@/format/person'
import { clock, moment } from '@/format/time'
import { useMay } from '@/shell/session'
import { Button } from '@/ui/button'
import { Panel } from '@/ui/panel'
import { Ago, Badge, Card, CopyId, Rows } from '@/ui/parts'
import { Empty, Loaded, Refusal } from '@/ui/states'
import { Table, TableCard, type Column } from '@/ui/table'
import { Tabs } from '@/ui/tabs'
import { useToast } from '@/ui/toast'
import { SetupPage } from './frame'

const route = getRouteApi('/setup/deliveries')

const columns: Column<Delivery>[] = [
  { id: 'destination', head: 'Destination', width: 'md:w-[150px]', cell: (delivery) => <span className="font-medium">{delivery.destination}</span> },
  { id: 'event', head: 'What', from: 'md', width: 'w-[170px]', cell: (delivery) => delivery.event },
  { id: 'error', head: 'What the other side said', from: 'md', cell: (delivery) => <span title={delivery.error}>{delivery.error}</span> },
  { id: 'attempts', head: 'Tries', right: true, from: 'lg', width: 'w-[70px]', cell: (delivery) => count(delivery.attempts) },
  { id: 'time', head: 'Since', right: true, width: 'w-[100px]', cell: (delivery) => <Ago time={delivery.time} className="text-muted" /> },
]

/** What could not be delivered, and what is still being tried. */
export function Deliveries() {
  const { status = 'dead', id } = route.useSearch()
  const navigate = route.useNavigate()
  const client = useQueryClient()
  const toast = useToast()
  const may = useMay()
  const query = useQuery({ ...deliveriesQuery(status), refetchInterval: 10_000 })
  const destinations = query.data?.destinations ?? []
  const chosen = query.data?.deliveries.find((delivery) => delivery.key === id)
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  const replay = async (delivery: Delivery) => {
    setBusy(true)
    setError(undefined)
    try {
      await post(`/v1/deliveries/${encodeURIComponent(delivery.key)}/replay`)
      toast.say(`Sending to ${delivery.destination} again`)
      await Promise.all([client.invalidateQueries({ queryKey: ['deliveries'] }), client.invalidateQueries({ queryKey: ['overview'] })])
      void navigate({ search: { status }, replace: true })
    } catch (cause) {
      setError(cause)
    } finally {
      setBusy(false)
    }
  }
  return (
    <SetupPage title="Deliveries" fill purpose="A dead destination slows nobody else">
      <Tabs
        label="Deliveries"
        tabs={[
          { label: 'Gave up', bySearch: true, link: { to: '/setup/deliveries', search: {} } },
          { label: 'Waiting', bySearch: true, link: { to: '/setup/deliveries', search: { status: 'waiting' } } },
        ]}
      />
      <div className="grid min-h-0 items-start gap-3 lg:grid-cols-[minmax(0,1fr)_280px]">
        <TableCard className="max-h-full">
          <Loaded query={query}>
            {({ deliveries }) => (
              <Table
                label="Deliveries"
                columns={columns}
                rows={deliveries}
                rowKey={(delivery) => delivery.key}
                selected={id}
                link={(delivery) => ({ to: '/setup/deliveries', search: { status: status === 'dead' ? undefined : status, id: delivery.key } })}
                empty={
                  <Empty icon={<MailCheck size={18} />} title={status === 'dead' ? 'Everything was delivered' : 'Nothing is waiting'}>
                    {status === 'dead' ? 'What a destination refuses for good stays here, to be sent again.' : 'What a destination did not take at once is tried again here, ever more slowly.'}
                  </Empty>
                }
              />
            )}
          </Loaded>
        </TableCard>
        <Destinations destinations={destinations} />
      </div>
      {chosen && (
        <Panel
          key={chosen.key}
          label={`Delivery to ${chosen.destination}`}
          onClose={() => void navigate({ search: { status: status === 'dead' ? undefined : status } })}
          head={
            <>
              <h2 className="text-card font-semibold">
                {chosen.event} to {chosen.destination}
              </h2>
              <CopyId id={chosen.key} />
            </>
          }
        >
          <div className="space-y-4">
            {chosen.error && <p className="rounded-control bg-bad-soft px-3 py-2 text-bad">{chosen.error}</p>}
            <Rows
              rows={[
                { name: 'Tries', value: count(chosen.attempts) },
                { name: 'Since', value: moment(chosen.time) },
                {
                  name: 'Person',
                  value: (
                    <Link to="/people/$ref" params={{ ref: chosen.personId }} className="link">
                      {called('', chosen.personId)}
                    </Link>
                  ),
                },
              ]}
            />
            <Refusal error={error} />
            {may.edit && chosen.status === 'dead' && (
              <Button look="solid" busy={busy} icon={<RotateCcw size={14} aria-hidden />} onClick={() => void replay(chosen)}>
                Send again
              </Button>
            )}
          </div>
        </Panel>
      )}
    </SetupPage>
  )
}

const states: Record<Destination['state'], { look: 'good' | 'warn' | 'bad'; label: string }> = {
  working: { look: 'good', label: 'working' },
  failing: { look: 'warn', label: 'failing' },
  paused: { look: 'bad', label: 'paused' },
}

/** How each destination does: one that fails rests, and slows no other. */
function Destinations({ destinations }: { destinations: Destination[] }) {
  return (
    <Card title="Destinations">
      {destinations.length === 0 ? (
        <p className="text-muted">
          None yet. A{' '}
          <Link to="/setup/config" search={{ kind: 'webhook' }} className="link">
            webhook document
          </Link>{' '}
          sends events and decisions to a system of yours.
        </p>
      ) : (
        <ul className="divide-y divide-line">
          {destinations.map((destination) => (
            <li key={destination.kind} className="py-2.5 first:pt-0 last:pb-0">
              <div className="flex items-center justify-between gap-3">
                <span className="clip font-medium">{destination.kind}</span>
                <Badge look={states[destination.state]?.look ?? 'warn'}>{states[destination.state]?.label ?? destination.state}</Badge>
              </div>
              <p className="text-meta text-muted">
                {count(destination.delivered)} delivered, {count(destination.failed)} failed since start
                {destination.lastSuccess && (
                  <>
                    , last <Ago time={destination.lastSuccess} suffix="ago" />
                  </>
                )}
              </p>
              {destination.pausedUntil && <p className="text-meta text-warn">Next try at {clock(destination.pausedUntil)}</p>}
              {destination.state !== 'working' && destination.lastError && <p className="text-meta text-bad">{destination.lastError}</p>}
            </li>
          ))}
        </ul>
      )}
    </Card>
  )
}

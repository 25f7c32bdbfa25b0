import { useQuery, useQueryClient } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { MailCheck, RotateCcw } from 'lucide-react'
import { useState } from 'react'
import { post } from '@/api/client'
import { configQuery, deliveriesQuery } from '@/api/queries'
import type { Delivery } from '@/api/types'
import { count } from '@/format/number'
import { clock, moment } from '@/format/time'
import { useMay } from '@/shell/session'
import { Button } from '@/ui/button'
import { Panel } from '@/ui/panel'
import { Ago, Card, Code, CopyId, Rows } from '@/ui/parts'
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
  const webhooks = useQuery(configQuery).data?.documents.filter((doc) => doc.kind === 'webhook') ?? []
  const chosen = query.data?.find((delivery) => delivery.key === id)
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
            {(deliveries) => (
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
        <Card title="Webhooks">
          {webhooks.length === 0 ? (
            <p className="text-muted">None. A webhook document sends events and decisions to a system of yours.</p>
          ) : (
            <ul className="-mx-2">
              {webhooks.map((doc) => (
                <li key={doc.id}>
                  <Link to="/setup/config/$kind/$id" params={{ kind: doc.kind, id: doc.id }} className="flex h-8 items-center rounded-control px-2 transition-colors hover:bg-sunken">
                    <span className="clip flex-1">{doc.id}</span>
                    <span className="text-meta text-muted">{'</>'}</span>
                  </Link>
                </li>
              ))}
            </ul>
          )}
        </Card>
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
                ...(chosen.nextAttemptAt ? [{ name: 'Next try', value: clock(chosen.nextAttemptAt) }] : []),
                ...(chosen.person ? [{ name: 'Person', value: chosen.person }] : []),
              ]}
            />
            {chosen.payload !== undefined && <Code label="The body" text={JSON.stringify(chosen.payload, null, 2)} />}
            <Refusal error={error} />
            {may.edit && (
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

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { Coffee, FileUp, History, PartyPopper, Plug, Rocket, Scale, Split, type LucideIcon } from 'lucide-react'
import { useState, type ReactNode } from 'react'
import { post } from '@/api/client'
import { demoQuery, sourcesQuery } from '@/api/queries'
import type { Demo, StreamMessage } from '@/api/types'
import { count } from '@/format/number'
import { called } from '@/format/person'
import { duration } from '@/format/time'
import { Snippet } from '@/pages/setup/snippet'
import { useLiveSignals } from '@/shell/live'
import { useMay } from '@/shell/session'
import { Button, button } from '@/ui/button'
import { Bar } from '@/ui/parts'
import { Refusal } from '@/ui/states'

/** The first minute: three ways to see Rapport live, and the moment it happens. */
export function Doors({ first, onEnter }: { first: StreamMessage | null; onEnter: () => void }) {
  return (
    <div className="mx-auto grid w-full max-w-[1040px] gap-4 pt-2 lg:grid-cols-2 lg:pt-6">
      <div className="lg:col-span-2">
        <h2 className="text-page font-semibold">Welcome. Let us meet someone.</h2>
        <p className="mt-0.5 max-w-[640px] text-muted">Rapport listens, gets to know each person, and decides the next best thing for one of them at a time. It needs one event to begin.</p>
      </div>
      <DemoDoor onEnter={onEnter} />
      <SourceDoor first={first} onEnter={onEnter} />
      <FileDoor />
    </div>
  )
}

function Door({ icon, title, note, children }: { icon: ReactNode; title: string; note: string; children: ReactNode }) {
  return (
    <section className="card flex flex-col p-5">
      <span aria-hidden className="mb-3 flex size-9 items-center justify-center rounded-card bg-accent-soft text-accent">
        {icon}
      </span>
      <h3 className="text-card font-semibold">{title}</h3>
      <p className="mt-0.5 mb-4 text-muted">{note}</p>
      <div className="mt-auto">{children}</div>
    </section>
  )
}

const sights: [LucideIcon, string][] = [
  [History, '120 days of history in under a minute, then life in real time'],
  [Split, 'Every decision explained: what was weighed, and why this one'],
  [Scale, 'Lift against a holdout, and the truth behind it, because the world is ours'],
]

const busyPhases: (Demo['phase'] | undefined)[] = ['history', 'removing']

function DemoDoor({ onEnter }: { onEnter: () => void }) {
  const client = useQueryClient()
  const may = useMay()
  const demo = useQuery({ ...demoQuery, refetchInterval: (query) => (query.state.data?.phase === 'live' ? false : 700) })
  const load = useMutation({
    mutationFn: () => post('/v1/demo'),
    onSuccess: () => client.invalidateQueries({ queryKey: demoQuery.queryKey }),
  })
  const data = demo.data
  const share = data?.total ? data.done / data.total : 0
  return (
    <Door icon={<Coffee size={18} />} title="Explore with Northbean Coffee" note="A believable brand: a web shop, an app, a till and thousands of shoppers with tastes of their own. Marked as demo, and removed in one click.">
      <ul className="mb-5 space-y-2.5">
        {sights.map(([Icon, text]) => (
          <li key={text} className="flex gap-2.5">
            <Icon size={15} aria-hidden className="mt-0.5 shrink-0 text-accent" />
            {text}
          </li>
        ))}
      </ul>
      {data && busyPhases.includes(data.phase) ? (
        <div role="status" className="space-y-2">
          <div className="flex justify-between gap-4">
            <span className="font-medium">{data.phase === 'removing' ? 'Removing the last one' : 'Writing 120 days of history'}</span>
            <span className="text-muted tabular-nums">
              {count(data.done)} of {count(data.total)}
            </span>
          </div>
          <Bar share={share} label={`Demo world, ${Math.round(share * 100)} % loaded`} className="h-1.5!" />
          {data.secondsLeft ? <p className="text-meta text-muted">About {duration(data.secondsLeft)} left</p> : null}
        </div>
      ) : data?.phase === 'live' ? (
        <Button look="solid" onClick={onEnter} icon={<Rocket size={14} aria-hidden />}>
          Enter the demo world
        </Button>
      ) : (
        <div className="space-y-3">
          <Button look="solid" busy={load.isPending} disabled={!may.admin} onClick={() => load.mutate()} icon={<Rocket size={14} aria-hidden />}>
            Load the demo world
          </Button>
          {!may.admin && <p className="text-meta text-muted">Only an admin can load it.</p>}
          {data?.phase === 'failed' && <Refusal error={data.error ?? 'The demo world stopped; try again.'} />}
          <Refusal error={load.error} />
        </div>
      )}
    </Door>
  )
}

function SourceDoor({ first, onEnter }: { first: StreamMessage | null; onEnter: () => void }) {
  const sources = useQuery(sourcesQuery).data
  const source = sources?.find((candidate) => candidate.enabled)
  return (
    <Door icon={<Plug size={18} />} title="Connect your own site or app" note="Any Segment or RudderStack client works as it is. Paste this where your events begin.">
      {source ? (
        <div className="space-y-3">
          <Snippet sourceKey={source.key} />
          <FirstEvent first={first} onEnter={onEnter} />
        </div>
      ) : (
        <p className="text-muted">
          There is no source yet.{' '}
          <Link to="/setup/sources" search={{ add: true }} className="link">
            Add a source
          </Link>{' '}
          to get its key.
        </p>
      )}
    </Door>
  )
}

function FileDoor() {
  return (
    <section className="card flex flex-wrap items-center gap-x-4 gap-y-3 p-5 lg:col-span-2">
      <span aria-hidden className="flex size-9 shrink-0 items-center justify-center rounded-card bg-accent-soft text-accent">
        <FileUp size={18} />
      </span>
      <div className="min-w-0 flex-1 basis-[260px]">
        <h3 className="text-card font-semibold">Bring your customers in from a file</h3>
        <p className="mt-0.5 text-muted">Drop a CSV of customers or orders, say what its columns are, and see what comes of it before anything is sent.</p>
      </div>
      <Link to="/setup/import" className={button()}>
        Import a CSV
      </Link>
    </section>
  )
}

function FirstEvent({ first, onEnter }: { first: StreamMessage | null; onEnter: () => void }) {
  if (!first) {
    return (
      <p role="status" className="flex items-center gap-2 text-muted">
        <span aria-hidden className="breathe size-2 rounded-full bg-live" />
        Waiting for the first event…
      </p>
    )
  }
  return (
    <div role="status" className="rise flex flex-wrap items-center gap-x-3 gap-y-2 rounded-control bg-good-soft px-3 py-2">
      <PartyPopper size={16} aria-hidden className="text-good" />
      <span className="min-w-0 flex-1">
        First event: <strong className="font-semibold">{first.name}</strong> by{' '}
        <Link to="/people/$ref" params={{ ref: first.personId }} className="link">
          {called(first.person, first.personId)}
        </Link>
      </span>
      <Button onClick={onEnter}>Watch it live</Button>
    </div>
  )
}

/** The first event seen since the page opened. */
export function useFirstEvent(): StreamMessage | null {
  const [first, setFirst] = useState<StreamMessage | null>(null)
  useLiveSignals((signal) => {
    if (!first && signal.type === 'message' && signal.message.kind === 'event') setFirst(signal.message)
  })
  return first
}

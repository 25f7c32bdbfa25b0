import { useQuery, useQueryClient } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { ArrowLeft, Send, TriangleAlert } from 'lucide-react'
import { useState, type FormEvent } from 'react'
import { call, del, post } from '@/api/client'
import { itemQuery, itemTimelineQuery, personQuery, seriesQuery } from '@/api/queries'
import type { Fields, Item } from '@/api/types'
import { spokenName } from '@/format/event'
import { count, decimal } from '@/format/number'
import { called, plain } from '@/format/person'
import { clock, day, moment, toDate } from '@/format/time'
import { useMay } from '@/shell/session'
import { Button } from '@/ui/button'
import { Trend } from '@/ui/charts'
import { Dialog, DialogButtons } from '@/ui/dialog'
import { Field, Input, Select } from '@/ui/field'
import { Page } from '@/ui/page'
import { Ago, Badge, Card, CopyId, Rows } from '@/ui/parts'
import { Failure, Loaded, Refusal, Skeleton } from '@/ui/states'
import { Segmented } from '@/ui/tabs'
import { Tile, Tiles, TileSkeleton } from '@/ui/tile'
import { useToast } from '@/ui/toast'
import { ForecastCard } from './forecast'

const route = getRouteApi('/products/items/$id')

/** One product item: what its twin knows, where it was, what it measured, and the way to steer it. */
export function ItemPage() {
  const { id } = route.useParams()
  const query = useQuery(itemQuery(id))
  const item = query.data
  const may = useMay()
  const [asking, setAsking] = useState(false)
  if (query.error && !item) return <Failure error={query.error} retry={() => void query.refetch()} className="min-h-full" />
  return (
    <Page
      title={item?.product?.name ?? id}
      heading={
        <div className="min-w-0">
          <Link to="/products" className="mb-0.5 inline-flex items-center gap-1 text-meta text-muted hover:text-text">
            <ArrowLeft size={12} aria-hidden /> Items
          </Link>
          <h1 className="flex flex-wrap items-center gap-2 text-page font-semibold">
            <span className="clip">{item?.product?.name ?? (item ? `GTIN ${item.gtin}` : 'Item')}</span>
            {item?.connected && <Badge look="good">online</Badge>}
            {item?.recall && <Badge look="bad">recalled</Badge>}
          </h1>
          <CopyId id={id} className="max-w-full" />
        </div>
      }
      actions={
        item && may.edit && (
          <Button look="solid" icon={<Send size={14} aria-hidden />} onClick={() => setAsking(true)}>
            Send a command
          </Button>
        )
      }
    >
      {item ? (
        <>
          {item.recall && (
            <p role="alert" className="flex items-center gap-2 rounded-card bg-bad-soft px-4 py-3 text-bad">
              <TriangleAlert size={15} aria-hidden className="shrink-0" /> Recalled {day(item.recall.at)}: {item.recall.reason}
            </p>
          )}
          <Facts item={item} />
          <div className="grid items-start gap-3 lg:grid-cols-[minmax(0,1fr)_340px]">
            <div className="space-y-3">
              <Telemetry item={item} />
              <Way item={item} />
              <Happened id={item.id} />
            </div>
            <div className="space-y-3">
              <ForecastCard item={item} />
              <Owner item={item} />
              <Shadow item={item} />
              <Commands item={item} />
              <Belongs item={item} />
            </div>
          </div>
          <CommandDialog open={asking} onClose={() => setAsking(false)} item={item} />
        </>
      ) : (
        <>
          <TileSkeleton />
          <Skeleton className="h-[480px] rounded-card!" />
        </>
      )}
    </Page>
  )
}

function Facts({ item }: { item: Item }) {
  return (
    <Tiles>
      <Tile label="Stage" value={item.state || '–'} sub={`known since ${day(item.registeredAt)}`} explain={<p>Where it is in its life, from what the supply chain and its owner did with it.</p>} />
      <Tile label="Firmware" value={item.firmware || '–'} sub="as it reports" explain={<p>The newest version the device said it runs.</p>} />
      <Tile label="Heard of" value={<Ago time={item.seenAt ?? null} />} sub={item.connected ? 'connected now' : 'not connected'} explain={<p>When it last spoke by itself: telemetry, an event or its reported state.</p>} />
      <Tile label="Warranty" value={item.warranty ? (item.warranty.valid ? 'valid' : 'over') : '–'} sub={item.warranty ? `until ${day(item.warranty.until)}` : 'none in the catalogue'} explain={<p>How long the maker stands for it, from its sale and the catalogue.</p>} />
    </Tiles>
  )
}

function Telemetry({ item }: { item: Item }) {
  const { reading, step = 'raw' } = route.useSearch()
  const navigate = route.useNavigate()
  const names = Object.entries(item.readings).filter(([, r]) => typeof r.value === 'number').map(([name]) => name).sort()
  const shown = reading && names.includes(reading) ? reading : (names[0] ?? '')
  const query = useQuery({ ...seriesQuery(item.id, shown, step), enabled: shown !== '', refetchInterval: 5000 })
  const now = item.readings[shown]
  if (!shown) {
    return (
      <Card title="Telemetry">
        <p className="text-muted">It has measured nothing yet.</p>
      </Card>
    )
  }
  return (
    <Card
      title="Telemetry"
      note={now && `${decimal(now.mean)} on average over ${count(now.count)} readings, ${decimal(now.min)} to ${decimal(now.max)}`}
      actions={
        <span className="flex flex-wrap justify-end gap-2">
          <Select aria-label="Reading" value={shown} onChange={(event) => void navigate({ search: (before) => ({ ...before, reading: event.target.value }), replace: true })}>
            {names.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </Select>
          <Segmented label="Step" value={step as 'raw' | 'hour' | 'day'} onChange={(value) => void navigate({ search: (before) => ({ ...before, step: value === 'raw' ? undefined : value }), replace: true })} options={[{ value: 'raw', label: 'Newest' }, { value: 'hour', label: 'Hours' }, { value: 'day', label: 'Days' }]} />
        </span>
      }
    >
      <Loaded query={query} skeleton={<Skeleton className="h-[150px]" />}>
        {(series) => <Trend label={shown} points={series.points.map((p) => ({ at: toDate(p.at).getTime(), value: p.mean, low: p.min, high: p.max }))} write={decimal} writeTime={(at) => `${day(at)} ${clock(at).slice(0, 5)}`} />}
      </Loaded>
    </Card>
  )
}

const short = (text: string | undefined) => text?.replace(/^.*[/:](?=[^/:]+$)/, '')

function Way({ item }: { item: Item }) {
  return (
    <Card title="Provenance" note="Its way through the supply chain, the steps of its containers included">
      {item.provenance.length === 0 ? (
        <p className="text-muted">Nothing of its way was captured. EPCIS events bring it.</p>
      ) : (
        <ol>
          {item.provenance.map((step, i) => (
            <li key={i} className="flex gap-3 border-b border-line py-2 last:border-0" title={[step.bizStep, step.disposition, step.readPoint].filter(Boolean).join('\n')}>
              <time dateTime={toDate(step.at).toISOString()} className="w-[126px] shrink-0 text-meta leading-5 text-muted tabular-nums">
                {moment(step.at).slice(0, 16)}
              </time>
              <span className="min-w-0 flex-1">
                <span className="font-medium">{spokenName(short(step.bizStep) ?? step.stage ?? 'seen')}</span>
                {(step.location ?? step.readPoint) && <span className="text-muted break-all"> at {step.location ?? step.readPoint}</span>}
                {step.within && (
                  <span className="block text-meta text-muted break-all">
                    within <Link to="/products/items/$id" params={{ id: step.within }} className="link">{step.within}</Link>
                  </span>
                )}
              </span>
              {step.stage && <Badge>{step.stage}</Badge>}
            </li>
          ))}
        </ol>
      )}
    </Card>
  )
}

function Happened({ id }: { id: string }) {
  const query = useQuery(itemTimelineQuery(id))
  return (
    <Card title="Timeline" note="Newest first; of its use, what its present owner may see">
      <Loaded query={query}>
        {(page) =>
          page.events.length === 0 ? (
            <p className="text-muted">Nothing yet.</p>
          ) : (
            <ul>
              {page.events.slice(0, 40).map((event) => (
                <li key={event.id} className="flex items-baseline gap-3 border-b border-line py-1.5 last:border-0">
                  <span className="shrink-0 font-medium">{spokenName(event.event) || event.type}</span>
                  <span className="clip min-w-0 flex-1 text-muted">{Object.entries(event.properties ?? {}).map(([name, value]) => `${name} ${plain(value)}`).join(' · ')}</span>
                  <Ago time={event.timestamp} className="shrink-0 text-meta text-muted" />
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
    </Card>
  )
}

function Owner({ item }: { item: Item }) {
  return (
    <Card title="Owner">
      {item.owner ? (
        <>
          <PersonLink id={item.owner} className="link block clip font-medium" />
          <p className="text-meta text-muted">
            {item.ownedSince ? `since ${day(item.ownedSince)}` : ''}
            {item.proof ? `, proven by ${item.proof}` : ''}
          </p>
          {item.household.map((member) => (
            <p key={member.person} className="mt-1 flex justify-between gap-3 text-meta">
              <PersonLink id={member.person} className="link clip" />
              <span className="text-muted">{member.role}</span>
            </p>
          ))}
        </>
      ) : (
        <p className="text-muted">It is nobody’s. Whoever claims it with a proof becomes its owner.</p>
      )}
    </Card>
  )
}

function PersonLink({ id, className }: { id: string; className: string }) {
  const person = useQuery({ ...personQuery(id), staleTime: 60_000 }).data
  return (
    <Link to="/people/$ref" params={{ ref: id }} className={className}>
      {called(person?.name, id)}
    </Link>
  )
}

function Shadow({ item }: { item: Item }) {
  const may = useMay()
  const [editing, setEditing] = useState(false)
  const names = [...new Set([...Object.keys(item.reported), ...Object.keys(item.desired)])].sort()
  return (
    <Card
      title="State"
      note="Reported by it, and what is wanted of it"
      actions={
        may.edit && (
          <Button size="small" onClick={() => setEditing(true)}>
            Change…
          </Button>
        )
      }
    >
      {names.length === 0 ? (
        <p className="text-muted">It reports no state, and nothing is wanted of it.</p>
      ) : (
        <Rows
          rows={names.map((name) => ({
            name,
            value: name in item.delta ? `${plain(item.reported[name])} → ${plain(item.desired[name])}` : plain(item.reported[name] ?? item.desired[name]),
            note: name in item.delta ? 'wanted, and not reported yet' : undefined,
          }))}
        />
      )}
      <DesireDialog open={editing} onClose={() => setEditing(false)} item={item} />
    </Card>
  )
}

function Commands({ item }: { item: Item }) {
  const may = useMay()
  const client = useQueryClient()
  const toast = useToast()
  const looks = { done: 'good', failed: 'bad', refused: 'bad', timedOut: 'warn', expired: 'warn' } as const
  const open = (state: string) => state === 'waiting' || state === 'sent'
  return (
    <Card title="Commands">
      {item.commands.length === 0 && <p className="text-muted">It was asked for nothing yet.</p>}
      <ul>
        {[...item.commands].reverse().slice(0, 12).map((command) => (
          <li key={command.id} className="flex items-center gap-2 py-1" title={`${JSON.stringify(command.args)}${command.result ? ` → ${JSON.stringify(command.result)}` : ''}`}>
            <span className="clip min-w-0 flex-1 font-medium">{command.name}</span>
            <Badge look={looks[command.state as keyof typeof looks] ?? 'plain'}>{command.state}</Badge>
            {may.edit && open(command.state) && (
              <Button look="ghost" size="small" onClick={() => void del(`/v1/items/${encodeURIComponent(item.id)}/commands/${encodeURIComponent(command.id)}`).then(() => client.invalidateQueries({ queryKey: ['item'] })).catch(toast.fail)}>
                Take back
              </Button>
            )}
            <Ago time={command.at} className="shrink-0 text-meta text-muted" />
          </li>
        ))}
      </ul>
    </Card>
  )
}

function Belongs({ item }: { item: Item }) {
  const facts = Object.entries(item.facts).sort()
  return (
    <Card title="Facts">
      <Rows rows={[{ name: 'GTIN', value: item.gtin }, { name: 'Serial', value: item.serial || '–' }, { name: 'Taps', value: count(item.taps) }, ...facts.map(([name, value]) => ({ name, value, note: value }))]} />
      {facts.some(([name]) => name === 'lot') && (
        <Link to="/products/recalls" search={{ of: `01/${item.gtin}/10/${item.facts.lot}` }} className="link mt-1 inline-block text-meta">
          Everything of lot {item.facts.lot}
        </Link>
      )}
      {item.parents.length > 0 && <h3 className="mt-3 font-medium">Was within</h3>}
      {item.parents.map((parent) => (
        <p key={parent.item + String(parent.from)} className="text-meta">
          <Link to="/products/items/$id" params={{ id: parent.item }} className="link break-all">
            {parent.item}
          </Link>
          <span className="text-muted">
            {' '}
            {day(parent.from)} to {parent.to ? day(parent.to) : 'now'}
          </span>
        </p>
      ))}
      {item.rejected.map((problem, i) => (
        <p key={i} className="mt-2 text-meta text-warn">
          {moment(problem.at)}: {problem.problem}
        </p>
      ))}
    </Card>
  )
}

function fieldsOf(text: string): Fields | undefined {
  try {
    const value = JSON.parse(text || '{}') as unknown
    return value && typeof value === 'object' && !Array.isArray(value) ? (value as Fields) : undefined
  } catch {
    return undefined
  }
}

function CommandDialog({ open, onClose, item }: { open: boolean; onClose: () => void; item: Item }) {
  const [name, setName] = useState('')
  const [args, setArgs] = useState('{}')
  const [expires, setExpires] = useState('24h')
  const [error, setError] = useState<unknown>()
  const client = useQueryClient()
  const toast = useToast()
  const parsed = fieldsOf(args)
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    setError(undefined)
    try {
      await post(`/v1/items/${encodeURIComponent(item.id)}/commands`, { name, args: parsed, expires })
      toast.say(`${name} is on its way`)
      onClose()
      await client.invalidateQueries({ queryKey: ['item'] })
    } catch (cause) {
      setError(cause)
    }
  }
  return (
    <Dialog open={open} onClose={onClose} title="Send a command" note={item.connected ? 'It is connected and hears it now.' : 'It is not connected: the command waits for it.'}>
      <form onSubmit={(event) => void submit(event)} className="space-y-3">
        <Field label="Command">{(id) => <Input id={id} value={name} onChange={(e) => setName(e.target.value)} required maxLength={64} placeholder="descale" className="w-full" />}</Field>
        <Field label="Arguments, as JSON" error={parsed ? undefined : 'This is not a JSON object'}>{(id) => <Input id={id} value={args} onChange={(e) => setArgs(e.target.value)} className="w-full font-mono" />}</Field>
        <Field label="May wait for" hint="Such as 1h or 7d; at most 720h">{(id) => <Input id={id} value={expires} onChange={(e) => setExpires(e.target.value)} className="w-28" />}</Field>
        <Refusal error={error} />
        <DialogButtons>
          <Button onClick={onClose}>Cancel</Button>
          <Button look="solid" type="submit" disabled={!name || !parsed}>
            Send
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  )
}

function DesireDialog({ open, onClose, item }: { open: boolean; onClose: () => void; item: Item }) {
  const [text, setText] = useState('')
  const [error, setError] = useState<unknown>()
  const client = useQueryClient()
  const toast = useToast()
  const shown = text || JSON.stringify(item.desired)
  const parsed = fieldsOf(shown)
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    setError(undefined)
    try {
      await call('PATCH', `/v1/items/${encodeURIComponent(item.id)}/desired`, { body: parsed })
      toast.say('It is told what is wanted of it')
      setText('')
      onClose()
      await client.invalidateQueries({ queryKey: ['item'] })
    } catch (cause) {
      setError(cause)
    }
  }
  return (
    <Dialog open={open} onClose={onClose} title="What is wanted of it" note="A merge patch: what is named changes, null takes away, the rest stays.">
      <form onSubmit={(event) => void submit(event)} className="space-y-3">
        <Field label="Desired state, as JSON" error={parsed ? undefined : 'This is not a JSON object'}>{(id) => <Input id={id} value={shown} onChange={(e) => setText(e.target.value)} className="w-full font-mono" />}</Field>
        <Refusal error={error} />
        <DialogButtons>
          <Button onClick={onClose}>Cancel</Button>
          <Button look="solid" type="submit" disabled={!parsed}>
            Change
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  )
}

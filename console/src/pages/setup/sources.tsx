import { useQuery, useQueryClient } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { Plus, Radio } from 'lucide-react'
import { useMemo, useState, type FormEvent } from 'react'
import { post } from '@/api/client'
import { configQuery, sourcesQuery } from '@/api/queries'
import type { Source } from '@/api/types'
import { count, decimal, plural } from '@/format/number'
import { toDate } from '@/format/time'
import { useLiveSignals } from '@/shell/live'
import { useMay } from '@/shell/session'
import { Button } from '@/ui/button'
import { cx } from '@/ui/cx'
import { Dialog, DialogButtons } from '@/ui/dialog'
import { Field, Input } from '@/ui/field'
import { Panel } from '@/ui/panel'
import { Ago, Badge, Code, CopyId, Rows, useNow } from '@/ui/parts'
import { Empty, Loaded, Refusal } from '@/ui/states'
import { Table, TableCard, type Column } from '@/ui/table'
import { useToast } from '@/ui/toast'
import { SetupPage } from './frame'
import { isLanguage, Snippet } from './snippet'
import { newKey } from './template'

const route = getRouteApi('/setup/sources')

/** The newest event of each source: what the server told, then what the stream adds. */
function useLastEvents(sources: Source[] | undefined): Map<string, number> {
  const [seen, setSeen] = useState(new Map<string, number>())
  useLiveSignals((signal) => {
    if (signal.type !== 'message' || signal.message.kind !== 'event') return
    const { source, time } = signal.message
    const at = toDate(time).getTime()
    if (at - (seen.get(source) ?? 0) > 900) setSeen(new Map(seen).set(source, at))
  })
  return useMemo(() => {
    const last = new Map<string, number>()
    for (const source of sources ?? []) {
      const told = source.lastEventAt ? toDate(source.lastEventAt).getTime() : 0
      const at = Math.max(told, seen.get(source.id) ?? 0)
      if (at > 0) last.set(source.id, at)
    }
    return last
  }, [sources, seen])
}

function Pulse({ source, last }: { source: Source; last: number | undefined }) {
  const now = useNow(5000)
  const age = last === undefined ? Infinity : now - last
  const look = !source.enabled ? 'bg-other' : age < 60_000 ? 'bg-live' : age < 3_600_000 ? 'bg-order' : 'bg-other'
  return <span aria-hidden className={cx('inline-block size-[7px] shrink-0 rounded-full', look, source.enabled && age < 10_000 && 'breathe')} />
}

/** The doors through which events come in, each with its key. */
export function Sources() {
  const { id, lang, add } = route.useSearch()
  const navigate = route.useNavigate()
  const query = useQuery({ ...sourcesQuery, refetchInterval: 10_000 })
  const last = useLastEvents(query.data)
  const may = useMay()
  const chosen = query.data?.find((source) => source.id === id)
  const columns = useMemo<Column<Source>[]>(
    () => [
      {
        id: 'name',
        head: 'Source',
        cell: (source) => (
          <span className="flex items-center gap-2.5">
            <Pulse source={source} last={last.get(source.id)} />
            <span className="clip font-medium">{source.name || source.id}</span>
            {!source.enabled && <Badge>off</Badge>}
          </span>
        ),
      },
      { id: 'id', head: 'Id', from: 'md', width: 'w-[120px]', cell: (source) => <span className="font-mono text-meta text-muted">{source.id}</span> },
      { id: 'key', head: 'Write key', from: 'lg', width: 'w-[190px]', cell: (source) => <CopyId id={source.key} className="relative z-[1]" /> },
      { id: 'rate', head: 'Per minute', right: true, from: 'md', width: 'w-[100px]', cell: (source) => decimal(source.eventsPerMinute) },
      { id: 'events', head: <span title="Accepted since the server started">Events</span>, right: true, from: 'md', width: 'w-[110px]', cell: (source) => count(source.events) },
      { id: 'last', head: 'Last event', right: true, width: 'w-[110px]', cell: (source) => <Ago time={last.get(source.id)} suffix="ago" className="text-muted" /> },
    ],
    [last],
  )

  return (
    <SetupPage
      title="Sources"
      fill
      status={query.data && plural(query.data.length, 'door') + ' for events'}
      actions={
        may.admin && (
          <Button look="solid" icon={<Plus size={14} aria-hidden />} onClick={() => void navigate({ search: (before) => ({ ...before, add: true }) })}>
            Add a source
          </Button>
        )
      }
    >
      <TableCard>
        <Loaded query={query}>
          {(sources) => (
            <Table
              label="Sources"
              columns={columns}
              rows={sources}
              rowKey={(source) => source.id}
              selected={id}
              link={(source) => ({ to: '/setup/sources', search: { id: source.id } })}
              empty={
                <Empty icon={<Radio size={18} />} title="No source yet">
                  A source is a door for events: your web shop, app or till. Each has its own key.
                </Empty>
              }
            />
          )}
        </Loaded>
      </TableCard>
      {chosen && (
        <Panel key={chosen.id} label={`Source ${chosen.name || chosen.id}`} onClose={() => void navigate({ search: {} })} head={<h2 className="text-card font-semibold">{chosen.name || chosen.id}</h2>}>
          <Connect source={chosen} last={last.get(chosen.id)} language={isLanguage(lang) ? lang : undefined} onLanguage={(language) => void navigate({ search: (before) => ({ ...before, lang: language }), replace: true })} />
        </Panel>
      )}
      {add && may.admin && (
        <AddSource
          taken={query.data?.map((source) => source.id) ?? []}
          onClose={() => void navigate({ search: (before) => ({ ...before, add: undefined }), replace: true })}
          onDone={(made) => void navigate({ search: { id: made }, replace: true })}
        />
      )}
    </SetupPage>
  )
}

function Connect({ source, last, language, onLanguage }: { source: Source; last: number | undefined; language?: Parameters<typeof Snippet>[0]['language']; onLanguage: (language: NonNullable<Parameters<typeof Snippet>[0]['language']>) => void }) {
  return (
    <div className="space-y-5">
      <Rows
        rows={[
          { name: 'Write key', value: <CopyId end id={source.key} /> },
          { name: 'Id', value: <span className="font-mono text-meta">{source.id}</span> },
          { name: 'Events since start', value: count(source.events) },
          ...(source.quarantined ? [{ name: 'Held back since start', value: count(source.quarantined) }] : []),
          { name: 'Per minute', value: decimal(source.eventsPerMinute) },
          {
            name: 'Last event',
            value: last ? <Ago time={last} suffix="ago" /> : <span className="flex items-center gap-2 font-normal text-muted"><span aria-hidden className="breathe size-2 rounded-full bg-live" />waiting for the first event</span>,
          },
        ]}
      />
      <section>
        <h3 className="text-card font-semibold">Send an event</h3>
        <p className="mb-2 text-muted">Any Segment or RudderStack client works as it is: give it this address and key.</p>
        <Snippet sourceKey={source.key} language={language ?? 'curl'} onLanguage={onLanguage} />
      </section>
      <p className="flex gap-4">
        <Link to="/setup/config/$kind/$id" params={{ kind: 'source', id: source.id }} className="font-medium text-accent hover:underline">
          {'</>'} Config
        </Link>
        <Link to="/setup/quarantine" search={{ source: source.id }} className="font-medium text-accent hover:underline">
          Its quarantine
        </Link>
      </p>
    </div>
  )
}

function AddSource({ taken, onClose, onDone }: { taken: string[]; onClose: () => void; onDone: (id: string) => void }) {
  const client = useQueryClient()
  const toast = useToast()
  const [name, setName] = useState('')
  const [id, setId] = useState('')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  const auto = name.normalize('NFD').toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '')
  const final = id || auto
  const [key] = useState(() => newKey('src'))
  const yaml = `kind: source\nid: ${final}\nname: ${JSON.stringify(name)}\nkey: ${key.replace('_src_', `_${final.replace(/[^a-z0-9]/g, '').slice(0, 12)}_`)}\n`
  const clash = taken.includes(final)

  const submit = async (event: FormEvent) => {
    event.preventDefault()
    setBusy(true)
    setError(undefined)
    try {
      const { version } = await client.fetchQuery({ ...configQuery, staleTime: 0 })
      await post('/v1/config/apply', { yaml, expectVersion: version, note: `Add source ${final}` })
      toast.say(`${name} is open for events`)
      await client.invalidateQueries()
      onDone(final)
    } catch (cause) {
      setError(cause)
      setBusy(false)
    }
  }
  return (
    <Dialog open onClose={onClose} title="Add a source" note="A door of its own for each place events come from, so that each can be watched, limited and closed alone.">
      <form onSubmit={(event) => void submit(event)} className="space-y-3">
        <Field label="Name">{(field) => <Input id={field} required autoFocus value={name} onChange={(event) => setName(event.target.value)} placeholder="Web shop" maxLength={80} className="w-full" />}</Field>
        <Field label="Id" hint="Stands on every event it lets in." error={clash ? `There is already a source ${final}.` : undefined}>
          {(field) => <Input id={field} value={id} onChange={(event) => setId(event.target.value.trim())} placeholder={auto || 'web-shop'} pattern="[a-z0-9][a-z0-9_\-]*" spellCheck={false} autoComplete="off" className="w-full font-mono" />}
        </Field>
        {final && <Code label="The document this makes" text={yaml} />}
        <Refusal error={error} />
        <DialogButtons>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="solid" busy={busy} disabled={!final || clash}>
            Add source
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  )
}

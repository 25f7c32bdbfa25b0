import { useInfiniteQuery, useQuery, useQueryClient } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { PackageCheck, RotateCcw, Trash2, X } from 'lucide-react'
import { useCallback, useMemo, useState } from 'react'
import { call, del, post } from '@/api/client'
import { quarantineQuery, sourcesQuery } from '@/api/queries'
import type { Json, QuarantineItem } from '@/api/types'
import { plural } from '@/format/number'
import { moment } from '@/format/time'
import { useMay } from '@/shell/session'
import { Button } from '@/ui/button'
import { Confirm } from '@/ui/dialog'
import { Select } from '@/ui/field'
import { Panel } from '@/ui/panel'
import { Ago, CopyId } from '@/ui/parts'
import { Empty, Loaded, Refusal } from '@/ui/states'
import { Table, TableCard, type Column } from '@/ui/table'
import { useToast } from '@/ui/toast'
import { YamlEditor } from '@/ui/yaml'
import { SetupPage } from './frame'

const route = getRouteApi('/setup/quarantine')
const enc = encodeURIComponent

const columns: Column<QuarantineItem>[] = [
  {
    id: 'event',
    head: 'Event',
    width: 'md:w-[190px]',
    cell: (item) => (
      <>
        <span className="font-medium">{item.event || 'Unnamed'}</span>
        <span className="block clip text-meta text-muted md:hidden">{item.reason}</span>
      </>
    ),
  },
  { id: 'reason', head: 'Why it was held back', from: 'md', cell: (item) => <span title={item.reason}>{item.reason}</span> },
  { id: 'source', head: 'Source', from: 'md', width: 'w-[100px]', cell: (item) => <span className="text-muted">{item.source}</span> },
  { id: 'time', head: 'When', right: true, width: 'w-[100px]', cell: (item) => <Ago time={item.time} suffix="ago" className="text-muted" /> },
]

/** Events that broke the tracking plan: kept whole, to be mended and let in. */
export function Quarantine() {
  const { source, event, id } = route.useSearch()
  const filter = { source, event }
  const navigate = route.useNavigate()
  const client = useQueryClient()
  const toast = useToast()
  const may = useMay()
  const query = useInfiniteQuery(quarantineQuery(filter))
  const items = useMemo(() => query.data?.pages.flatMap((page) => page.items ?? []) ?? [], [query.data])
  const total = query.data?.pages[0]?.total ?? 0
  const sources = useQuery(sourcesQuery).data ?? []
  const names = [...new Set(items.map((item) => item.event))].sort()
  const chosen = items.find((item) => item.id === id)
  const [all, setAll] = useState(false)
  const { fetchNextPage, hasNextPage, isFetchingNextPage } = query
  const onEnd = useCallback(() => {
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage()
  }, [fetchNextPage, hasNextPage, isFetchingNextPage])
  const refresh = () => Promise.all([client.invalidateQueries({ queryKey: ['quarantine'] }), client.invalidateQueries({ queryKey: ['overview'] })])

  const replayAll = async () => {
    const done = await call<{ replayed: number; refused: number }>('POST', '/v1/quarantine/replay', { query: filter })
    toast.say(`${done.replayed} let in${done.refused > 0 ? `; ${done.refused} still break the plan` : ''}`)
    await refresh()
  }

  return (
    <SetupPage
      title="Quarantine"
      fill
      status={query.data && (total === 0 ? 'Every event keeps to the plan' : `${plural(total, 'event')} held back, none lost`)}
      actions={
        may.edit &&
        items.length > 0 && (
          <Button icon={<RotateCcw size={14} aria-hidden />} onClick={() => setAll(true)}>
            Try all again
          </Button>
        )
      }
    >
      {(total > 0 || source || event) && (
        <div className="flex flex-wrap gap-2">
          <Select aria-label="Source" value={source ?? ''} onChange={(e) => void navigate({ search: { event, source: e.target.value || undefined }, replace: true })}>
            <option value="">All sources</option>
            {sources.map((s) => (
              <option key={s.id} value={s.id}>
                {s.name || s.id}
              </option>
            ))}
          </Select>
          <Select aria-label="Event" value={event ?? ''} onChange={(e) => void navigate({ search: { source, event: e.target.value || undefined }, replace: true })}>
            <option value="">All events</option>
            {[...new Set([...(event ? [event] : []), ...names])].map((name) => (
              <option key={name}>{name}</option>
            ))}
          </Select>
          {(source || event) && (
            <Button look="ghost" icon={<X size={14} aria-hidden />} onClick={() => void navigate({ search: {}, replace: true })}>
              Clear
            </Button>
          )}
        </div>
      )}
      <TableCard className="md:flex-1">
        <Loaded query={query}>
          {() => (
            <Table
              label="Quarantined events"
              twoLines
              columns={columns}
              rows={items}
              rowKey={(item) => item.id}
              link={(item) => ({ to: '/setup/quarantine', search: { source, event, id: item.id } })}
              selected={id}
              onEnd={onEnd}
              more={hasNextPage}
              empty={
                <Empty icon={<PackageCheck size={18} />} title="The quarantine is empty">
                  An event that breaks its schema is held here whole, with the reason, until it is mended and let in.
                </Empty>
              }
            />
          )}
        </Loaded>
      </TableCard>
      {chosen && (
        <Panel key={chosen.id} label={`Quarantined ${chosen.event}`} onClose={() => void navigate({ search: { source, event } })} head={<Head item={chosen} />}>
          <Mend
            item={chosen}
            onDone={async (text) => {
              toast.say(text)
              const next = items[items.findIndex((item) => item.id === chosen.id) + 1]
              await refresh()
              void navigate({ search: { source, event, id: next?.id }, replace: true })
            }}
          />
        </Panel>
      )}
      <Confirm open={all} onClose={() => setAll(false)} title={`Try ${plural(items.length, 'event')} again?`} verb="Try again" onConfirm={replayAll}>
        Each is checked against the tracking plan of now, and let in if it passes. Those that do not stay here.
      </Confirm>
    </SetupPage>
  )
}

const Head = ({ item }: { item: QuarantineItem }) => (
  <>
    <h2 className="clip text-card font-semibold">{item.event || 'Unnamed event'}</h2>
    <p className="flex items-center gap-x-2 text-meta text-muted">
      {item.source} · {moment(item.time)} · <CopyId id={item.id} />
    </p>
  </>
)

function Mend({ item, onDone }: { item: QuarantineItem; onDone: (text: string) => Promise<void> }) {
  const may = useMay()
  const original = useMemo(() => item.raw === undefined ? '' : JSON.stringify(item.raw, null, 2), [item.raw])
  const [text, setText] = useState(original)
  const [busy, setBusy] = useState('')
  const [error, setError] = useState<unknown>()
  const parsed = useMemo(() => parse(text), [text])
  const run = async (name: string, work: () => Promise<unknown>, done: string) => {
    setBusy(name)
    setError(undefined)
    try {
      await work()
      await onDone(done)
    } catch (cause) {
      setError(cause)
    } finally {
      setBusy('')
    }
  }
  return (
    <div className="space-y-4">
      <div className="rounded-control bg-warn-soft px-3 py-2">
        <p className="text-warn">
          {item.path && <code className="mr-1.5 font-mono text-meta">{item.path}</code>}
          {item.reason}
        </p>
        {item.hint && <p className="mt-1 text-muted">{item.hint}</p>}
      </div>
      <div>
        <h3 className="mb-1.5 font-medium">The event</h3>
        <div className="overflow-hidden rounded-control border border-line">
          <YamlEditor label="The event as JSON" value={text} onChange={may.edit ? setText : undefined} className="h-[320px]" />
        </div>
        {item.truncated && <p className="mt-1 text-meta text-warn">It was too large to keep whole; what is shown is its beginning.</p>}
        {parsed.error && <p className="mt-1 text-meta text-bad">{parsed.error}</p>}
      </div>
      <Refusal error={error} />
      {may.edit && (
        <div className="flex flex-wrap gap-2">
          <Button
            look="solid"
            busy={busy === 'replay'}
            disabled={parsed.error !== undefined || busy !== ''}
            icon={<RotateCcw size={14} aria-hidden />}
            onClick={() => void run('replay', () => post(`/v1/quarantine/${enc(item.id)}/replay`, text === original ? {} : { raw: parsed.value }), 'The event is in')}
          >
            {text === original ? 'Try again' : 'Let the mended event in'}
          </Button>
          {text !== original && (
            <Button look="ghost" onClick={() => setText(original)}>
              Reset
            </Button>
          )}
          <span className="flex-1" />
          <Button look="ghost" busy={busy === 'delete'} disabled={busy !== ''} icon={<Trash2 size={14} aria-hidden />} onClick={() => void run('delete', () => del(`/v1/quarantine/${enc(item.id)}`), 'The event is dropped')}>
            Drop
          </Button>
        </div>
      )}
    </div>
  )
}

function parse(text: string): { value?: Json; error?: string } {
  try {
    return { value: JSON.parse(text) as Json }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}

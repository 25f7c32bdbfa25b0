import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { CircleCheck, Download, FileUp, Pause, Play } from 'lucide-react'
import { useRef, useState, type DragEvent } from 'react'
import { ApiError, get } from '@/api/client'
import { sourcesQuery } from '@/api/queries'
import type { Fields, Problem, QuarantinePage, Source } from '@/api/types'
import { csv, download } from '@/format/csv'
import { CsvReader, delimiterOf, type CsvRow } from '@/format/csvread'
import { bytes, count, plural } from '@/format/number'
import { useMay } from '@/shell/session'
import { Button, button } from '@/ui/button'
import { cx } from '@/ui/cx'
import { Field, Input, Select } from '@/ui/field'
import { Badge, Bar, Card, Code } from '@/ui/parts'
import { Empty, Refusal } from '@/ui/states'
import { Segmented } from '@/ui/tabs'
import { SetupPage } from '../setup/frame'
import { BadRow, eventOf, guess, trouble, type Mapping, type Role } from './mapping'

const roles: { value: Role; label: string }[] = [
  { value: 'value', label: 'Keep as' },
  { value: 'skip', label: 'Leave out' },
  { value: 'userId', label: 'User id' },
  { value: 'email', label: 'E-mail' },
  { value: 'phone', label: 'Phone' },
  { value: 'anonymousId', label: 'Device' },
  { value: 'timestamp', label: 'When it happened' },
  { value: 'event', label: 'Name of the event' },
  { value: 'id', label: 'Number of its own' },
]

const sampleBytes = 256 * 1024
const sampleRows = 200
const batchRows = 500
const keptFaults = 5000

interface Opened {
  file: File
  delimiter: string
  header: string[]
  rows: CsvRow[]
}

interface Run {
  state: 'running' | 'paused' | 'done' | 'failed'
  read: number
  sent: number
  bad: { line: number; why: string; cells: string[] }[]
  badTotal: number
  error?: unknown
  /** What the tracking plan held back, once all is sent. */
  held?: Held
}

interface Held {
  count: number
  source: string
  /** What is wrong with the newest of them. */
  why?: string
}

/** A file becomes history: open it, say what its columns are, look at what comes of it, send it. */
export function ImportPage() {
  const may = useMay()
  const [opened, setOpened] = useState<Opened>()
  const [mapping, setMapping] = useState<Mapping>()
  const [error, setError] = useState<unknown>()
  const take = async (file: File | undefined) => {
    if (!file) return
    setError(undefined)
    try {
      const found = await open(file)
      setOpened(found)
      setMapping(guess(found.header, file.name))
    } catch (cause) {
      setError(cause)
    }
  }
  return (
    <SetupPage
      title="Import"
      purpose="Bring customers or their past in from a CSV file. History causes no message and no offer."
      actions={
        opened && (
          <Button onClick={() => (setOpened(undefined), setMapping(undefined))} icon={<FileUp size={14} aria-hidden />}>
            Another file
          </Button>
        )
      }
    >
      {!may.edit ? (
        <div className="card">
          <Empty title="Your role does not allow this">Ask a marketer or an admin to import the file.</Empty>
        </div>
      ) : !opened || !mapping ? (
        <>
          <DropZone onFile={(file) => void take(file)} />
          <Refusal error={error} />
        </>
      ) : (
        <Mapped key={opened.file.name} opened={opened} mapping={mapping} onMapping={setMapping} />
      )}
    </SetupPage>
  )
}

/** Reads the beginning of a file: enough to know its columns and show some rows. */
async function open(file: File): Promise<Opened> {
  const head = await file.slice(0, sampleBytes).text()
  if (head.includes('\u0000')) throw new Error(`${file.name} is no text. Save the sheet as CSV (UTF-8) and drop that.`)
  const delimiter = delimiterOf(head)
  const rows = new CsvReader(delimiter).feed(head, file.size <= sampleBytes)
  const header = rows[0]?.cells.map((cell) => cell.trim())
  if (!header || header.length < 1 || rows.length < 2) throw new Error(`${file.name} has no rows. The first line names the columns, each further line is one row.`)
  return { file, delimiter, header, rows: rows.slice(1, 1 + sampleRows) }
}

export function DropZone({ onFile }: { onFile: (file: File | undefined) => void }) {
  const [over, setOver] = useState(false)
  const drop = (event: DragEvent) => {
    event.preventDefault()
    setOver(false)
    onFile(event.dataTransfer.files[0])
  }
  return (
    <label
      onDragOver={(event) => (event.preventDefault(), setOver(true))}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
      className={cx('flex cursor-pointer flex-col items-center rounded-card border-2 border-dashed px-6 py-12 text-center transition-colors focus-within:border-accent', over ? 'border-accent bg-accent-soft' : 'border-line bg-surface hover:border-line-strong')}
    >
      <FileUp size={22} aria-hidden className="mb-3 text-accent" />
      <span className="text-card font-semibold">Drop a CSV file here, or choose one</span>
      <span className="mt-1 max-w-[460px] text-muted">Customers, orders, visits: one row each, the first line names the columns. It is read in this browser; nothing is sent before you have seen what comes of it.</span>
      <input type="file" accept=".csv,.tsv,.txt,text/csv" aria-label="CSV file" className="sr-only" onChange={(event) => onFile(event.target.files?.[0])} />
    </label>
  )
}

function Mapped({ opened, mapping, onMapping }: { opened: Opened; mapping: Mapping; onMapping: (mapping: Mapping) => void }) {
  const sources = (useQuery(sourcesQuery).data ?? []).filter((s) => s.enabled)
  const [sourceId, setSource] = useState<string>()
  const source = sources.find((s) => s.id === sourceId) ?? sources[0]
  const wrong = trouble(mapping)
  const now = new Date()
  const examples: Fields[] = []
  const bad: { line: number; why: string }[] = []
  if (!wrong)
    for (const row of opened.rows) {
      try {
        const event = eventOf(mapping, row.cells, row.line, now)
        if (examples.length < 3) examples.push(event)
      } catch (cause) {
        if (cause instanceof BadRow) bad.push({ line: row.line, why: cause.message })
      }
    }
  const set = (i: number, change: Partial<Mapping['columns'][number]>) => onMapping({ ...mapping, columns: mapping.columns.map((column, j) => (i === j ? { ...column, ...change } : column)) })
  const [run, control] = useRun(opened, mapping, source)
  if (run) return <Progress run={run} control={control} opened={opened} />
  return (
    <div className="grid items-start gap-3 lg:grid-cols-[minmax(0,1fr)_420px]">
      <Card title={opened.file.name} note={`${bytes(opened.file.size)}, ${plural(opened.header.length, 'column')}, apart by ${opened.delimiter === '\t' ? 'tabs' : `“${opened.delimiter}”`}`}>
        <div className="mb-3 flex flex-wrap items-end gap-3">
          <Segmented
            label="What a row is"
            value={mapping.rows}
            onChange={(rows) => onMapping({ ...mapping, rows })}
            options={[
              { value: 'people', label: 'A row is a person' },
              { value: 'events', label: 'A row is something they did' },
            ]}
          />
          {mapping.rows === 'events' && !mapping.columns.some((c) => c.role === 'event') && (
            <Field label="Called">{(id) => <Input id={id} value={mapping.event} onChange={(event) => onMapping({ ...mapping, event: event.target.value })} className="w-[180px]" />}</Field>
          )}
        </div>
        <ul>
          {mapping.columns.map((column, i) => (
            <li key={i} className="flex flex-wrap items-center gap-x-3 gap-y-1.5 border-b border-line py-2 last:border-0">
              <span className="min-w-0 flex-1 basis-[160px]">
                <span className="clip block font-medium">{column.name || `column ${i + 1}`}</span>
                <span className="clip block text-meta text-muted">{opened.rows.slice(0, 3).map((row) => row.cells[i]).filter(Boolean).join(', ')}</span>
              </span>
              <Select aria-label={`What ${column.name} is`} value={column.role} onChange={(event) => set(i, { role: event.target.value as Role })} className="w-[170px]">
                {roles.map((role) => (
                  <option key={role.value} value={role.value}>
                    {role.label}
                  </option>
                ))}
              </Select>
              <Input aria-label={`Name of ${column.name}`} value={column.as} disabled={column.role !== 'value' && column.role !== 'id'} onChange={(event) => set(i, { as: event.target.value })} className="w-[140px]" />
            </li>
          ))}
        </ul>
      </Card>
      <Card title="What comes of it" note={wrong ? undefined : `${plural(opened.rows.length - bad.length, 'row')} of the first ${count(opened.rows.length)} can be read`}>
        {wrong ? (
          <p role="status" className="rounded-control bg-warn-soft px-3 py-2 text-warn">
            {wrong}
          </p>
        ) : (
          <>
            <Code label="First events" text={examples.map((event) => JSON.stringify(event, null, 2)).join('\n')} className="[&_pre]:max-h-[320px]" />
            {bad.length > 0 && (
              <ul className="mt-2 text-meta text-muted">
                {bad.slice(0, 5).map((b) => (
                  <li key={b.line}>
                    Line {b.line} {b.why}
                  </li>
                ))}
              </ul>
            )}
          </>
        )}
        <div className="mt-3 space-y-3">
          {sources.length > 1 && (
            <Field label="Comes from" hint="The source the history is kept under">
              {(id) => (
                <Select id={id} value={source?.id} onChange={(event) => setSource(event.target.value)} className="w-full">
                  {sources.map((s) => (
                    <option key={s.id} value={s.id}>
                      {s.name || s.id}
                    </option>
                  ))}
                </Select>
              )}
            </Field>
          )}
          {source ? (
            <Button look="solid" disabled={wrong !== undefined || examples.length === 0} onClick={control.start} icon={<Play size={14} aria-hidden />}>
              Import {opened.file.size <= sampleBytes ? plural(opened.rows.length, 'row') : 'the file'}
            </Button>
          ) : (
            <p className="text-muted">
              There is no source yet.{' '}
              <Link to="/setup/sources" search={{ add: true }} className="link">
                Add one
              </Link>{' '}
              for the history to come from.
            </p>
          )}
          <p className="text-meta text-muted">Every row has the same id in every run: importing a file twice within a week adds nothing. For large or regular files use <code className="font-mono">rapport import</code>.</p>
        </div>
      </Card>
    </div>
  )
}

interface Control {
  start: () => void
  pause: () => void
}

/** Streams the file to the server, batch after batch; it can be held and goes on where it was. */
function useRun(opened: Opened, mapping: Mapping, source: Pick<Source, 'id' | 'key'> | undefined): [Run | undefined, Control] {
  const client = useQueryClient()
  const [run, setRun] = useState<Run>()
  const paused = useRef(false)
  /** Lines up to here are durable. */
  const durable = useRef(0)

  /** Held back before the first row was sent. */
  const heldBefore = useRef<number>(undefined)

  const go = async () => {
    if (!source) return
    const { key } = source
    heldBefore.current ??= (await quarantined(source.id))?.total ?? 0
    paused.current = false
    const begun: Run = run ? { ...run, state: 'running', error: undefined } : { state: 'running', read: 0, sent: 0, bad: [], badTotal: 0 }
    let { sent, badTotal } = begun
    const bad = [...begun.bad]
    let read = 0
    const show = (state: Run['state'], error?: unknown) => setRun({ state, read, sent, bad: [...bad], badTotal, error })
    show('running')
    const reader = new CsvReader(opened.delimiter)
    const now = new Date()
    let batch: Fields[] = []
    let header = true
    let last = durable.current
    const flush = async () => {
      if (batch.length > 0) await send(key, batch)
      sent += batch.length
      batch = []
      durable.current = last
      show('running')
    }
    try {
      const stream = opened.file.stream().getReader()
      const decoder = new TextDecoder()
      for (;;) {
        const { done, value } = await stream.read()
        for (const row of reader.feed(done ? decoder.decode() : decoder.decode(value, { stream: true }), done)) {
          if (header) {
            header = false
            continue
          }
          if (row.line <= durable.current) continue
          last = row.line
          try {
            batch.push(eventOf(mapping, row.cells, row.line, now))
          } catch (cause) {
            if (!(cause instanceof BadRow)) throw cause
            badTotal++
            if (bad.length < keptFaults) bad.push({ line: row.line, why: cause.message, cells: row.cells })
          }
          if (batch.length >= batchRows) {
            await flush()
            if (paused.current) {
              await stream.cancel()
              return show('paused')
            }
          }
        }
        read += value?.byteLength ?? 0
        if (done) break
      }
      await flush()
      read = opened.file.size
      const held = await quarantined(source.id)
      const { path = '', reason = '' } = held?.items[0] ?? {}
      const count = Math.min(sent, Math.max(0, (held?.total ?? 0) - heldBefore.current))
      setRun({ state: 'done', read, sent, bad: [...bad], badTotal, held: count > 0 ? { count, source: source.id, why: [path, reason].filter(Boolean).join(' ') } : undefined })
      await client.invalidateQueries()
    } catch (cause) {
      show('failed', cause)
    }
  }
  return [run, { start: () => void go(), pause: () => (paused.current = true) }]
}

/** What the tracking plan holds back of a source; unknown to a role that may not see it. */
const quarantined = (source: string) => get<QuarantinePage>('/v1/quarantine', { query: { source, limit: 1 } }).catch(() => undefined)

/** Sends one batch as history, and again while the server is away for a moment. */
async function send(key: string, batch: Fields[]): Promise<void> {
  for (let tries = 0; ; tries++) {
    let problem: Problem
    try {
      const response = await fetch('/v1/import', {
        method: 'POST',
        credentials: 'omit',
        headers: { 'Content-Type': 'application/json', Authorization: `Basic ${btoa(`${key}:`)}` },
        body: JSON.stringify({ sentAt: new Date().toISOString(), batch }),
      })
      if (response.ok) return
      const told = (await response.json().catch(() => ({}))) as Partial<Problem>
      problem = { title: response.statusText, ...told, status: response.status }
      if (response.status < 500 && response.status !== 429) throw new ApiError(problem)
    } catch (cause) {
      if (cause instanceof ApiError) throw cause
      problem = { title: 'The server cannot be reached', status: 0, detail: 'What was sent is kept. Go on when it is back.' }
    }
    if (tries >= 5) throw new ApiError(problem)
    await new Promise((done) => setTimeout(done, 500 * 2 ** tries))
  }
}

function Progress({ run, control, opened }: { run: Run; control: Control; opened: Opened }) {
  const share = run.state === 'done' ? 1 : opened.file.size ? run.read / opened.file.size : 0
  const save = () => download(`${opened.file.name}.rejected.csv`, 'text/csv', csv([...opened.header, 'why'], run.bad.map((b) => [...b.cells, b.why])))
  return (
    <Card
      title={run.state === 'done' ? (run.held && run.held.count >= run.sent ? 'It was held back' : 'It is in') : `Importing ${opened.file.name}`}
      note={run.state === 'done' ? (run.held ? 'Acknowledged and durable; what is held back is lost neither' : 'Acknowledged and durable; people’s pages have it already') : 'You may pause; it goes on where it was'}
      actions={
        run.state === 'running' ? (
          <Button icon={<Pause size={14} aria-hidden />} onClick={control.pause}>
            Pause
          </Button>
        ) : run.state === 'done' ? (
          <Link to="/people" className={button({ look: 'solid' })}>
            See the people
          </Link>
        ) : (
          <Button look="solid" icon={<Play size={14} aria-hidden />} onClick={control.start}>
            Go on
          </Button>
        )
      }
    >
      <div role="status" className="space-y-2">
        <div className="flex items-center justify-between gap-4">
          <span className="flex items-center gap-1.5 font-medium tabular-nums">
            {run.state === 'done' && <CircleCheck size={15} aria-hidden className="text-good" />}
            {plural(run.sent, 'row')} sent
            {run.badTotal > 0 && <Badge look="warn">{plural(run.badTotal, 'row')} left out</Badge>}
          </span>
          <span className="text-muted tabular-nums">{Math.round(share * 100)} %</span>
        </div>
        <Bar share={share} label={`${Math.round(share * 100)} % of the file`} className="h-1.5!" />
      </div>
      {run.held && (
        <p role="alert" className="mt-3 rounded-control bg-warn-soft px-3 py-2 text-warn">
          {plural(run.held.count, 'row does', 'rows do')} not fit the tracking plan{run.held.why && ` (${run.held.why})`} and {run.held.count === 1 ? 'waits' : 'wait'} in the quarantine.{' '}
          <Link to="/setup/quarantine" search={{ source: run.held.source }} className="font-medium underline">
            Mend them or the plan there
          </Link>
          , or import the file again with the columns it asks for.
        </p>
      )}
      <Refusal error={run.error} />
      {run.bad.length > 0 && (
        <div className="mt-4">
          <h3 className="mb-1 flex items-center justify-between gap-3 font-medium">
            Rows left out
            <Button size="small" icon={<Download size={13} aria-hidden />} onClick={save}>
              Save them
            </Button>
          </h3>
          <ul className="text-meta text-muted">
            {run.bad.slice(0, 20).map((b) => (
              <li key={b.line}>
                Line {count(b.line)} {b.why}
              </li>
            ))}
          </ul>
        </div>
      )}
    </Card>
  )
}

import { Link, useNavigate } from '@tanstack/react-router'
import { ArrowUp, Pause, Play } from 'lucide-react'
import { useEffect, useRef, useState } from 'react'
import type { StreamKind, StreamMessage } from '@/api/types'
import { spokenName, tone } from '@/format/event'
import { millis } from '@/format/number'
import { called } from '@/format/person'
import { ago, clock, moment } from '@/format/time'
import { useLive, useLiveSignals, useLiveState } from '@/shell/live'
import { Button } from '@/ui/button'
import { cx } from '@/ui/cx'
import { SearchField } from '@/ui/field'
import { Dot, useNow } from '@/ui/parts'
import { SkeletonRows } from '@/ui/states'
import { TableCard } from '@/ui/table'
import { Segmented } from '@/ui/tabs'
import { isTyping } from '@/ui/typing'
import { add, emptyFeed, release, type Feed, type FeedRow } from './feed'

const flushMillis = 350

/** The feed, fed a few times a second so that a busy stream stays readable. */
function useFeed(held: boolean): [Feed, () => void] {
  const live = useLive()
  const [feed, setFeed] = useState(() => add(emptyFeed, live.recent, false))
  const inbox = useRef<FeedRow[]>([])
  const gaps = useRef(0)
  const holding = useRef(held)
  holding.current = held

  useLiveSignals((signal) => {
    if (signal.type === 'message') inbox.current.push(signal.message)
    else if (signal.type === 'gap') inbox.current.push({ gap: true, id: `gap ${++gaps.current}` })
    if (inbox.current.length > 2000) inbox.current.splice(0, 1000)
  })
  useEffect(() => {
    const timer = setInterval(() => {
      if (inbox.current.length === 0) return
      const rows = inbox.current
      inbox.current = []
      setFeed((before) => add(before, rows, holding.current))
    }, flushMillis)
    return () => clearInterval(timer)
  }, [])
  useEffect(() => {
    if (!held) setFeed(release)
  }, [held])
  return [feed, () => setFeed(release)]
}

const kinds: { value: StreamKind | 'all'; label: string }[] = [
  { value: 'all', label: 'all' },
  { value: 'event', label: 'events' },
  { value: 'decision', label: 'decisions' },
  { value: 'delivery', label: 'deliveries' },
]

/** The live stream: it holds still while the pointer is on it, and says how much waits. */
export function LiveStream({ kind, q }: { kind?: string; q?: string }) {
  const navigate = useNavigate({ from: '/' })
  const [paused, setPaused] = useState(false)
  const [over, setOver] = useState(false)
  const [filled, setFilled] = useState(false)
  const [scrolled, setScrolled] = useState(false)
  const box = useRef<HTMLDivElement>(null)
  // A pointer that rests here before the first row came reads as well.
  const reading = over && filled
  const held = paused || reading || scrolled
  const [feed, letIn] = useFeed(held)
  const some = feed.rows.length > 0
  useEffect(() => setFilled(some), [some])

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key === 'p' && !event.metaKey && !event.ctrlKey && !isTyping(event.target)) setPaused((before) => !before)
    }
    document.addEventListener('keydown', onKey)
    return () => document.removeEventListener('keydown', onKey)
  }, [])

  const needle = (q ?? '').toLowerCase()
  const rows = feed.rows.filter((row) => 'gap' in row || ((!kind || row.kind === kind) && (!needle || `${row.name} ${row.person} ${row.detail} ${row.source}`.toLowerCase().includes(needle))))

  const timed = rows.some((row) => 'millis' in row && row.millis)

  return (
    <TableCard className="relative min-h-[420px] md:min-h-0">
      <div className="flex flex-wrap items-center gap-2 border-b border-line px-3 py-2">
        <h2 className="text-card font-semibold">Live</h2>
        <StreamStatus paused={paused} reading={reading || scrolled} />
        <div className="flex-1" />
        <SearchField label="Filter" value={q ?? ''} onChange={(text) => void navigate({ search: (before) => ({ ...before, q: text || undefined }), replace: true })} className="max-md:hidden md:w-40 xl:w-48" />
        <Segmented label="Kinds" options={kinds} value={(kinds.find((k) => k.value === kind)?.value ?? 'all') as StreamKind | 'all'} onChange={(next) => void navigate({ search: (before) => ({ ...before, kind: next === 'all' ? undefined : next }), replace: true })} />
        <Button onClick={() => setPaused(!paused)} aria-pressed={paused} title="Pause or resume (P)" icon={paused ? <Play size={13} aria-hidden /> : <Pause size={13} aria-hidden />} className="max-md:hidden">
          {paused ? 'Resume' : 'Pause'}
        </Button>
      </div>
      {held && feed.waitingCount > 0 && (
        <button
          type="button"
          onClick={() => {
            letIn()
            box.current?.scrollTo({ top: 0 })
          }}
          className="rise absolute top-[92px] left-1/2 z-20 flex h-7 -translate-x-1/2 items-center gap-1.5 rounded-full bg-solid px-3 text-meta font-medium text-on-solid shadow-float max-md:top-14"
        >
          <ArrowUp size={13} aria-hidden />
          {feed.waitingCount} new
        </button>
      )}
      <div
        ref={box}
        className="min-h-0 flex-1 overflow-auto max-md:max-h-[70vh]"
        onPointerMove={(event) => event.pointerType === 'mouse' && setOver(true)}
        onPointerLeave={() => setOver(false)}
        onScroll={(event) => setScrolled(event.currentTarget.scrollTop > 4)}
        tabIndex={0}
        role="region"
        aria-label="Live stream"
      >
        {feed.rows.length === 0 ? (
          <Quiet />
        ) : (
          <table className="w-full table-fixed border-separate border-spacing-0">
            <thead>
              <tr className="[&>th]:sticky [&>th]:top-0 [&>th]:z-10 [&>th]:h-[34px] [&>th]:border-b [&>th]:border-line [&>th]:bg-surface [&>th]:px-3 [&>th]:text-left [&>th]:text-meta [&>th]:font-medium [&>th]:text-muted">
                <th scope="col" className="w-[84px]">
                  Time
                </th>
                <th scope="col" className="w-[170px] max-md:w-auto">
                  Event
                </th>
                <th scope="col" className="w-[170px] max-md:w-[38%]">
                  Person
                </th>
                <th scope="col" className="max-md:hidden">
                  Detail
                </th>
                <th scope="col" className="w-[108px] max-lg:hidden">
                  Source
                </th>
                {timed && (
                  <th scope="col" className="w-[88px] text-right! max-lg:hidden">
                    Decided in
                  </th>
                )}
              </tr>
            </thead>
            <tbody>{rows.map((row) => ('gap' in row ? <GapRow key={row.id} /> : <Row key={row.id} row={row} timed={timed} />))}</tbody>
          </table>
        )}
        {feed.rows.length > 0 && rows.length === 0 && <p className="px-4 py-10 text-center text-muted">Nothing in the last moments fits the filter.</p>}
      </div>
    </TableCard>
  )
}

function Row({ row, timed }: { row: StreamMessage; timed: boolean }) {
  const link =
    row.decisionId
      ? ({ to: '/decisions/$id', params: { id: row.decisionId } } as const)
      : ({ to: '/people/$ref', params: { ref: row.personId } } as const)
  return (
    <tr className="arrive group relative hover:bg-sunken [&>td]:h-[34px] [&>td]:border-b [&>td]:border-line [&>td]:px-3">
      <td className="text-muted tabular-nums" title={moment(row.time)}>
        {clock(row.time)}
      </td>
      <td className="clip">
        <span className="mr-2">
          <Dot tone={tone(row.name, row.kind)} />
        </span>
        {spokenName(row.name)}
      </td>
      <td className="clip font-medium">
        <Link {...link} preload={false} className="after:absolute after:inset-0">
          {called(row.person, row.personId)}
        </Link>
      </td>
      <td className="clip max-md:hidden">{row.detail}</td>
      <td className="clip text-muted max-lg:hidden">{row.source}</td>
      {timed && <td className="text-right text-muted tabular-nums max-lg:hidden">{row.millis ? millis(row.millis) : ''}</td>}
    </tr>
  )
}

const GapRow = () => (
  <tr>
    <td colSpan={6} className="h-[34px] border-b border-line bg-warn-soft px-3 text-meta text-warn">
      Some moments passed too fast to show. They are in the history of each person.
    </td>
  </tr>
)

function Quiet() {
  const { state } = useLiveState()
  if (state !== 'open') return <SkeletonRows rows={12} />
  return (
    <p className="px-4 py-16 text-center text-muted">
      <span aria-hidden className="breathe mr-2 inline-block size-2 rounded-full bg-live" />
      Listening. The next event appears here the moment it is durable.
    </p>
  )
}

function StreamStatus({ paused, reading }: { paused: boolean; reading: boolean }) {
  const { state, since } = useLiveState()
  useNow(1000) // ticks, so that the seconds below do
  const look = state !== 'open' ? 'warn' : paused ? 'muted' : 'live'
  const text = state === 'connecting' ? 'Connecting' : state === 'reconnecting' ? `Reconnecting, ${ago(since)} ago`.replace('now ago', 'now') : paused ? 'Paused' : reading ? 'Held while you read' : 'Streaming'
  return (
    <span role="status" className="flex items-center gap-1.5 text-muted">
      <span aria-hidden className={cx('size-[7px] rounded-full', look === 'live' ? 'bg-live' : look === 'warn' ? 'breathe bg-order' : 'bg-other')} />
      {text}
    </span>
  )
}

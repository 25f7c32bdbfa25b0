import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { RotateCcw, Scale } from 'lucide-react'
import { useState } from 'react'
import { post } from '@/api/client'
import { actionsQuery, configQuery, placementsQuery } from '@/api/queries'
import type { Board, BoardChange } from '@/api/types'
import { count, decimal, money, percent, plural, signedPercent } from '@/format/number'
import { ActionTabs } from '@/pages/actions/tabs'
import { PublishDialog } from '@/pages/setup/publish'
import { useCurrency } from '@/shell/currency'
import { useMay } from '@/shell/session'
import { Button } from '@/ui/button'
import { cx } from '@/ui/cx'
import { Input, Select } from '@/ui/field'
import { Page } from '@/ui/page'
import { Card, CopyId } from '@/ui/parts'
import { Empty, Loaded, Refusal, Skeleton } from '@/ui/states'
import { Tile, Tiles, TileSkeleton } from '@/ui/tile'
import { changedTexts, numberIn, readLevers, writeLevers } from './levers'

const route = getRouteApi('/board')

const nothing = 'nothing'
const examples = 12

/** Levers on the left, about a thousand recorded moments on the right: who would win, who would lose. */
export function BoardPage() {
  const { placement, try: tried } = route.useSearch()
  const navigate = route.useNavigate()
  const changes = readLevers(tried)
  const text = writeLevers(changes) ?? ''
  const board = useQuery({
    queryKey: ['board', placement, text],
    queryFn: () => post<Board>('/v1/board', { changes: readLevers(text), placement, limit: 1000 }),
    placeholderData: keepPreviousData,
    staleTime: 30_000,
  })
  const placements = useQuery(placementsQuery).data ?? []
  const config = useQuery(configQuery).data
  const may = useMay()
  const [review, setReview] = useState(false)
  const set = (next: BoardChange[]) => void navigate({ search: (before) => ({ ...before, try: writeLevers(next) }), replace: true })
  const publishable = changes.filter((c) => !c.off)
  return (
    <Page
      title="Board"
      purpose="Move a lever and see a thousand past moments decided anew."
      actions={
        <>
          <Select aria-label="Placement" value={placement ?? ''} onChange={(event) => void navigate({ search: (before) => ({ ...before, placement: event.target.value || undefined }), replace: true })}>
            <option value="">All placements</option>
            {placements.map((p) => (
              <option key={p.id}>{p.id}</option>
            ))}
          </Select>
          <Button icon={<RotateCcw size={14} aria-hidden />} disabled={changes.length === 0} onClick={() => set([])}>
            Put back
          </Button>
          {may.edit && (
            <Button look="solid" disabled={publishable.length === 0 || !config} onClick={() => setReview(true)}>
              Review and publish
            </Button>
          )}
        </>
      }
    >
      <ActionTabs />
      <Loaded query={board} skeleton={<TileSkeleton />}>
        {(answer) => <Verdict board={answer} busy={board.isFetching} changed={changes.length > 0} />}
      </Loaded>
      <Refusal error={board.error} />
      <div className="grid items-start gap-3 lg:grid-cols-[minmax(0,1fr)_minmax(0,1fr)]">
        <Levers placement={placement} changes={changes} onChange={set} />
        {board.data ? <Outcome board={board.data} /> : <Skeleton className="h-80 rounded-card!" />}
      </div>
      {config && <PublishDialog open={review} onClose={() => setReview(false)} yaml={changedTexts(publishable, config.documents)} base={config.version} onApplied={() => set([])} />}
    </Page>
  )
}

function Verdict({ board, busy, changed }: { board: Board; busy: boolean; changed: boolean }) {
  const currency = useCurrency()
  const worth = (n: number) => (currency ? money(n, currency) : decimal(n))
  const change = board.expectedWas ? (board.expectedIs - board.expectedWas) / Math.abs(board.expectedWas) : 0
  return (
    <div aria-busy={busy} aria-live="polite">
      <Tiles>
        <Tile label="Moments" value={count(board.moments)} sub="recorded, newest first" explain={<p>Decisions that were made lately, with what was known of the person then. Consent, caps and quiet hours stand as they were recorded.</p>} />
        <Tile label="Decided otherwise" value={changed ? count(board.changed) : '–'} sub={changed && board.moments ? percent(board.changed / board.moments) + ' of them' : 'no lever is moved'} explain={<p>Moments in which another action, or nothing, would come first.</p>} />
        <Tile label="Expected per moment, now" value={worth(board.expectedWas)} sub="by today’s model" explain={<p>The expected value of what comes first, by the model as it is now and without its exploration.</p>} />
        <Tile label="With these levers" value={worth(board.expectedIs)} sub={changed ? `${signedPercent(change)} against now` : 'the same'} explain={<p>The same under the levers. A weight above 1 gives value away on purpose: this says how much.</p>} />
      </Tiles>
    </div>
  )
}

function Levers({ placement, changes, onChange }: { placement?: string; changes: BoardChange[]; onChange: (changes: BoardChange[]) => void }) {
  const query = useQuery(actionsQuery)
  const documents = useQuery(configQuery).data?.documents ?? []
  const set = (action: string, change: Omit<BoardChange, 'action'>) => {
    const before = changes.find((c) => c.action === action)
    const next = { ...before, action, ...change }
    onChange([...changes.filter((c) => c.action !== action), next].filter((c) => c.off || c.weight !== undefined || c.cost !== undefined))
  }
  return (
    <Card title="Levers" note="A weight multiplies the expected value; a cost is taken from it">
      <Loaded query={query}>
        {(all) => {
          const actions = all.filter((a) => !placement || a.placements.includes(placement)).sort((a, b) => a.id.localeCompare(b.id))
          if (actions.length === 0) return <Empty icon={<Scale size={18} />} title="No action fits here" />
          return (
            <ul>
              {actions.map((action) => {
                const change = changes.find((c) => c.action === action.id)
                const yaml = documents.find((d) => d.kind === 'action' && d.id === action.id)?.yaml ?? ''
                const weight = numberIn(yaml, 'weight') ?? 1
                const cost = numberIn(yaml, 'cost') ?? 0
                const moved = change?.weight ?? weight
                return (
                  <li key={action.id} className={cx('flex flex-wrap items-center gap-x-3 gap-y-1.5 border-b border-line py-2 last:border-0', change?.off && 'opacity-60')}>
                    <label className="flex min-w-0 flex-1 basis-[150px] items-center gap-2">
                      <input type="checkbox" className="size-3.5 accent-solid" checked={!change?.off} onChange={(event) => set(action.id, { off: event.target.checked ? undefined : true })} />
                      <span className={cx('clip', change && 'font-medium')}>{action.id}</span>
                    </label>
                    <input
                      type="range"
                      min="0"
                      max={Math.max(3, weight)}
                      step="0.1"
                      value={moved}
                      disabled={change?.off}
                      aria-label={`Weight of ${action.id}`}
                      aria-valuetext={`${decimal(moved)} times`}
                      onChange={(event) => set(action.id, { weight: Number(event.target.value) === weight ? undefined : Number(event.target.value) })}
                      className="w-28 accent-solid"
                    />
                    <span className="w-12 text-right tabular-nums">{decimal(moved)} ×</span>
                    <Input
                      type="number"
                      min="0"
                      step="any"
                      key={`${action.id} ${change?.cost === undefined}`}
                      defaultValue={change?.cost ?? cost}
                      disabled={change?.off}
                      aria-label={`Cost of ${action.id}`}
                      title="What giving it once costs"
                      onChange={(event) => {
                        const n = Number(event.target.value)
                        if (event.target.value !== '' && Number.isFinite(n) && n >= 0) set(action.id, { cost: n === cost ? undefined : n })
                      }}
                      className="w-[84px] text-right tabular-nums"
                    />
                  </li>
                )
              })}
            </ul>
          )
        }}
      </Loaded>
      <p className="mt-2 text-meta text-muted">An unticked action is left out of the trial only; to stop one for good, delete its document or end its dates.</p>
    </Card>
  )
}

function Outcome({ board }: { board: Board }) {
  const names = [...new Set([...Object.keys(board.sharesWas), ...Object.keys(board.sharesIs)])]
  const rows = names
    .map((name) => ({ name, was: board.sharesWas[name] ?? 0, is: board.sharesIs[name] ?? 0 }))
    .sort((a, b) => Math.abs(b.is - b.was) - Math.abs(a.is - a.was) || b.is - a.is)
  const changed = board.rankings.filter((r) => r.was !== r.is)
  return (
    <div className="space-y-3">
      <Card title="Who comes first" note="Share of the moments; the lighter bar is now, the darker with your levers">
        {rows.length === 0 ? (
          <Empty icon={<Scale size={18} />} title="No moment is recorded yet">
            Moments come with decisions. Ask for one on a person’s page, or connect a placement.
          </Empty>
        ) : (
          <ul className="space-y-2.5">
            {rows.map((row) => (
              <li key={row.name}>
                <div className="mb-1 flex justify-between gap-3">
                  <span className="clip">{row.name || nothing}</span>
                  <span className="shrink-0 text-muted tabular-nums">
                    {percent(row.was)}
                    {row.is !== row.was && (
                      <>
                        {' '}
                        → <span className={cx('font-medium', row.is > row.was ? 'text-good' : 'text-bad')}>{percent(row.is)}</span>
                      </>
                    )}
                  </span>
                </div>
                <span role="img" aria-label={`${row.name || nothing}: ${percent(row.was)} now, ${percent(row.is)} with the levers`} className="block space-y-[2px]">
                  <span className="block h-[5px] overflow-hidden rounded-full bg-line">
                    <span className="block h-full rounded-full bg-other" style={{ width: `${row.was * 100}%` }} />
                  </span>
                  <span className="block h-[5px] overflow-hidden rounded-full bg-line">
                    <span className="block h-full rounded-full bg-accent" style={{ width: `${row.is * 100}%` }} />
                  </span>
                </span>
              </li>
            ))}
          </ul>
        )}
      </Card>
      {changed.length > 0 && (
        <Card title="Decided otherwise" note={`${count(Math.min(examples, changed.length))} of ${plural(changed.length, 'moment')}`}>
          <ul>
            {changed.slice(0, examples).map((r) => (
              <li key={r.decisionId} className="flex min-h-9 flex-wrap items-center gap-x-3 border-b border-line py-1 last:border-0">
                <span className="min-w-0 flex-1">
                  {r.was || nothing} → <strong className="font-medium">{r.is || nothing}</strong>
                </span>
                <CopyId id={r.decisionId} className="max-w-[110px]! max-md:hidden" />
                <Link to="/decisions/$id" params={{ id: r.decisionId }} className="link">
                  Why then
                </Link>
              </li>
            ))}
          </ul>
        </Card>
      )}
    </div>
  )
}

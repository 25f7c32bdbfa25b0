import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { Lightbulb, Plus } from 'lucide-react'
import { insightsQuery, segmentsQuery } from '@/api/queries'
import type { Insights } from '@/api/types'
import { said } from '@/format/said'
import { count, percent, signedPercent } from '@/format/number'
import { spokenName } from '@/format/event'
import { useMay } from '@/shell/session'
import { button } from '@/ui/button'
import { IntervalPlot } from '@/ui/charts'
import { Input, Select } from '@/ui/field'
import { Page } from '@/ui/page'
import { Badge, Bar } from '@/ui/parts'
import { Empty, Loaded } from '@/ui/states'
import { useEffect, useState } from 'react'
import { DailyLooks, mark } from './daily'
import { AudienceTabs } from './tabs'

const route = getRouteApi('/insights')

/** What a column of the search is called: the event it counts, or the trait. */
const column = (name: string) => spokenName(/^performed\("(.+)"\)/.exec(name)?.[1] ?? name.replace(/^traits\./, ''))

type Insight = Insights['insights'][number]

const windows = [
  { value: '7d', label: 'in the last 7 days' },
  { value: '30d', label: 'in the last 30 days' },
  { value: '90d', label: 'in the last 90 days' },
  { value: '', label: 'ever' },
]

/** Groups for whom an outcome is more or less frequent, each with its evidence. */
export function InsightsPage() {
  const { event = 'Order Completed', within = '30d' } = route.useSearch()
  const navigate = route.useNavigate()
  const query = useQuery(insightsQuery(event, within === 'ever' ? '' : within))
  const [text, setText] = useState(event)
  useEffect(() => setText(event), [event])
  const ask = () => text.trim() && void navigate({ search: (before) => ({ ...before, event: text.trim() }), replace: true })
  return (
    <Page title="Insights" purpose="What goes with an outcome, found among everybody and checked on people the search had not seen.">
      <AudienceTabs />
      <DailyLooks />
      <form
        className="flex flex-wrap items-center gap-2"
        onSubmit={(e) => {
          e.preventDefault()
          ask()
        }}
      >
        <label htmlFor="outcome" className="font-medium">
          What goes with
        </label>
        <Input id="outcome" value={text} onChange={(e) => setText(e.target.value)} onBlur={ask} className="w-[220px]" spellCheck={false} />
        <Select aria-label="When" value={within} onChange={(e) => void navigate({ search: (before) => ({ ...before, within: e.target.value || 'ever' }), replace: true })}>
          {windows.map((w) => (
            <option key={w.label} value={w.value || 'ever'}>
              {w.label}
            </option>
          ))}
        </Select>
        {query.data && (
          <span className="text-muted">
            {percent(query.data.rate)} of {count(query.data.people)} people did
          </span>
        )}
      </form>
      <Loaded query={query}>
        {(found) =>
          found.insights.length === 0 ? (
            <div className="card">
              <Empty icon={<Lightbulb size={18} />} title="Nothing stands out">
                {found.reason ?? 'No group differs by more than chance would have it.'}
              </Empty>
            </div>
          ) : (
            <ul className="grid items-stretch gap-3 lg:grid-cols-2">
              {found.insights.map((insight) => (
                <li key={insight.when}>
                  <Card insight={insight} event={event} />
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
      {query.data && query.data.leftOut.length > 0 && <p className="text-meta text-muted">Left out, being the outcome in other words: {query.data.leftOut.map(column).join(', ')}.</p>}
      <p className="text-meta text-muted">These go together; which causes which only an experiment tells. Of all that are called discoveries, about one in twenty is none.</p>
    </Page>
  )
}

function Card({ insight, event }: { insight: Insight; event: string }) {
  const may = useMay()
  const names = new Map((useQuery(segmentsQuery).data ?? []).map((s) => [s.id, s.name]))
  const top = Math.max(insight.rate, insight.rest, 0.0001)
  const words = said(insight.when, names)
  const difference = insight.rate - insight.rest
  return (
    <article className="card flex h-full flex-col gap-3 p-4">
      <header className="flex items-start justify-between gap-3">
        <h2 className="text-card font-semibold" title={insight.when}>
          {words}
        </h2>
        <Badge look={insight.discovery ? (difference > 0 ? 'good' : 'warn') : 'plain'} title={insight.discovery ? 'It held among people the search had not seen' : 'It looked promising, and did not hold'}>
          {insight.discovery ? (difference > 0 ? 'more often' : 'less often') : 'did not hold'}
        </Badge>
      </header>
      <ul className="space-y-2">
        {[
          { name: `${count(insight.people)} such people`, share: insight.rate },
          { name: 'everybody else', share: insight.rest },
        ].map((row) => (
          <li key={row.name}>
            <div className="mb-1 flex justify-between gap-3">
              <span className="clip text-muted">{row.name}</span>
              <span className="font-medium tabular-nums">{percent(row.share)}</span>
            </div>
            <Bar share={row.share / top} label={`${row.name}: ${percent(row.share)} did ${event}`} />
          </li>
        ))}
      </ul>
      <div className="grid grid-cols-[minmax(0,1fr)_auto] items-center gap-3">
        <IntervalPlot interval={{ value: difference, low: insight.low, high: insight.high }} span={Math.max(Math.abs(insight.low), Math.abs(insight.high), 0.01)} label={`Difference ${signedPercent(difference)}, 95 % interval ${signedPercent(insight.low)} to ${signedPercent(insight.high)}`} />
        <span className="text-meta text-muted tabular-nums">
          {signedPercent(insight.low)} to {signedPercent(insight.high)}
        </span>
      </div>
      <footer className="mt-auto flex flex-wrap items-center justify-between gap-2">
        <span className="text-meta text-muted">
          {spokenName(event)}, 95 % interval of the difference
        </span>
        {may.edit && (
          <Link to="/audiences/$id" params={{ id: `insight-${mark(insight.when)}` }} search={{ tab: 'definition', when: insight.when }} className={button({ size: 'small' })}>
            <Plus size={13} aria-hidden /> Make an audience
          </Link>
        )}
      </footer>
    </article>
  )
}

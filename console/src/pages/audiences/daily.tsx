import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { Plus } from 'lucide-react'
import { insightStreamQuery, segmentsQuery } from '@/api/queries'
import type { InsightStream } from '@/api/types'
import { said } from '@/format/said'
import { count, percent } from '@/format/number'
import { spokenName } from '@/format/event'
import { useMay } from '@/shell/session'
import { button } from '@/ui/button'
import { Badge } from '@/ui/parts'

/** A short name for a condition, the same each time. */
export const mark = (text: string) => [...text].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) >>> 0, 7).toString(36)

/** What the server found by looking every day, as it was then and is now. */
export function DailyLooks() {
  const stream = useQuery(insightStreamQuery).data
  if (!stream || stream.days.length === 0) return null
  return (
    <section className="card p-4" aria-labelledby="daily">
      <h2 id="daily" className="text-card font-semibold">
        Found by the daily look
      </h2>
      {stream.insights.length > 0 && (
        <ul className="divide-y divide-line mt-2">
          {stream.insights.map((one) => (
            <Found key={one.number} one={one} />
          ))}
        </ul>
      )}
      <p className="mt-2 text-meta text-muted">{stream.told}</p>
    </section>
  )
}

function Found({ one }: { one: InsightStream['insights'][number] }) {
  const may = useMay()
  const names = new Map((useQuery(segmentsQuery).data ?? []).map((s) => [s.id, s.name]))
  const { rate, rest, people } = one.now ?? one
  return (
    <li className="flex flex-wrap items-center justify-between gap-3 py-3">
      <div className="min-w-0 flex-1 basis-72">
        <p className="font-medium" title={one.told}>
          {said(one.when, names)}
        </p>
        <p className="text-meta text-muted">
          {spokenName(one.event)}: {percent(rate)} of {count(people)} such people, {percent(rest)} of the others{one.now && `, by ${one.now.day}`}. Found on {one.found}.
        </p>
      </div>
      {one.now && !one.now.holds ? (
        <Badge look="plain" title="At the latest look the difference may be none">
          no longer clear
        </Badge>
      ) : (
        <Badge look={rate > rest ? 'good' : 'warn'}>{rate > rest ? 'more often' : 'less often'}</Badge>
      )}
      {may.edit && (
        <Link to="/audiences/$id" params={{ id: `insight-${mark(one.when)}` }} search={{ tab: 'definition', when: one.when }} className={button({ size: 'small' })}>
          <Plus size={13} aria-hidden /> Make an audience
        </Link>
      )}
    </li>
  )
}

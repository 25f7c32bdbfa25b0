// What is foreseen of an item: when something runs out or wants service, how
// long it lasts, and what it did that it does not usually do.
import type { Item, Json } from '@/api/types'
import { decimal } from '@/format/number'
import { day, toDate } from '@/format/time'
import { serverNow } from '@/shell/clock'
import { RangePlot } from '@/ui/charts'
import { Ago, Card, Rows } from '@/ui/parts'
import { spokenTrait } from '@/format/person'

interface Foreseen {
  at: string
  low: string
  high: string
  reading?: string
  limit?: number
}

interface Anomaly {
  at: string
  reading: string
  value: number
  expected: number
  alarms: number
}

const titles: Record<string, string> = { service: 'Wants service', runOut: 'Runs out', remainingLife: 'Lasts until' }

const isForeseen = (value: Json | undefined): value is { [key: string]: Json } => typeof value === 'object' && value !== null && !Array.isArray(value) && typeof value.at === 'string' && typeof value.low === 'string' && typeof value.high === 'string'

export function ForecastCard({ item }: { item: Item }) {
  const forecast = item.forecast as Record<string, Json>
  const foreseen = Object.entries(forecast)
    .filter(([, value]) => isForeseen(value))
    .map(([name, value]) => ({ name, ...(value as unknown as Foreseen) }))
  const reasons = Object.entries(forecast).flatMap(([name, value]) => (typeof value === 'object' && value !== null && !Array.isArray(value) && typeof value.reason === 'string' ? [{ name, reason: value.reason }] : []))
  const anomalies = (Array.isArray(forecast.anomalies) ? forecast.anomalies : []) as unknown as Anomaly[]
  const computed = Object.entries(item.computed)
  if (foreseen.length + reasons.length + anomalies.length + computed.length === 0) return null
  const now = serverNow()
  const end = Math.max(now + 86_400_000, ...foreseen.map((f) => toDate(f.high).getTime()))
  return (
    <Card title="What is foreseen">
      <ul className="space-y-3">
        {foreseen.map((f) => (
          <li key={f.name}>
            <div className="flex justify-between gap-3">
              <span className="font-medium">{titles[f.name] ?? spokenTrait(f.name)}</span>
              <span className="tabular-nums" title={`${day(f.low)} to ${day(f.high)}`}>
                {day(f.at)}
              </span>
            </div>
            <RangePlot from={now} to={end} at={toDate(f.at).getTime()} low={toDate(f.low).getTime()} high={toDate(f.high).getTime()} label={`${titles[f.name] ?? f.name} ${day(f.at)}, between ${day(f.low)} and ${day(f.high)}`} />
            <p className="text-meta text-muted">
              between {day(f.low)} and {day(f.high)}
              {f.reading && `, from ${f.reading}${f.limit === undefined ? '' : ` reaching ${decimal(f.limit)}`}`}
            </p>
          </li>
        ))}
        {reasons.map((r) => (
          <li key={r.name} className="text-muted">
            {titles[r.name] ?? spokenTrait(r.name)}: not known, {r.reason}
          </li>
        ))}
      </ul>
      {anomalies.length > 0 && (
        <>
          <h3 className="mt-3 mb-1 font-medium">Out of the ordinary</h3>
          <ul>
            {anomalies.slice(0, 5).map((a) => (
              <li key={`${a.reading} ${a.at}`} className="flex justify-between gap-3 py-1">
                <span>
                  {a.reading} was {decimal(a.value)} <span className="text-muted">where {decimal(a.expected)} is usual</span>
                </span>
                <Ago time={a.at} className="shrink-0 text-meta text-muted" />
              </li>
            ))}
          </ul>
        </>
      )}
      {computed.length > 0 && <Rows className="mt-3" rows={computed.map(([name, value]) => ({ name: spokenTrait(name), value: typeof value === 'number' ? decimal(value) : String(value) }))} />}
    </Card>
  )
}

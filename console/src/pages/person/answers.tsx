// When and through what a person answers, as it was learned.
import { useQuery } from '@tanstack/react-query'
import { sendingQuery } from '@/api/queries'
import type { PersonSending } from '@/api/types'
import { count, decimal, percent, plural } from '@/format/number'
import { moment } from '@/format/time'
import { Bar, Card, Rows } from '@/ui/parts'
import { cx } from '@/ui/cx'

type Hour = PersonSending['hours'][number]

const hourText = (hour: number) => `${String(hour).padStart(2, '0')}:00`

/** The hour a person is believed to answer best at, among those that are not quiet. */
export function bestHour(hours: Hour[]): Hour | undefined {
  return hours.filter((h) => !h.quiet).reduce<Hour | undefined>((best, h) => (best === undefined || h.rate > best.rate ? h : best), undefined)
}

/** In a few words, for the overview; nothing while nothing was learned of this person or their like. */
export function answersBest({ hours, channels }: PersonSending): { at?: string; through?: string } {
  const best = bestHour(hours)
  const told = hours.some((h) => Math.abs(h.rate - (hours[0]?.rate ?? 0)) > 1e-9)
  const open = channels.filter((c) => !c.closed).sort((a, b) => b.rate - a.rate)
  return { at: best && told ? hourText(best.hour) : undefined, through: open[0]?.channel }
}

export function AnswersCard({ person }: { person: string }) {
  const data = useQuery(sendingQuery(person)).data
  if (!data) return null
  const sent = data.hours.reduce((sum, h) => sum + h.sent, 0)
  const best = bestHour(data.hours)
  const top = Math.max(...data.hours.map((h) => h.high), 0.0001)
  return (
    <Card
      title="When they answer"
      note={
        sent >= 1
          ? `From about ${plural(Math.round(sent), 'message')} to them, older ones counting less; hours of ${data.zone}`
          : data.alike
            ? `Nothing was sent to them yet: believed of ${data.alike}, in ${data.zone}`
            : 'Nothing is known yet: the hours are those of everybody'
      }
    >
      <div role="img" aria-label={`Chance of an answer by hour: ${data.hours.map((h) => `${hourText(h.hour)} ${percent(h.rate)}`).join(', ')}`} className="mt-1 flex h-[84px] items-end gap-[2px]">
        {data.hours.map((h) => (
          <span key={h.hour} title={`${hourText(h.hour)}: ${percent(h.rate)}, 80 % interval ${percent(h.low)} to ${percent(h.high)}${h.quiet ? '; quiet hours' : ''}${h.sent >= 0.5 ? `; ${decimal(h.sent)} sent, ${decimal(h.answered)} answered` : ''}`} className="relative flex h-full flex-1 items-end">
            <span className={cx('absolute inset-x-0 rounded-[2px]', h.quiet ? 'bg-line' : 'bg-view opacity-20')} style={{ bottom: `${(h.low / top) * 100}%`, height: `${Math.max(1, ((h.high - h.low) / top) * 100)}%` }} />
            <span className={cx('relative w-full rounded-[2px]', h.quiet ? 'bg-line-strong' : h.hour === best?.hour && h.rate > (data.hours.find((x) => !x.quiet)?.rate ?? 0) ? 'bg-accent' : 'bg-view')} style={{ height: `${Math.max(2, (h.rate / top) * 100)}%` }} />
          </span>
        ))}
      </div>
      <div aria-hidden className="mt-1 flex justify-between text-meta text-muted tabular-nums">
        {[0, 6, 12, 18, 23].map((h) => (
          <span key={h}>{hourText(h)}</span>
        ))}
      </div>
      <p className="mt-1 text-meta text-muted">
        {best && !data.hours.some((h) => Math.abs(h.rate - best.rate) > 1e-9) && <>Every hour is alike so far: {percent(best.rate)} answer. </>}
        {best && data.hours.some((h) => Math.abs(h.rate - best.rate) > 1e-9) && <>Best at {hourText(best.hour)}: {percent(best.rate)} answer, 80 % interval {percent(best.low)} to {percent(best.high)}. </>}
        Pale: the interval{data.hours.some((h) => h.quiet) && '; grey: quiet hours'}.
      </p>
      {data.channels.length > 0 && (
        <>
          <h3 className="mt-3 mb-1 font-medium">Through</h3>
          <ul className="space-y-2">
            {[...data.channels]
              .sort((a, b) => b.rate - a.rate)
              .map((c) => (
                <li key={c.channel} title={`80 % interval ${percent(c.low)} to ${percent(c.high)}`}>
                  <div className="mb-1 flex justify-between gap-3">
                    <span className="clip">
                      {c.channel} {c.closed && <span className="text-muted">· {c.closed}</span>}
                    </span>
                    <span className="shrink-0 text-muted tabular-nums">
                      {percent(c.rate)}
                      {c.sent >= 0.5 && ` · ${count(c.sent)} sent`}
                    </span>
                  </div>
                  <Bar share={c.closed ? 0 : c.rate} label={`${c.channel}: ${percent(c.rate)}`} />
                </li>
              ))}
          </ul>
        </>
      )}
      {data.waiting.length > 0 && (
        <>
          <h3 className="mt-3 mb-1 font-medium">Waits for its hour</h3>
          <Rows rows={data.waiting.map((w) => ({ name: w.trigger, value: moment(w.at).slice(0, 16), note: w.reason }))} />
        </>
      )}
    </Card>
  )
}

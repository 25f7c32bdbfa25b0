// Small charts drawn by hand: a few points need no library.
import type { Interval } from '@/api/types'
import { cx } from './cx'

/** The shape of the last hour; the numbers stand beside it. */
export function Spark({ values, label, className }: { values: number[]; label: string; className?: string }) {
  if (values.length < 2) return null
  const width = 120
  const height = 36
  const top = Math.max(...values, 1)
  const x = (i: number) => (i / (values.length - 1)) * width
  const y = (v: number) => height - 2 - (v / top) * (height - 4)
  const line = values.map((v, i) => `${i === 0 ? 'M' : 'L'}${x(i).toFixed(1)} ${y(v).toFixed(1)}`).join('')
  return (
    <svg role="img" aria-label={label} viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" className={cx('block h-9 w-full text-view', className)}>
      <path d={`${line}L${width} ${height}L0 ${height}Z`} className="fill-current opacity-12" />
      <path d={line} fill="none" vectorEffect="non-scaling-stroke" className="stroke-current" strokeWidth="1.5" strokeLinejoin="round" />
    </svg>
  )
}

/** An estimate as a dot, its 95 % interval as a line, zero as a tick. `span` is the half width of the axis. */
export function IntervalPlot({ interval, span, label, className }: { interval: Interval; span: number; label: string; className?: string }) {
  const at = (v: number) => `${50 + (Math.max(-span, Math.min(span, v)) / span) * 50}%`
  const sure = interval.low > 0 ? 'bg-cart' : interval.high < 0 ? 'bg-order' : 'bg-other'
  return (
    <span
      role="img"
      aria-label={label}
      className={cx('relative block h-4', className)}
    >
      <span className="absolute inset-y-0 left-1/2 w-px bg-line-strong" />
      <span className={cx('absolute top-[7px] h-[2px] rounded-full', sure)} style={{ left: at(interval.low), right: `calc(100% - ${at(interval.high)})` }} />
      <span className={cx('absolute top-1 size-2 -translate-x-1/2 rounded-full', sure)} style={{ left: at(interval.value) }} />
    </span>
  )
}

/** A signed contribution: right of the middle adds, left takes away. */
export function SignedBar({ value, span }: { value: number; span: number }) {
  const width = `${Math.min(1, Math.abs(value) / (span || 1)) * 50}%`
  return (
    <span aria-hidden className="relative block h-2 w-full">
      <span className="absolute inset-y-0 left-1/2 w-px bg-line-strong" />
      <span className={cx('absolute inset-y-0 rounded-[2px]', value < 0 ? 'right-1/2 bg-order' : 'left-1/2 bg-cart')} style={{ width }} />
    </span>
  )
}

export interface TrendPoint {
  at: number
  value: number
  low?: number
  high?: number
}

/** One figure over time: a line, a band where there is a range, its ends written out. */
export function Trend({ points, label, write, writeTime, className }: { points: TrendPoint[]; label: string; write: (n: number) => string; writeTime: (at: number) => string; className?: string }) {
  const first = points[0]
  const last = points[points.length - 1]
  if (!first || !last || points.length < 2) return <p className="py-6 text-center text-muted">{first ? `${write(first.value)} at ${writeTime(first.at)}; a line begins with the second moment.` : 'Nothing is recorded yet.'}</p>
  const width = 600
  const height = 150
  const lows = Math.min(...points.map((p) => p.low ?? p.value))
  const highs = Math.max(...points.map((p) => p.high ?? p.value))
  const room = (highs - lows || Math.abs(highs) || 1) * 0.12
  const [bottom, top] = [lows >= 0 && lows < highs / 3 ? 0 : lows - room, highs + room]
  const x = (p: TrendPoint) => ((p.at - first.at) / (last.at - first.at || 1)) * width
  const y = (v: number) => height - ((v - bottom) / (top - bottom)) * height
  const path = (value: (p: TrendPoint) => number, list = points) => list.map((p, i) => `${i === 0 ? 'M' : 'L'}${x(p).toFixed(1)} ${y(value(p)).toFixed(1)}`).join('')
  const banded = points.some((p) => p.low !== undefined && p.high !== undefined && p.high > p.low)
  return (
    <figure className={className}>
      <div className="flex gap-3">
        <div aria-hidden className="flex shrink-0 flex-col justify-between text-right text-meta text-muted tabular-nums">
          <span>{write(top - room)}</span>
          <span>{write(bottom < 0 || bottom > 0 ? bottom + room : 0)}</span>
        </div>
        <svg role="img" aria-label={`${label}: ${write(first.value)} at ${writeTime(first.at)}, ${write(last.value)} at ${writeTime(last.at)}`} viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" className="block h-[150px] min-w-0 flex-1 text-view">
          {[0.25, 0.5, 0.75, 1].map((share) => (
            <line key={share} x1="0" x2={width} y1={height * share} y2={height * share} vectorEffect="non-scaling-stroke" className="stroke-line" />
          ))}
          {banded && <path d={`${path((p) => p.high ?? p.value)}${path((p) => p.low ?? p.value, [...points].reverse()).replace('M', 'L')}Z`} className="fill-current opacity-12" />}
          <path d={path((p) => p.value)} fill="none" vectorEffect="non-scaling-stroke" className="stroke-current" strokeWidth="1.75" strokeLinejoin="round" />
        </svg>
        <span aria-hidden className="shrink-0 self-start font-medium tabular-nums">{write(last.value)}</span>
      </div>
      <figcaption className="mt-1 flex justify-between text-meta text-muted tabular-nums">
        <span>{writeTime(first.at)}</span>
        <span>{writeTime(last.at)}</span>
      </figcaption>
    </figure>
  )
}

/** A moment that is foreseen: a dot, and a line from where it may be early to where it may be late. */
export function RangePlot({ from, to, at, low, high, label }: { from: number; to: number; at: number; low: number; high: number; label: string }) {
  const x = (v: number) => `${(Math.max(from, Math.min(to, v)) - from) / (to - from || 1) * 100}%`
  return (
    <span role="img" aria-label={label} title={label} className="relative block h-4 border-l border-line-strong">
      <span className="absolute inset-x-0 top-[7.5px] h-px bg-line" />
      <span className="absolute top-[7px] h-[2px] rounded-full bg-view" style={{ left: x(low), right: `calc(100% - ${x(high)})` }} />
      <span className="absolute top-1 size-2 -translate-x-1/2 rounded-full bg-view" style={{ left: x(at) }} />
    </span>
  )
}

/** Parts of a whole in one bar, each named below it. */
export function Shares({ parts, label, write }: { parts: { name: string; value: number; ink: string }[]; label: string; write: (n: number) => string }) {
  const whole = parts.reduce((total, part) => total + part.value, 0)
  return (
    <div role="img" aria-label={`${label}: ${parts.map((part) => `${write(part.value)} ${part.name}`).join(', ')}`}>
      <span className="flex h-2 gap-px overflow-hidden rounded-full bg-line">
        {parts.map((part) => part.value > 0 && <span key={part.name} className={part.ink} style={{ width: `${(part.value / (whole || 1)) * 100}%` }} />)}
      </span>
      <span className="mt-1 flex flex-wrap gap-x-3 text-meta text-muted tabular-nums">
        {parts.map((part) => (
          <span key={part.name} className="inline-flex items-center gap-1">
            <span className={cx('size-2 rounded-full', part.ink)} />
            {part.name} {write(part.value)}
          </span>
        ))}
      </span>
    </div>
  )
}

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

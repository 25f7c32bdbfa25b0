// The small parts every page is set from.
import { Check, Copy } from 'lucide-react'
import { useEffect, useState, type ReactNode } from 'react'
import type { Time } from '@/api/types'
import type { Tone } from '@/format/event'
import { initials } from '@/format/person'
import { ago, moment, toDate } from '@/format/time'
import { serverNow } from '@/shell/clock'
import { button } from './button'
import { cx } from './cx'

const badgeLooks = {
  plain: 'border-line text-muted',
  accent: 'border-transparent bg-accent-soft text-accent',
  good: 'border-transparent bg-good-soft text-good',
  warn: 'border-transparent bg-warn-soft text-warn',
  bad: 'border-transparent bg-bad-soft text-bad',
}

export function Badge({ look = 'plain', children, className, title }: { look?: keyof typeof badgeLooks; children: ReactNode; className?: string; title?: string }) {
  return (
    <span title={title} className={cx('inline-flex h-5 shrink-0 items-center gap-1 rounded-full border px-2 text-meta font-medium whitespace-nowrap', badgeLooks[look], className)}>
      {children}
    </span>
  )
}

const dots: Record<Tone, string> = {
  view: 'bg-view',
  cart: 'bg-cart',
  order: 'bg-order',
  product: 'bg-product',
  decision: 'bg-decision',
  delivery: 'bg-delivery',
  person: 'bg-person',
  answer: 'bg-answer',
  other: 'bg-other',
}

export const Dot = ({ tone }: { tone: Tone }) => <span aria-hidden className={cx('inline-block size-[7px] shrink-0 rounded-full', dots[tone])} />

export function Avatar({ name, size = 'small' }: { name: string; size?: 'small' | 'large' }) {
  const letters = initials(name)
  return (
    <span
      aria-hidden
      className={cx(
        'inline-flex shrink-0 items-center justify-center rounded-full bg-accent-soft font-semibold text-accent',
        size === 'large' ? 'size-11 text-[15px]' : 'size-[22px] text-[10px]',
      )}
    >
      {letters || <span className={cx('rounded-full border-2 border-accent opacity-60', size === 'large' ? 'size-4' : 'size-2')} />}
    </span>
  )
}

/** The time, ticking by itself, with the exact moment on hover. */
export function Ago({ time, suffix, className }: { time: Time | null | undefined; suffix?: string; className?: string }) {
  const now = useNow(time != null && serverNow() - toDate(time).getTime() < 3_600_000 ? 1000 : 60_000)
  if (time == null) return <span className={className}>–</span>
  const text = ago(time, now)
  return (
    <time dateTime={toDate(time).toISOString()} title={moment(time)} className={className}>
      {text}
      {suffix && text !== 'now' ? ` ${suffix}` : ''}
    </time>
  )
}

export function useNow(everyMillis: number): number {
  const [now, setNow] = useState(serverNow)
  useEffect(() => {
    const timer = setInterval(() => setNow(serverNow()), everyMillis)
    return () => clearInterval(timer)
  }, [everyMillis])
  return now
}

export function useCopy(): [boolean, (text: string) => void] {
  const [copied, setCopied] = useState(false)
  useEffect(() => {
    if (!copied) return
    const timer = setTimeout(() => setCopied(false), 1500)
    return () => clearTimeout(timer)
  }, [copied])
  return [copied, (text) => void copyText(text).then(() => setCopied(true))]
}

async function copyText(text: string): Promise<void> {
  // The clipboard API exists only on secure origins; a console on a plain
  // http address inside a company still deserves its copy buttons.
  if (navigator.clipboard) return navigator.clipboard.writeText(text)
  const area = document.createElement('textarea')
  area.value = text
  area.className = 'fixed opacity-0'
  document.body.append(area)
  area.select()
  document.execCommand('copy')
  area.remove()
}

/** An id in mono; a click copies it. At the end of a line its icon stands before it. */
export function CopyId({ id, end, className }: { id: string; end?: boolean; className?: string }) {
  const [copied, copy] = useCopy()
  return (
    <button
      type="button"
      onClick={() => copy(id)}
      title={`Copy ${id}`}
      className={cx('group inline-flex max-w-full items-center gap-1 rounded-sm font-mono text-meta text-muted hover:text-text', end && 'flex-row-reverse', className)}
    >
      <span className="clip">{id}</span>
      {copied ? <Check size={12} className="shrink-0 text-good" aria-label="Copied" /> : <Copy size={12} aria-hidden className="shrink-0 opacity-0 transition-opacity group-hover:opacity-100 group-focus-visible:opacity-100" />}
    </button>
  )
}

export function CopyButton({ text, label = 'Copy', className }: { text: string; label?: string; className?: string }) {
  const [copied, copy] = useCopy()
  return (
    <button type="button" onClick={() => copy(text)} className={cx(button({ look: 'outline', size: 'small' }), className)}>
      {copied ? <Check size={13} className="text-good" aria-hidden /> : <Copy size={13} aria-hidden />}
      <span aria-live="polite">{copied ? 'Copied' : label}</span>
    </button>
  )
}

export function Code({ text, label, className }: { text: string; label: string; className?: string }) {
  return (
    <div className={cx('flex items-start rounded-control border border-line bg-sunken', className)}>
      <pre tabIndex={0} role="group" aria-label={label} className="max-h-[420px] min-w-0 flex-1 overflow-auto p-3 font-mono text-meta leading-[18px]">
        {text}
      </pre>
      <CopyButton text={text} className="m-2" />
    </div>
  )
}

export function Card({ title, note, actions, children, className }: { title?: ReactNode; note?: ReactNode; actions?: ReactNode; children: ReactNode; className?: string }) {
  return (
    <section className={cx('card p-4', className)}>
      {title && (
        <header className="mb-2 flex items-start justify-between gap-3">
          <div className="min-w-0">
            <h2 className="text-card font-semibold">{title}</h2>
            {note && <p className="text-meta text-muted">{note}</p>}
          </div>
          {actions}
        </header>
      )}
      {children}
    </section>
  )
}

export function Rows({ rows, className }: { rows: { name: ReactNode; value: ReactNode; note?: string }[]; className?: string }) {
  return (
    <dl className={className}>
      {rows.map((row, i) => (
        <div key={i} title={row.note} className="flex items-baseline justify-between gap-4 py-[3.5px]">
          <dt className="min-w-0 shrink-0 text-muted">{row.name}</dt>
          <dd className="clip min-w-0 text-right font-medium tabular-nums">{row.value}</dd>
        </div>
      ))}
    </dl>
  )
}

export function Bar({ share, label, className }: { share: number; label?: string; className?: string }) {
  const width = `${Math.max(0, Math.min(1, share)) * 100}%`
  return (
    <span role="img" aria-label={label ?? `${Math.round(share * 100)} %`} className={cx('block h-[5px] overflow-hidden rounded-full bg-line', className)}>
      <span className="block h-full rounded-full bg-accent" style={{ width }} />
    </span>
  )
}

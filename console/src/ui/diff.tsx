import type { DiffLine } from '@/format/diff'
import { cx } from './cx'

const looks = { '+': 'bg-good-soft text-good', '-': 'bg-bad-soft text-bad', ' ': 'text-muted' }
const spoken = { '+': 'added: ', '-': 'removed: ', ' ': '' }

/** A change of text, line by line. */
export function Diff({ lines, label, className }: { lines: DiffLine[]; label: string; className?: string }) {
  return (
    <div tabIndex={0} role="group" aria-label={label} className={cx('overflow-auto rounded-control border border-line py-1.5 font-mono text-meta leading-[19px]', className)}>
      {lines.length === 0 && <p className="px-3 text-muted">No difference.</p>}
      {lines.map((line, i) => (
        <div key={i} className={cx('flex px-3 whitespace-pre', looks[line.kind])}>
          <span aria-hidden className="w-4 shrink-0 select-none">
            {line.kind.trim()}
          </span>
          {spoken[line.kind] && <span className="sr-only">{spoken[line.kind]}</span>}
          {line.text || ' '}
        </div>
      ))}
    </div>
  )
}

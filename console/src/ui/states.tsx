// Empty, loading, error and no-permission states.
import type { UseQueryResult } from '@tanstack/react-query'
import { CircleAlert, Lock, PlugZap, SearchX } from 'lucide-react'
import type { ReactNode } from 'react'
import { ApiError } from '@/api/client'
import { Button } from './button'
import { cx } from './cx'
import { CopyId } from './parts'

export function Empty({ icon, title, children, action, className }: { icon?: ReactNode; title: string; children?: ReactNode; action?: ReactNode; className?: string }) {
  return (
    <div className={cx('flex flex-col items-center justify-center px-6 py-12 text-center', className)}>
      <span aria-hidden className="mb-3 flex size-10 items-center justify-center rounded-full bg-accent-soft text-accent">
        {icon ?? <SearchX size={18} />}
      </span>
      <h2 className="text-card font-semibold">{title}</h2>
      {children && <div className="mt-1 max-w-[420px] text-muted">{children}</div>}
      {action && <div className="mt-4 flex gap-2">{action}</div>}
    </div>
  )
}

/** Says what went wrong, why, and what to do, with the id to ask about. */
export function Failure({ error, retry, className }: { error: unknown; retry?: () => void; className?: string }) {
  const problem = error instanceof ApiError ? error.problem : undefined
  const status = problem?.status
  const icon = status === 403 ? <Lock size={18} /> : status === 0 ? <PlugZap size={18} /> : <CircleAlert size={18} />
  const title = status === 403 ? 'Your role does not allow this' : (problem?.title ?? 'Something on this page broke')
  return (
    <div role="alert" className={cx('flex flex-col items-center justify-center px-6 py-12 text-center', className)}>
      <span aria-hidden className="mb-3 flex size-10 items-center justify-center rounded-full bg-bad-soft text-bad">
        {icon}
      </span>
      <h2 className="text-card font-semibold">{title}</h2>
      <p className="mt-1 max-w-[460px] text-muted">{problem?.detail ?? (error instanceof Error && !problem ? error.message : '')}</p>
      {problem?.errors?.map((item, i) => (
        <p key={i} className="max-w-[460px] text-muted">
          {item.location ? <span className="font-mono text-meta">{item.location}: </span> : null}
          {item.message}
        </p>
      ))}
      {problem?.hint && <p className="max-w-[460px] text-muted">{sentence(problem.hint)}</p>}
      {problem?.requestId && (
        <p className="mt-2 flex items-center gap-1.5 text-meta text-muted">
          Request <CopyId id={problem.requestId} />
        </p>
      )}
      {retry && status !== 403 && (
        <Button className="mt-4" onClick={retry}>
          Try again
        </Button>
      )}
    </div>
  )
}

/** One line of a failed action, beside the button that failed. */
export function Refusal({ error }: { error: unknown }) {
  if (!error) return null
  const problem = error instanceof ApiError ? error.problem : undefined
  return (
    <p role="alert" className="rounded-control bg-bad-soft px-3 py-2 text-bad">
      {problem?.detail || problem?.title || (error instanceof Error ? error.message : String(error))}
      {problem?.errors?.map((item, i) => (
        <span key={i} className="block">
          {item.location ? `${item.location}: ` : ''}
          {item.message}
        </span>
      ))}
      {problem?.hint && <span className="block">{sentence(problem.hint)}</span>}
      {problem?.requestId && <span className="mt-1 block font-mono text-meta">{problem.requestId}</span>}
    </p>
  )
}

const sentence = (text: string) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.')

export function Skeleton({ className }: { className?: string }) {
  return <span aria-hidden className={cx('late block rounded-control bg-sunken', className)} />
}

export function SkeletonRows({ rows = 8, silent }: { rows?: number; silent?: boolean }) {
  return (
    <div {...(silent ? {} : { role: 'status', 'aria-label': 'Loading' })} className="late">
      {Array.from({ length: rows }, (_, i) => (
        <div key={i} className="flex h-[34px] items-center gap-6 border-b border-line px-3 last:border-0">
          <Skeleton className="h-2.5 w-16" />
          <Skeleton className="h-2.5 w-40" />
          <Skeleton className="h-2.5 flex-1" />
          <Skeleton className="h-2.5 w-12" />
        </div>
      ))}
    </div>
  )
}

/** Shows a query's data, or its state: old data stays while new data loads. */
export function Loaded<T>({ query, skeleton, children }: { query: Pick<UseQueryResult<T>, 'data' | 'error' | 'isPending' | 'refetch'>; skeleton?: ReactNode; children: (data: T) => ReactNode }) {
  if (query.data !== undefined) return <>{children(query.data)}</>
  if (query.error) return <Failure error={query.error} retry={() => void query.refetch()} />
  return <>{skeleton ?? <SkeletonRows />}</>
}

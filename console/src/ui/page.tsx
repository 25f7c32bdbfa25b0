import { useEffect, type ReactNode } from 'react'
import { cx } from './cx'

/** A page: a title, one line of purpose or status, actions to the right. */
export function Page({ title, heading, status, purpose, actions, children, fill }: {
  title: string
  /** What stands in place of the title when a page has more than a name. */
  heading?: ReactNode
  status?: ReactNode
  /** What the page is for, in a line; a narrow window does without. */
  purpose?: string
  actions?: ReactNode
  children: ReactNode
  /** The content takes the height of the window and scrolls inside itself. */
  fill?: boolean
}) {
  useEffect(() => {
    document.title = `${title} · Rapport`
  }, [title])
  return (
    <div className={cx('flex min-h-full flex-col gap-4 px-4 pt-4 pb-6 md:px-5', fill && 'md:h-full md:min-h-0')}>
      <header className="flex min-h-[38px] flex-wrap items-center justify-between gap-x-4 gap-y-2">
        {heading ?? (
          <div className="flex min-w-0 flex-wrap items-center gap-x-3">
            <h1 className="text-page font-semibold">{title}</h1>
            {status && <div className="text-muted">{status}</div>}
            {purpose && <p className="text-muted max-md:hidden">{purpose}</p>}
          </div>
        )}
        {actions && <div className="flex flex-wrap items-center gap-2">{actions}</div>}
      </header>
      {children}
    </div>
  )
}

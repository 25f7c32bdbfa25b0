import { useLocation } from '@tanstack/react-router'
import { CircleHelp } from 'lucide-react'
import { lazy, Suspense, useEffect, type ReactNode } from 'react'
import { cx } from './cx'
import { Pop } from './explain'

const HelpText = lazy(() => import('@/shell/help'))

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
        <div className="flex min-w-0 items-center gap-2">
          {heading ?? (
            <div className="flex min-w-0 flex-wrap items-center gap-x-3">
              <h1 className="text-page font-semibold">{title}</h1>
              {status && <div className="text-muted">{status}</div>}
              {purpose && <p className="text-muted max-md:hidden">{purpose}</p>}
            </div>
          )}
          <WhatIsThis />
        </div>
        {actions && <div className="flex flex-wrap items-center gap-2">{actions}</div>}
      </header>
      {children}
    </div>
  )
}

/** What the page is for, and the way into the documentation. */
function WhatIsThis() {
  const path = useLocation({ select: (location) => location.pathname })
  if (path.startsWith('/docs')) return null
  return (
    <Pop
      title="What is this?"
      trigger={
        <button type="button" aria-label="What is this page?" title="What is this?" className="flex size-7 shrink-0 items-center justify-center rounded-control text-muted transition-colors hover:bg-sunken hover:text-text">
          <CircleHelp size={15} aria-hidden />
        </button>
      }
    >
      <Suspense>
        <HelpText path={path} />
      </Suspense>
    </Pop>
  )
}

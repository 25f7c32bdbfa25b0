import { Link, type LinkProps } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import { cx } from './cx'

export interface Tab {
  label: ReactNode
  link: LinkProps
  /** The tab lives in the query rather than the path. */
  bySearch?: boolean
  /** Other tabs lie beneath its path. */
  exact?: boolean
  count?: number
}

/** Tabs are links: each has an address, and Back works. */
export function Tabs({ tabs, label }: { tabs: Tab[]; label: string }) {
  return (
    <nav aria-label={label} className="-mx-4 overflow-x-auto border-b border-line px-4 [scrollbar-width:none] md:-mx-5 md:px-5">
      <ul className="flex gap-5">
        {tabs.map((tab, i) => (
          <li key={i}>
            <Link
              {...tab.link}
              activeOptions={{ exact: tab.bySearch || tab.exact, includeSearch: tab.bySearch }}
              className="-mb-px flex h-9 items-center gap-1.5 border-b-2 border-transparent font-medium whitespace-nowrap text-muted transition-colors hover:text-text aria-[current=page]:border-accent aria-[current=page]:text-text"
            >
              {tab.label}
              {tab.count ? <span className="rounded-full bg-sunken px-1.5 text-meta tabular-nums">{tab.count}</span> : null}
            </Link>
          </li>
        ))}
      </ul>
    </nav>
  )
}

/** A choice of one among few, shown side by side. */
export function Segmented<T extends string>({ options, value, onChange, label }: { options: { value: T; label: string }[]; value: T; onChange: (value: T) => void; label: string }) {
  return (
    <div role="group" aria-label={label} className="flex h-[30px] items-center gap-0.5 rounded-control border border-line bg-surface p-[2px] pointer-coarse:h-[38px]">
      {options.map((option) => (
        <button
          key={option.value}
          type="button"
          aria-pressed={option.value === value}
          onClick={() => onChange(option.value)}
          className={cx('h-full rounded-sm px-2.5 transition-colors', option.value === value ? 'bg-sunken font-medium text-text' : 'text-muted hover:text-text')}
        >
          {option.label}
        </button>
      ))}
    </div>
  )
}

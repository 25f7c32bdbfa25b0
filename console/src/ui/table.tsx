import { useVirtualizer } from '@tanstack/react-virtual'
import { Link, type LinkProps } from '@tanstack/react-router'
import { useEffect, useLayoutEffect, useRef, useSyncExternalStore, type ReactNode, type RefObject } from 'react'
import { cx } from './cx'
import { SkeletonRows } from './states'
import { isTyping } from './typing'

export interface Column<T> {
  id: string
  head: ReactNode
  cell: (row: T) => ReactNode
  /** Numbers stand to the right. */
  right?: boolean
  /** Leaves narrow windows: below this width the column is not shown. */
  from?: 'md' | 'lg'
  /** A width class, for columns whose content should not set it. */
  width?: string
}

interface TableProps<T> {
  label: string
  columns: Column<T>[]
  rows: T[]
  rowKey: (row: T) => string
  /** Where a row leads. The whole row is the link. */
  link?: (row: T) => LinkProps
  selected?: string
  /** Called when the end comes near, to load more. */
  onEnd?: () => void
  more?: boolean
  empty?: ReactNode
  /** In a narrow window a row has two lines. */
  twoLines?: boolean
}

const rowHeight = 34
const tallRowHeight = 48
const virtualFrom = 200

/** The table of the console: sticky head, hairlines, whole-row links, J/K and Enter, virtual when long. */
export function Table<T>({ label, columns, rows, rowKey, link, selected, onEnd, more, empty, twoLines }: TableProps<T>) {
  const scroll = useRef<HTMLDivElement>(null)
  const size = useNarrow() && twoLines ? tallRowHeight : rowHeight
  const virtual = rows.length > virtualFrom
  const virtualizer = useVirtualizer({ count: virtual ? rows.length : 0, getScrollElement: () => scroll.current, estimateSize: () => size, overscan: 12 })
  useRowKeys(scroll, rows.length, (i) => virtual && virtualizer.scrollToIndex(i), Boolean(link))

  const window = virtual ? virtualizer.getVirtualItems() : undefined
  const first = window?.[0]?.index ?? 0
  const last = window ? (window[window.length - 1]?.index ?? -1) : rows.length - 1
  const above = first * size
  const below = virtual ? (rows.length - 1 - last) * size : 0

  useEffect(() => {
    if (more && onEnd && virtual && last >= rows.length - 20) onEnd()
  }, [more, onEnd, virtual, last, rows.length])

  if (rows.length === 0 && empty) return <>{empty}</>
  return (
    <div
      ref={scroll}
      className="min-h-0 flex-1 overflow-auto"
      tabIndex={-1}
      onScroll={(event) => {
        const box = event.currentTarget
        if (more && onEnd && box.scrollTop + box.clientHeight > box.scrollHeight - 600) onEnd()
      }}
    >
      <table aria-label={label} aria-rowcount={rows.length} className="w-full table-fixed border-separate border-spacing-0">
        <thead>
          <tr>
            {columns.map((column) => (
              <th
                key={column.id}
                scope="col"
                className={cx('sticky top-0 z-10 h-[34px] border-b border-line bg-surface px-3 text-meta font-medium whitespace-nowrap text-muted', column.right ? 'text-right' : 'text-left', hide(column.from), column.width)}
              >
                {column.head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {above > 0 && <Spacer height={above} />}
          {rows.slice(first, last + 1).map((row, offset) => {
            const index = first + offset
            const key = rowKey(row)
            return (
              <tr key={key} data-row={index} aria-current={key === selected ? 'true' : undefined} className={cx('group relative transition-colors', link && 'hover:bg-sunken', key === selected && 'bg-accent-soft')}>
                {columns.map((column, i) => (
                  <td
                    key={column.id}
                    style={{ height: size }}
                    className={cx('clip border-b border-line px-3 group-last:border-b-0', column.right && 'text-right tabular-nums', hide(column.from), column.width)}
                  >
                    {i === 0 && link ? (
                      <Link {...link(row)} className="after:absolute after:inset-0 focus-visible:outline-none focus-visible:after:outline-2 focus-visible:after:-outline-offset-2 focus-visible:after:outline-accent">
                        {column.cell(row)}
                      </Link>
                    ) : (
                      column.cell(row)
                    )}
                  </td>
                ))}
              </tr>
            )
          })}
          {below > 0 && <Spacer height={below} />}
        </tbody>
      </table>
      {more && (
        <div aria-hidden>
          <SkeletonRows rows={2} silent />
        </div>
      )}
    </div>
  )
}

const hide = (from: 'md' | 'lg' | undefined) => (from === 'md' ? 'max-md:hidden' : from === 'lg' ? 'max-lg:hidden' : '')

const Spacer = ({ height }: { height: number }) => (
  <tr aria-hidden style={{ height }}>
    <td />
  </tr>
)

const narrow = matchMedia('(max-width: 759px)')

function useNarrow(): boolean {
  return useSyncExternalStore(
    (tell) => {
      narrow.addEventListener('change', tell)
      return () => narrow.removeEventListener('change', tell)
    },
    () => narrow.matches,
  )
}

/**
 * J and K walk the rows; Enter follows the link, as it does anywhere. The
 * focus moves within the key press, so that the next press, however soon,
 * starts from where this one led. A row that is not drawn yet is aimed at
 * until it is.
 */
function useRowKeys(scroll: RefObject<HTMLDivElement | null>, count: number, reveal: (index: number) => void, on: boolean) {
  const state = useRef({ count, reveal })
  state.current = { count, reveal }
  const aim = useRef<number>(undefined)
  useLayoutEffect(() => {
    if (aim.current !== undefined && focusRow(scroll.current, aim.current)) aim.current = undefined
  })
  // In the layout phase: who sees the rows can already walk them.
  useLayoutEffect(() => {
    if (!on) return
    const onKey = (event: KeyboardEvent) => {
      const step = event.key === 'j' ? 1 : event.key === 'k' ? -1 : 0
      if (!step || event.metaKey || event.ctrlKey || event.altKey || isTyping(event.target)) return
      const box = scroll.current
      if (!box || state.current.count === 0) return
      const here = document.activeElement?.closest<HTMLElement>('[data-row]')
      const from = aim.current ?? (here && box.contains(here) ? Number(here.dataset.row) : step > 0 ? -1 : state.current.count)
      const to = Math.max(0, Math.min(state.current.count - 1, from + step))
      event.preventDefault()
      state.current.reveal(to)
      aim.current = focusRow(box, to) ? undefined : to
    }
    const onPointer = () => (aim.current = undefined)
    document.addEventListener('keydown', onKey)
    document.addEventListener('pointerdown', onPointer)
    return () => {
      document.removeEventListener('keydown', onKey)
      document.removeEventListener('pointerdown', onPointer)
    }
  }, [scroll, on])
}

/** Focuses the link of a row, if the row is drawn. */
function focusRow(box: HTMLElement | null, index: number): boolean {
  const link = box?.querySelector<HTMLElement>(`[data-row="${index}"] a`)
  link?.focus()
  return Boolean(link)
}

/** A card that a table fills. */
export function TableCard({ children, className }: { children: ReactNode; className?: string }) {
  return <div className={cx('card flex min-h-0 flex-col overflow-hidden', className)}>{children}</div>
}

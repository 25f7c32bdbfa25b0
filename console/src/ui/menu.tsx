import { Menu as Base } from '@base-ui/react/menu'
import type { ReactElement, ReactNode } from 'react'
import { cx } from './cx'

export interface MenuEntry {
  label: string
  icon?: ReactNode
  onSelect: () => void
  danger?: boolean
}

export function Menu({ trigger, entries }: { trigger: ReactElement; entries: MenuEntry[] }) {
  return (
    <Base.Root>
      <Base.Trigger render={trigger} />
      <Base.Portal>
        <Base.Positioner sideOffset={4} align="end" collisionPadding={8} className="z-50">
          <Base.Popup className="rise min-w-[180px] rounded-card border border-line bg-surface p-1 shadow-float outline-none">
            {entries.map((entry) => (
              <Base.Item
                key={entry.label}
                onClick={entry.onSelect}
                className={cx('flex h-[30px] cursor-default items-center gap-2 rounded-control px-2 outline-none data-highlighted:bg-sunken', entry.danger && 'text-bad')}
              >
                {entry.icon}
                {entry.label}
              </Base.Item>
            ))}
          </Base.Popup>
        </Base.Positioner>
      </Base.Portal>
    </Base.Root>
  )
}

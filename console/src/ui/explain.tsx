import { Popover } from '@base-ui/react/popover'
import type { ReactElement, ReactNode } from 'react'

/** What a number means: definition, window, freshness, size, interval. On hover, focus or tap. */
export function Explained({ title, children, trigger, className }: { title: string; children: ReactNode; trigger: ReactNode; className?: string }) {
  return (
    <Popover.Root>
      <Popover.Trigger openOnHover delay={250} closeDelay={80} className={className ?? 'cursor-help text-left decoration-dotted underline-offset-4 hover:underline'}>
        {trigger}
      </Popover.Trigger>
      <Floating>
        <Popover.Title className="mb-1 font-semibold">{title}</Popover.Title>
        <Popover.Description render={<div />} className="space-y-1.5 text-muted">
          {children}
        </Popover.Description>
      </Floating>
    </Popover.Root>
  )
}

function Floating({ children }: { children: ReactNode }) {
  return (
    <Popover.Portal>
      <Popover.Positioner sideOffset={6} align="start" collisionPadding={12} className="z-50">
        <Popover.Popup className="rise max-w-[300px] rounded-card border border-line bg-surface p-3 shadow-float outline-none">{children}</Popover.Popup>
      </Popover.Positioner>
    </Popover.Portal>
  )
}

/** A panel that opens from a button. */
export function Pop({ trigger, title, children }: { trigger: ReactElement; title: string; children: ReactNode }) {
  return (
    <Popover.Root>
      <Popover.Trigger render={trigger} />
      <Floating>
        <Popover.Title className="mb-2 font-semibold">{title}</Popover.Title>
        {children}
      </Floating>
    </Popover.Root>
  )
}

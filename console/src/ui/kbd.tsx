import type { ReactNode } from 'react'

export function Kbd({ children }: { children: ReactNode }) {
  return <kbd className="inline-flex h-[18px] min-w-[18px] items-center justify-center rounded-sm border border-line px-1 font-sans text-[11px] whitespace-nowrap text-muted">{children}</kbd>
}

import { X } from 'lucide-react'
import { useEffect, useRef, type ReactNode } from 'react'
import { Button } from './button'
import { isTyping } from './typing'

/** A detail beside its list: the list stays in view and in reach. Escape closes. */
export function Panel({ label, head, onClose, children, wide }: { label: string; head: ReactNode; onClose: () => void; children: ReactNode; wide?: boolean }) {
  const box = useRef<HTMLElement>(null)
  const close = useRef(onClose)
  close.current = onClose
  useEffect(() => {
    const before = document.activeElement
    box.current?.focus({ preventScroll: true })
    const onKey = (event: KeyboardEvent) => {
      const floating = document.querySelector('[role=dialog][data-open], [role=menu]')
      if (event.key === 'Escape' && !event.defaultPrevented && !floating && !isTyping(event.target)) close.current()
    }
    document.addEventListener('keydown', onKey)
    return () => {
      document.removeEventListener('keydown', onKey)
      if (before instanceof HTMLElement && before.isConnected) before.focus({ preventScroll: true })
    }
  }, [])
  return (
    <aside
      ref={box}
      tabIndex={-1}
      aria-label={label}
      className={`slide fixed inset-0 z-30 flex flex-col bg-surface shadow-float outline-none md:left-auto md:border-l md:border-line ${wide ? 'md:w-[700px]' : 'md:w-[520px]'}`}
    >
      <header className="flex items-start gap-3 border-b border-line px-4 py-3">
        <div className="min-w-0 flex-1">{head}</div>
        <Button look="ghost" size="icon" aria-label="Close panel" title="Close (Esc)" onClick={onClose} icon={<X size={16} />} />
      </header>
      <div className="min-h-0 flex-1 overflow-y-auto p-4" tabIndex={0} role="group" aria-label={`${label}, content`}>
        {children}
      </div>
    </aside>
  )
}

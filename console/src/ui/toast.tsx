import { createContext, useCallback, useContext, useMemo, useRef, useState, type ReactNode } from 'react'
import { CircleAlert, CircleCheck, X } from 'lucide-react'
import { ApiError } from '@/api/client'

interface Toast {
  id: number
  text: string
  bad?: boolean
  action?: { label: string; run: () => void }
}

interface Toasts {
  say: (text: string, action?: Toast['action']) => void
  fail: (error: unknown) => void
}

const Context = createContext<Toasts>({ say: () => {}, fail: () => {} })

export const useToast = () => useContext(Context)

/** Short news of what an action did, with Undo where it can be undone. */
export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([])
  const next = useRef(1)
  const drop = useCallback((id: number) => setToasts((all) => all.filter((toast) => toast.id !== id)), [])
  const add = useCallback(
    (toast: Omit<Toast, 'id'>) => {
      const id = next.current++
      setToasts((all) => [...all.slice(-2), { ...toast, id }])
      setTimeout(() => drop(id), toast.action || toast.bad ? 10_000 : 4000)
    },
    [drop],
  )
  const value = useMemo<Toasts>(
    () => ({
      say: (text, action) => add({ text, action }),
      fail: (error) => {
        const id = error instanceof ApiError && error.problem.requestId ? ` (${error.problem.requestId})` : ''
        add({ text: (error instanceof Error ? error.message : String(error)) + id, bad: true })
      },
    }),
    [add],
  )
  return (
    <Context value={value}>
      {children}
      <div role="status" aria-live="polite" className="pointer-events-none fixed inset-x-4 bottom-20 z-60 flex flex-col items-center gap-2 md:bottom-5">
        {toasts.map((toast) => (
          <div key={toast.id} className="rise pointer-events-auto flex max-w-[560px] items-center gap-2.5 rounded-card border border-line bg-surface py-2 pr-1.5 pl-3 shadow-float">
            {toast.bad ? <CircleAlert size={15} className="shrink-0 text-bad" /> : <CircleCheck size={15} className="shrink-0 text-good" />}
            <span className="min-w-0 py-1">{toast.text}</span>
            {toast.action && (
              <button
                type="button"
                className="rounded-control px-2 py-1 font-medium text-accent hover:bg-sunken"
                onClick={() => {
                  toast.action?.run()
                  drop(toast.id)
                }}
              >
                {toast.action.label}
              </button>
            )}
            <button type="button" aria-label="Dismiss" className="rounded-control p-1.5 text-muted hover:bg-sunken" onClick={() => drop(toast.id)}>
              <X size={14} />
            </button>
          </div>
        ))}
      </div>
    </Context>
  )
}

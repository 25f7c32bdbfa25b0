import { Dialog as Base } from '@base-ui/react/dialog'
import { useState, type FormEvent, type ReactNode } from 'react'
import { Button } from './button'
import { cx } from './cx'
import { Field, Input } from './field'
import { Refusal } from './states'

export function Dialog({ open, onClose, title, note, children, wide }: { open: boolean; onClose: () => void; title: string; note?: ReactNode; children: ReactNode; wide?: boolean }) {
  return (
    <Base.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Base.Portal>
        <Base.Backdrop className="fixed inset-0 z-40 bg-veil transition-opacity data-ending-style:opacity-0 data-starting-style:opacity-0" />
        <Base.Popup
          className={cx(
            'fixed top-[12vh] left-1/2 z-50 flex max-h-[80vh] w-[calc(100vw-32px)] -translate-x-1/2 flex-col rounded-card border border-line bg-surface shadow-float outline-none transition-opacity data-ending-style:opacity-0 data-starting-style:opacity-0',
            wide ? 'max-w-[860px]' : 'max-w-[460px]',
          )}
        >
          <div className="px-5 pt-4">
            <Base.Title className="text-card font-semibold">{title}</Base.Title>
            {note && (
              <Base.Description render={<div />} className="mt-1 text-muted">
                {note}
              </Base.Description>
            )}
          </div>
          <div className="min-h-0 overflow-y-auto px-5 pt-3 pb-5">{children}</div>
        </Base.Popup>
      </Base.Portal>
    </Base.Root>
  )
}

export function DialogButtons({ children }: { children: ReactNode }) {
  return <div className="mt-5 flex justify-end gap-2">{children}</div>
}

/** Asks before what cannot be taken back. With `typed`, the reader must write it out. */
export function Confirm({ open, onClose, title, children, verb, typed, onConfirm }: {
  open: boolean
  onClose: () => void
  title: string
  children: ReactNode
  verb: string
  typed?: string
  onConfirm: () => Promise<unknown>
}) {
  const [text, setText] = useState('')
  const [error, setError] = useState<unknown>()
  const [busy, setBusy] = useState(false)
  const close = () => {
    setText('')
    setError(undefined)
    onClose()
  }
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    setBusy(true)
    try {
      await onConfirm()
      close()
    } catch (cause) {
      setError(cause)
    } finally {
      setBusy(false)
    }
  }
  return (
    <Dialog open={open} onClose={close} title={title}>
      <form onSubmit={(event) => void submit(event)} className="space-y-3">
        <div className="text-muted">{children}</div>
        {typed && (
          <label className="block">
            <span className="mb-1 block">
              Type <strong className="font-semibold select-all">{typed}</strong> to confirm
            </span>
            <Input value={text} onChange={(event) => setText(event.target.value)} autoComplete="off" spellCheck={false} className="w-full" />
          </label>
        )}
        <Refusal error={error} />
        <DialogButtons>
          <Button onClick={close}>Cancel</Button>
          <Button type="submit" look="danger" busy={busy} disabled={typed !== undefined && text.trim() !== typed}>
            {verb}
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  )
}

/** Asks for a decision and why it is taken. */
export function ReasonDialog({ open, onClose, title, note, hint, verb, look = 'solid', required, ready = true, children, onSubmit }: {
  open: boolean
  onClose: () => void
  title: string
  note: ReactNode
  /** Who reads the reason. */
  hint: string
  verb: string
  look?: 'solid' | 'danger'
  required?: boolean
  /** Whether what stands above the reason is filled in. */
  ready?: boolean
  children?: ReactNode
  onSubmit: (reason: string) => Promise<unknown>
}) {
  const [reason, setReason] = useState('')
  const [error, setError] = useState<unknown>()
  const [busy, setBusy] = useState(false)
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    setError(undefined)
    setBusy(true)
    try {
      await onSubmit(reason.trim())
      setReason('')
      onClose()
    } catch (cause) {
      setError(cause)
    } finally {
      setBusy(false)
    }
  }
  return (
    <Dialog open={open} onClose={onClose} title={title} note={note}>
      <form onSubmit={(event) => void submit(event)} className="space-y-3">
        {children}
        <Field label="Why" hint={hint}>
          {(id) => <Input id={id} value={reason} onChange={(event) => setReason(event.target.value)} required={required} maxLength={300} autoComplete="off" className="w-full" />}
        </Field>
        <Refusal error={error} />
        <DialogButtons>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look={look} busy={busy} disabled={!ready || (required && !reason.trim())}>
            {verb}
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  )
}

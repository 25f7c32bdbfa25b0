import { Search } from 'lucide-react'
import { useEffect, useId, useRef, useState, type InputHTMLAttributes, type ReactNode, type SelectHTMLAttributes } from 'react'
import { cx } from './cx'

export function Input({ className, ...rest }: InputHTMLAttributes<HTMLInputElement>) {
  return <input {...rest} className={cx('control', className)} />
}

export function Select({ className, children, ...rest }: SelectHTMLAttributes<HTMLSelectElement>) {
  return (
    <select {...rest} className={cx('control pr-7 max-md:min-w-[30%] max-md:flex-1', className)}>
      {children}
    </select>
  )
}

export function Field({ label, hint, error, children }: { label: string; hint?: ReactNode; error?: string; children: (id: string) => ReactNode }) {
  const id = useId()
  return (
    <div>
      <label htmlFor={id} className="mb-1 block font-medium">
        {label}
      </label>
      {children(id)}
      {error ? <p className="mt-1 text-meta text-bad">{error}</p> : hint ? <p className="mt-1 text-meta text-muted">{hint}</p> : null}
    </div>
  )
}

/** A search that follows the typing, 150 ms behind it. */
export function SearchField({ value, onChange, label, className }: { value: string; onChange: (value: string) => void; label: string; className?: string }) {
  const [text, setText] = useState(value)
  const sent = useRef(value)
  useEffect(() => {
    if (value !== sent.current) setText((sent.current = value))
  }, [value])
  useEffect(() => {
    if (text === sent.current) return
    const timer = setTimeout(() => onChange((sent.current = text)), 150)
    return () => clearTimeout(timer)
  }, [text, onChange])
  return (
    <div className={cx('relative', className)}>
      <Search size={14} aria-hidden className="pointer-events-none absolute top-1/2 left-2.5 -translate-y-1/2 text-muted" />
      <Input type="search" data-search="" value={text} onChange={(event) => setText(event.target.value)} placeholder={label} aria-label={label} autoComplete="off" spellCheck={false} className="w-full pl-8" />
    </div>
  )
}

export function Check({ checked, onChange, children }: { checked: boolean; onChange: (checked: boolean) => void; children: ReactNode }) {
  return (
    <label className="flex cursor-pointer items-center gap-2 text-muted select-none">
      <input type="checkbox" checked={checked} onChange={(event) => onChange(event.target.checked)} className="size-3.5 accent-solid" />
      {children}
    </label>
  )
}

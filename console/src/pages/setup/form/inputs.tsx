// The inputs of a form, one for each type of key.
import { Link } from '@tanstack/react-router'
import { ArrowUpRight, Plus, X } from 'lucide-react'
import { useId, useState, type InputHTMLAttributes, type ReactNode } from 'react'
import type { ConfigField, Json } from '@/api/types'
import { percent } from '@/format/number'
import { Button } from '@/ui/button'
import { cx } from '@/ui/cx'
import { Input, Select } from '@/ui/field'
import { isActive, suggestions, useForm, valueAt, wrongAt } from './context'
import { ConditionInput } from './builder'
import { rename, type Path } from './text'

export interface InputProps {
  field: ConfigField
  path: Path
  id: string
  label: string
  /** Keys of the object around it, in the order of its kind. */
  order?: readonly string[]
}

const long = 2000

/** A text that is the reader's own while it is being written, and the document's otherwise. */
export function useDraft(value: string, write: (text: string) => void, leave?: (text: string) => void) {
  const [draft, setDraft] = useState<string>()
  return {
    value: draft ?? value,
    onChange: (event: { target: { value: string } }) => {
      setDraft(event.target.value)
      write(event.target.value)
    },
    onBlur: () => {
      if (draft !== undefined) leave?.(draft)
      setDraft(undefined)
    },
  }
}

/** A label above its input, what it means and what is wrong below. */
export function Labelled({ field, path, children }: { field: ConfigField; path: Path; children: (id: string) => ReactNode }) {
  const form = useForm()
  const id = useId()
  const wrong = wrongAt(form, path)
  return (
    <div data-path={path.join('.')} onFocus={(event) => (event.stopPropagation(), form.enter(path))} className={cx('-mx-2 rounded-control px-2 py-1.5', isActive(form, path) && 'bg-accent-soft/60')}>
      {children(id)}
      <Notes field={field} wrong={wrong} id={id} />
    </div>
  )
}

export function Notes({ field, wrong, id }: { field: ConfigField; wrong: { message: string; hint?: string }[]; id?: string }) {
  return (
    <>
      {wrong.map((error, i) => (
        <p key={i} role="alert" className="mt-1 text-meta text-bad">
          {error.message}
          {error.hint && ` · ${error.hint}`}
        </p>
      ))}
      {field.doc && (
        <p id={id && `${id}-doc`} className="mt-1 text-meta text-muted">
          {field.doc}
        </p>
      )}
    </>
  )
}

/** The right input for a type that is one value. */
export function ScalarInput(props: InputProps) {
  const { field } = props
  if (field.type === 'condition') return <ConditionInput {...props} />
  if (field.enum || (field.ref && field.type === 'text')) return <Choice {...props} />
  if (field.type === 'true or false') return <Toggle {...props} />
  if (field.type === 'duration') return <DurationInput {...props} />
  return <TextInput {...props} />
}

/** Reads what somebody typed as the type says; what does not fit stays a text and is refused where it stands. */
function typed(field: ConfigField, text: string, before: Json | undefined): Json {
  const numeric = /^-?\d+(\.\d+)?$/.test(text)
  if (field.type === 'number' || field.type === 'whole number') return numeric ? Number(text) : text
  if (field.type === 'any value') return numeric ? Number(text) : text === 'true' ? true : text === 'false' ? false : text
  return numeric && typeof before === 'number' ? Number(text) : text
}

function TextInput({ field, path, id, label, order }: InputProps) {
  const form = useForm()
  const value = valueAt(form, path)
  const picks = suggestions(field, form)
  const number = field.type === 'number' || field.type === 'whole number'
  const input = useDraft(
    value === undefined || value === null ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value),
    (text) => form.put(path, typed(field, text, value), order),
    (text) => text === '' && form.remove(path),
  )
  const shared = { id, 'aria-label': label, 'aria-describedby': `${id}-doc`, disabled: form.readOnly, ...input }
  if (typeof value === 'object' && value !== null) return <p className="text-muted">Holds several values; edit them in the text.</p>
  if (input.value.length > long) return <p className="text-muted">{input.value.length.toLocaleString('en')} characters; edit them in the text.</p>
  if (!number && (input.value.includes('\n') || input.value.length > 80))
    return <textarea {...shared} rows={Math.min(12, input.value.split('\n').length + Math.floor(input.value.length / 70) + 1)} spellCheck={false} className="control h-auto! w-full resize-y py-1.5 leading-[18px]" />
  return (
    <span className="flex items-center gap-2">
      <Input {...shared} list={picks.length ? `${id}-picks` : undefined} inputMode={number ? 'decimal' : undefined} autoComplete="off" spellCheck={false} placeholder={placeholder(field)} className={number ? 'w-[140px] tabular-nums' : 'w-full'} />
      {number && <Unit field={field} value={value} />}
      {picks.length > 0 && <Picks id={`${id}-picks`} values={picks} />}
    </span>
  )
}

const placeholder = (field: ConfigField) => (field.default !== undefined && field.default !== null && typeof field.default !== 'object' ? String(field.default) : field.secret ? '${NAME}' : undefined)

/** What a number counts in, and a share as people say it. */
function Unit({ field, value }: { field: ConfigField; value: Json | undefined }) {
  const { currency } = useForm()
  const share = field.unit === 'share'
  const unit = share ? (typeof value === 'number' ? `= ${percent(value)}` : '1 is all') : field.unit === 'money' ? currency : field.unit
  const bounds = field.min !== undefined && field.max !== undefined ? `${field.min} to ${field.max}` : field.min !== undefined && field.min !== '0' ? `at least ${field.min}` : field.max !== undefined ? `at most ${field.max}` : undefined
  return <span className="text-meta text-muted">{[unit, bounds].filter(Boolean).join(' · ')}</span>
}

export function Picks({ id, values }: { id: string; values: string[] }) {
  return (
    <datalist id={id}>
      {values.slice(0, 200).map((value) => (
        <option key={value} value={value} />
      ))}
    </datalist>
  )
}

/** A choice from a few texts, or of another document. */
function Choice({ field, path, id, label, order }: InputProps) {
  const form = useForm()
  const value = valueAt(form, path)
  const text = value === undefined || value === null ? '' : String(value)
  const options = field.enum ?? suggestions(field, form)
  return (
    <span className="flex items-center gap-2">
      <Select id={id} aria-label={label} aria-describedby={`${id}-doc`} disabled={form.readOnly} value={text} onChange={(event) => (event.target.value ? form.put(path, event.target.value, order) : form.remove(path))} className="min-w-[160px]">
        {(!field.required || !text) && <option value="">{field.default ? `${String(field.default)} (default)` : field.required ? 'Choose…' : 'Not set'}</option>}
        {text && !options.includes(text) && <option value={text}>{text}</option>}
        {options.map((option) => (
          <option key={option}>{option}</option>
        ))}
      </Select>
      {field.ref && text && <Goto kind={field.ref} id={text} />}
    </span>
  )
}

/** Leads to the document that is named. */
export function Goto({ kind, id }: { kind: string; id: string }) {
  return (
    <Link to="/setup/config/$kind/$id" params={{ kind, id }} title={`Open ${kind} ${id}`} aria-label={`Open ${kind} ${id}`} className="text-muted hover:text-accent">
      <ArrowUpRight size={14} aria-hidden />
    </Link>
  )
}

function Toggle({ field, path, id, label, order }: InputProps) {
  const form = useForm()
  const value = valueAt(form, path)
  const on = typeof value === 'boolean' ? value : field.default === true
  return (
    <label className="flex h-[30px] cursor-pointer items-center gap-2 select-none">
      <input id={id} type="checkbox" aria-label={label} aria-describedby={`${id}-doc`} disabled={form.readOnly} checked={on} onChange={(event) => form.put(path, event.target.checked, order)} className="size-3.5 accent-solid" />
      <span className="text-muted">{on ? 'Yes' : 'No'}</span>
    </label>
  )
}

const units: Record<string, string> = { s: 'seconds', m: 'minutes', h: 'hours', d: 'days', w: 'weeks' }

/** A length of time: a number and its unit, or the text where it has several. */
export function Length({ value, onChange, label, id, disabled, max }: { value: string; onChange: (value: string) => void; label: string; id?: string; disabled?: boolean; max?: string }) {
  const m = /^(\d+)([smhdw])$/.exec(value)
  const [unit, setUnit] = useState('d')
  const input = useDraft(m ? m[1]! : value, (text) => onChange(/^\d+$/.test(text) ? text + (m?.[2] ?? unit) : text), (text) => text === '' && onChange(''))
  if (value && !m && !/^\D?$/.test(value)) return <Text value={value} onChange={onChange} id={id} aria-label={label} disabled={disabled} className="w-[140px]" />
  return (
    <span className="flex items-center gap-1.5">
      <Input {...input} id={id} aria-label={label} disabled={disabled} inputMode="numeric" autoComplete="off" className="w-[64px] text-right tabular-nums" />
      <Select
        aria-label={`Unit of ${label}`}
        disabled={disabled}
        value={m?.[2] ?? unit}
        onChange={(event) => {
          setUnit(event.target.value)
          if (m) onChange(m[1]! + event.target.value)
        }}
      >
        {Object.entries(units).map(([short, name]) => (
          <option key={short} value={short}>
            {name}
          </option>
        ))}
      </Select>
      {max && <span className="text-meta text-muted">at most {max}</span>}
    </span>
  )
}

/** A plain text whose half-written state is the reader's own. */
export function Text({ value, onChange, takes, ...rest }: { value: string; onChange: (value: string) => void; /** What is written is taken once it is so. */ takes?: RegExp } & Omit<InputHTMLAttributes<HTMLInputElement>, 'value' | 'onChange' | 'onBlur'>) {
  const input = useDraft(value, (text) => (takes?.test(text) ?? true) && onChange(text))
  return <Input autoComplete="off" spellCheck={false} {...rest} {...input} />
}

function DurationInput({ field, path, id, label, order }: InputProps) {
  const form = useForm()
  const value = valueAt(form, path)
  return <Length id={id} label={label} value={value === undefined || value === null ? '' : String(value)} max={field.max} disabled={form.readOnly} onChange={(next) => (next ? form.put(path, next, order) : form.remove(path))} />
}

/** A list of short texts. Of a list of documents, the documents are picked. */
export function Chips({ field, path, id, label, order }: InputProps) {
  const form = useForm()
  const value = valueAt(form, path)
  const items = Array.isArray(value) ? value : []
  const options = field.enum ?? field.item?.enum ?? suggestions(field, form)
  const [text, setText] = useState('')
  const add = (one: string) => {
    const written = one.trim()
    setText('')
    if (!written || items.includes(written)) return
    form.put([...path, items.length], typed(field.item ?? field, written, undefined), order)
  }
  if (value !== undefined && value !== null && !Array.isArray(value)) return <p className="text-muted">Not a list; edit it in the text.</p>
  if (items.some((item) => item !== null && typeof item === 'object')) return <p className="text-muted">Holds nested values; edit them in the text.</p>
  return (
    <span className="flex flex-wrap items-center gap-1.5">
      {items.map((item, i) => (
        <span key={i} className="inline-flex h-[26px] max-w-full items-center gap-1 rounded-control border border-line bg-sunken pr-1 pl-2">
          <span className="clip">{String(item)}</span>
          {field.ref && <Goto kind={field.ref} id={String(item)} />}
          {!form.readOnly && (
            <button type="button" aria-label={`Remove ${String(item)}`} onClick={() => (items.length === 1 && field.required ? form.put(path, []) : form.remove([...path, i]))} className="rounded-sm p-0.5 text-muted hover:text-text">
              <X size={12} aria-hidden />
            </button>
          )}
        </span>
      ))}
      {form.readOnly ? null : field.ref ? (
        <Select id={id} aria-label={label} aria-describedby={`${id}-doc`} value="" onChange={(event) => add(event.target.value)}>
          <option value="">Add {field.ref}…</option>
          {options
            .filter((option) => !items.includes(option))
            .map((option) => (
              <option key={option}>{option}</option>
            ))}
        </Select>
      ) : (
        <>
          <Input
            id={id}
            aria-label={label}
            aria-describedby={`${id}-doc`}
            value={text}
            list={options.length ? `${id}-picks` : undefined}
            placeholder="Add, then Enter"
            autoComplete="off"
            spellCheck={false}
            className="w-[170px]"
            onChange={(event) => setText(event.target.value)}
            onBlur={() => add(text)}
            onKeyDown={(event) => {
              if (event.key === 'Enter') {
                event.preventDefault()
                add(text)
              } else if (event.key === 'Backspace' && text === '' && items.length > 0) form.remove([...path, items.length - 1])
            }}
          />
          {options.length > 0 && <Picks id={`${id}-picks`} values={options} />}
        </>
      )}
    </span>
  )
}

/** Names and their values, such as what a client shows. */
export function NamedValues({ field, path, id, label, order }: InputProps) {
  const form = useForm()
  const value = valueAt(form, path)
  const [name, setName] = useState('')
  const entries = value !== null && typeof value === 'object' && !Array.isArray(value) ? Object.entries(value) : []
  const item: ConfigField = field.item ?? { name: '', type: 'any value' }
  const add = () => {
    const written = name.trim()
    setName('')
    if (written && !entries.some(([key]) => key === written)) form.put([...path, written], '', order)
  }
  return (
    <div className="space-y-1.5">
      {entries.map(([key], i) => (
        <div key={i} onFocus={(event) => (event.stopPropagation(), form.enter([...path, key]))} className="flex items-start gap-1.5">
          <Name value={key} label={`Name of ${key} in ${label}`} onRename={(to) => form.change((text) => rename(text, [...path, key], to))} />
          <span className="min-w-0 flex-1">{item.type === 'list' || item.type === 'map' ? <Chips field={item} path={[...path, key]} id={`${id}-${i}`} label={`${key} in ${label}`} /> : <TextInput field={item} path={[...path, key]} id={`${id}-${i}`} label={`${key} in ${label}`} />}</span>
          {!form.readOnly && <Button look="ghost" size="icon" aria-label={`Remove ${key}`} icon={<X size={14} aria-hidden />} onClick={() => form.remove([...path, key])} />}
        </div>
      ))}
      {!form.readOnly && (
        <span className="flex items-center gap-1.5">
          <Input
            id={id}
            aria-label={`New name in ${label}`}
            aria-describedby={`${id}-doc`}
            value={name}
            onChange={(event) => setName(event.target.value)}
            onKeyDown={(event) => {
              if (event.key !== 'Enter') return
              event.preventDefault()
              add()
            }}
            placeholder="Name"
            autoComplete="off"
            spellCheck={false}
            className="w-[140px]"
          />
          <Button size="small" icon={<Plus size={13} aria-hidden />} disabled={!name.trim()} onClick={add}>
            Add
          </Button>
        </span>
      )}
    </div>
  )
}

/** The name of a value; it changes when it is left, so that a half-written name is none. */
function Name({ value, label, onRename }: { value: string; label: string; onRename: (to: string) => void }) {
  const { readOnly } = useForm()
  const input = useDraft(value, () => {}, (text) => text.trim() && text.trim() !== value && onRename(text.trim()))
  return <Input {...input} aria-label={label} disabled={readOnly} autoComplete="off" spellCheck={false} className="w-[140px] shrink-0 font-mono text-meta!" />
}

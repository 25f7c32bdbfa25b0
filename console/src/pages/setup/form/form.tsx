// A form for any kind of document, made from what the server says of the kind.
// It edits the text beside it, and shows what the text says.
import { ArrowDown, ChevronRight, Plus, Trash2 } from 'lucide-react'
import { useId, useMemo, useState, type ReactNode } from 'react'
import type { ConfigDocument, ConfigError, ConfigField, Json } from '@/api/types'
import { Button } from '@/ui/button'
import { cx } from '@/ui/cx'
import { Badge } from '@/ui/parts'
import { FormContext, nameOf, pathsOf, useForm, valueAt, wrongAt, type FormState } from './context'
import { Chips, Labelled, NamedValues, Notes, ScalarInput } from './inputs'
import { pathAt, placeOf, put, read, remove, swap, type Path } from './text'

const header = ['kind', 'id', 'labels', 'demo']

interface FormProps {
  kind: ConfigField
  kinds: string[]
  text: string
  onChange?: (text: string) => void
  errors: ConfigError[]
  documents: ConfigDocument[]
  currency?: string
  /** Where the cursor of the text stands. */
  cursor?: number
  /** The lines of the field that is being edited. */
  onEnter?: (place: { from: number; to: number } | undefined) => void
}

export default function Form({ kind, kinds, text, onChange, errors, documents, currency, cursor, onEnter }: FormProps) {
  const reading = useMemo(() => read(text), [text])
  const form = useMemo<FormState | undefined>(() => {
    const { root } = reading
    if (!root) return undefined
    const change = (edit: (text: string) => string) => onChange?.(edit(text))
    return {
      text, root, documents, kinds, currency, change,
      active: cursor === undefined ? undefined : pathAt(root, cursor),
      errors: pathsOf(text, root, errors),
      readOnly: !onChange,
      put: (path, value, order) => change((now) => put(now, path, value, order)),
      remove: (path) => change((now) => remove(now, path)),
      enter: (path) => onEnter?.(placeOf(root, path)),
    }
  }, [reading, text, errors, documents, kinds, currency, cursor, onChange, onEnter])
  if (!form) return <p className="p-4 text-muted">{reading.broken} The form returns once it can be read.</p>
  return (
    <FormContext value={form}>
      <Keys fields={kind.fields ?? []} path={[]} first={header} />
    </FormContext>
  )
}

/** The keys of an object: those that are written or needed, and the rest to add. */
function Keys({ fields, path, first = [] }: { fields: ConfigField[]; path: Path; first?: string[] }) {
  const form = useForm()
  const [opened, setOpened] = useState<string[]>([])
  const order = useMemo(() => [...first, ...fields.map((field) => field.name)], [first, fields])
  const written = valueAt(form, path)
  const has = (name: string) => written !== null && typeof written === 'object' && !Array.isArray(written) && name in written
  const shown = fields.filter((field) => field.required || has(field.name) || opened.includes(field.name))
  const rest = fields.filter((field) => !shown.includes(field))
  // Of a key nobody knows, and of the object itself.
  const stray = form.errors.filter((e) => e.path.length >= path.length && path.every((step, i) => e.path[i] === step) && !fields.some((field) => field.name === e.path[path.length]) && (path.length === 0 || e.path.length > path.length))
  return (
    <div className="space-y-2">
      {stray.length > 0 && <Notes field={{ name: '', type: '' }} wrong={stray.map((e) => e.error)} />}
      <div className="grid grid-flow-dense items-start gap-x-4 gap-y-2 md:grid-cols-2">
        {shown.map((field) => (
          <div key={field.name} className={cx('min-w-0', !isShort(field, path.length > 0) && 'col-span-full')}>
            <FieldOf field={field} path={[...path, field.name]} order={order} focus={opened.includes(field.name)} />
          </div>
        ))}
      </div>
      {!form.readOnly && rest.length > 0 && <More fields={rest} top={path.length === 0} onOpen={(name) => setOpened([...opened, name])} />}
    </div>
  )
}

/** What else may be set. */
function More({ fields, top, onOpen }: { fields: ConfigField[]; top: boolean; onOpen: (name: string) => void }) {
  const [open, setOpen] = useState(false)
  return (
    <div className={cx(top && 'border-t border-line pt-2')}>
      <button type="button" aria-expanded={open} onClick={() => setOpen(!open)} className="inline-flex items-center gap-1 rounded-sm text-meta font-medium text-muted hover:text-text pointer-coarse:min-h-[38px]">
        <ChevronRight size={13} aria-hidden className={cx('transition-transform', open && 'rotate-90')} />
        {fields.length === 1 ? 'One more setting' : `${fields.length} more settings`}
      </button>
      {open && (
        <ul className="mt-1.5 grid gap-1">
          {fields.map((field) => (
            <li key={field.name}>
              <button type="button" onClick={() => onOpen(field.name)} className="flex w-full items-baseline gap-2 rounded-control px-2 py-1 text-left transition-colors hover:bg-sunken">
                <Plus size={12} aria-hidden className="shrink-0 self-center text-muted" />
                <span className="shrink-0 font-medium">{nameOf(field.name)}</span>
                <span className="text-meta text-muted">{field.doc}</span>
              </button>
            </li>
          ))}
        </ul>
      )}
    </div>
  )
}

/** Two of these stand side by side. */
const isShort = (field: ConfigField, inner: boolean) => field.enum !== undefined || ['number', 'whole number', 'true or false', 'duration'].includes(field.type) || (field.type === 'text' && (inner || field.ref !== undefined || field.suggest !== undefined))

const isScalar = (field: ConfigField | undefined) => !field || !['object', 'list', 'map'].includes(field.type)

function FieldOf({ field, path, order, focus }: { field: ConfigField; path: Path; order: readonly string[]; focus?: boolean }) {
  const label = nameOf(field.name)
  if (field.type === 'object') return <ObjectField field={field} path={path} order={order} label={label} />
  if (field.item && !isScalar(field.item) && field.item.type === 'object') return <Collection field={field} path={path} order={order} label={label} />
  return (
    <Labelled field={field} path={path}>
      {(id) => (
        <>
          <LabelLine field={field} path={path} label={label} htmlFor={id} />
          <div ref={focus ? focusFirst : undefined}>{field.type === 'list' ? <Chips field={field} path={path} id={id} label={label} order={order} /> : field.type === 'map' ? <NamedValues field={field} path={path} id={id} label={label} order={order} /> : <ScalarInput field={field} path={path} id={id} label={label} order={order} />}</div>
        </>
      )}
    </Labelled>
  )
}

/** A key that was just asked for is where the typing goes. */
const focusFirst = (box: HTMLElement | null) => {
  if (box && !box.contains(document.activeElement)) box.querySelector<HTMLElement>('input,select,textarea')?.focus({ preventScroll: true })
}

function LabelLine({ field, path, label, htmlFor }: { field: ConfigField; path: Path; label: string; htmlFor?: string }) {
  const form = useForm()
  const written = valueAt(form, path) !== undefined
  return (
    <div className="group mb-1 flex items-center gap-2">
      <label htmlFor={htmlFor} className="font-medium" title={path.join('.')}>
        {label}
      </label>
      {field.required && !written && <span className="text-meta text-warn">required</span>}
      {!field.required && written && !form.readOnly && (
        <button type="button" onClick={() => form.remove(path)} aria-label={`Clear ${label}`} className="text-meta text-muted opacity-0 transition-opacity group-hover:opacity-100 hover:text-text focus-visible:opacity-100 pointer-coarse:opacity-100">
          Clear
        </button>
      )}
    </div>
  )
}

interface Fold {
  open: boolean
  set: (open: boolean) => void
}

/** What is long begins folded, unless something in it is wrong. */
function useFold(path: Path, long: boolean): Fold {
  const form = useForm()
  const wrong = form.errors.some((e) => path.every((step, i) => e.path[i] === step))
  const [open, set] = useState(!long)
  return { open: open || wrong, set }
}

function Group({ label, doc, path, children, actions, fold }: { label: ReactNode; doc?: string; path: Path; children: ReactNode; actions?: ReactNode; fold?: Fold }) {
  const form = useForm()
  const id = useId()
  return (
    <div role="group" aria-labelledby={id} data-path={path.join('.')} className="rounded-control border border-line p-3">
      <div className="flex items-center gap-2">
        {fold ? (
          <button id={id} type="button" aria-expanded={fold.open} onClick={() => fold.set(!fold.open)} className="inline-flex items-center gap-1 rounded-sm font-medium">
            <ChevronRight size={13} aria-hidden className={cx('text-muted transition-transform', fold.open && 'rotate-90')} />
            {label}
          </button>
        ) : (
          <span id={id} className="font-medium">
            {label}
          </span>
        )}
        <span className="flex-1" />
        {!form.readOnly && actions}
      </div>
      {doc && <p className="mb-1 text-meta text-muted">{doc}</p>}
      <Notes field={{ name: '', type: '' }} wrong={wrongAt(form, path, false)} />
      {(!fold || fold.open) && children}
    </div>
  )
}

const Bin = ({ label, onClick }: { label: string; onClick: () => void }) => <Button look="ghost" size="small" aria-label={label} icon={<Trash2 size={13} aria-hidden />} onClick={onClick} />

/** The fields of an object; one that holds its own kind again has those around it. */
const fieldsOf = (field: ConfigField, outer: ConfigField | undefined): ConfigField[] => field.fields ?? (field.same ? (outer?.fields ?? []) : [])

function ObjectField({ field, path, order, label }: { field: ConfigField; path: Path; order: readonly string[]; label: string }) {
  const form = useForm()
  const value = valueAt(form, path)
  const fields = withSame(field)
  const fold = useFold(path, value !== null && typeof value === 'object' && Object.keys(value).length > 3)
  if (value === undefined || value === null)
    return (
      <Group label={label} doc={field.doc} path={path} actions={<Button size="small" icon={<Plus size={13} aria-hidden />} onClick={() => form.put(path, start(fields), order)}>Set</Button>}>
        {null}
      </Group>
    )
  return (
    <Group label={label} doc={field.doc} path={path} fold={fold} actions={!field.required && <Bin label={`Remove ${label}`} onClick={() => form.remove(path)} />}>
      <Keys fields={fields} path={path} />
    </Group>
  )
}

/** What a new object begins with: its required keys, empty. */
function start(fields: ConfigField[]): Json {
  const needed = fields.filter((field) => field.required)
  return Object.fromEntries((needed.length ? needed : fields.slice(0, 1)).map((field) => [field.name, field.enum?.[0] ?? (field.type === 'whole number' || field.type === 'number' ? Number(field.min ?? 1) || 1 : field.type === 'duration' ? '1d' : field.type === 'list' ? [] : field.type === 'object' ? {} : field.type === 'true or false' ? true : '')]))
}

/** Hands the fields of an object on to those inside of it that are of the same kind. */
function withSame(field: ConfigField, outer?: ConfigField): ConfigField[] {
  const own = fieldsOf(field, outer)
  const around = field.fields ? field : outer
  return own.map((inner) => (inner.same ? { ...inner, fields: around?.fields } : inner.item?.same ? { ...inner, item: { ...inner.item, fields: around?.fields } } : inner))
}

/** A list or map of objects: one group each. */
function Collection({ field, path, order, label }: { field: ConfigField; path: Path; order: readonly string[]; label: string }) {
  const form = useForm()
  const value = valueAt(form, path)
  const item = field.item!
  const fields = withSame(item)
  const [name, setName] = useState('')
  const list = field.type === 'list'
  const steps: (string | number)[] = Array.isArray(value) ? value.map((_, i) => i) : value !== null && typeof value === 'object' ? Object.keys(value) : []
  const fold = useFold(path, steps.length > 2)
  const add = () => {
    const step = list ? steps.length : name.trim()
    setName('')
    if (step === '' || steps.includes(step)) return
    fold.set(true)
    form.put([...path, step], start(fields), order)
  }
  return (
    <Group
      path={path}
      label={
        <>
          {label} {steps.length > 0 && <Badge>{steps.length}</Badge>}
        </>
      }
      doc={field.doc}
      fold={steps.length > 0 ? fold : undefined}
      actions={
        list && (
          <Button size="small" icon={<Plus size={13} aria-hidden />} aria-label={`Add to ${label}`} onClick={add}>
            Add
          </Button>
        )
      }
    >
      <div className="mt-2 space-y-2">
        {steps.map((step, i) => (
          <div key={i} data-path={[...path, step].join('.')} className="rounded-control bg-sunken/60 px-3 py-2">
            <div className="flex items-center gap-2">
              <span className="font-mono text-meta text-muted">{list ? `${i + 1} of ${steps.length}` : step}</span>
              <span className="flex-1" />
              {list && !form.readOnly && i < steps.length - 1 && <Button look="ghost" size="small" aria-label={`Move ${i + 1} down`} icon={<ArrowDown size={13} aria-hidden />} onClick={() => form.change((text) => swap(text, path, i))} />}
              {!form.readOnly && <Bin label={`Remove ${list ? `${i + 1} of ${label}` : step}`} onClick={() => form.remove([...path, step])} />}
            </div>
            <Notes field={{ name: '', type: '' }} wrong={wrongAt(form, [...path, step], false)} />
            <Keys fields={fields} path={[...path, step]} />
          </div>
        ))}
        {!list && !form.readOnly && (
          <span className="flex items-center gap-1.5">
            <input aria-label={`New name in ${label}`} value={name} onChange={(event) => setName(event.target.value)} onKeyDown={(event) => event.key === 'Enter' && (event.preventDefault(), add())} placeholder="Name" autoComplete="off" spellCheck={false} className="control w-[160px]" />
            <Button size="small" icon={<Plus size={13} aria-hidden />} disabled={!name.trim()} onClick={add}>
              Add
            </Button>
          </span>
        )}
      </div>
    </Group>
  )
}

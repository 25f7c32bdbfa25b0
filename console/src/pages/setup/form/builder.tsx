// A condition as rows a person fills in; its text is one click away.
import { Plus, X } from 'lucide-react'
import { useId, useState } from 'react'
import { Button } from '@/ui/button'
import { cx } from '@/ui/cx'
import { Input, Select } from '@/ui/field'
import { Segmented } from '@/ui/tabs'
import { comparisons, partsOf, textOf, type Clause, type Literal } from './condition'
import { eventNames, knownPaths, useForm, valueAt } from './context'
import { Length, Picks, Text, useDraft, type InputProps } from './inputs'

const words: Record<string, string> = { '==': 'is', '!=': 'is not', '<': 'below', '<=': 'at most', '>': 'above', '>=': 'at least' }

const begin: { label: string; clause: Clause }[] = [
  { label: 'What they did', clause: { kind: 'done', event: 'Order Completed', not: false, within: '30d', measure: 'count', op: '>=', value: 1 } },
  { label: 'What is known of them', clause: { kind: 'compare', path: 'traits.country', op: '==', value: '' } },
  { label: 'What is foretold', clause: { kind: 'compare', path: 'scores.clv', op: '>', value: 100 } },
  { label: 'Being in an audience', clause: { kind: 'segment', id: '', not: false } },
  { label: 'Consent', clause: { kind: 'consent', purpose: 'marketing', not: false } },
  { label: 'A formula', clause: { kind: 'text', text: '' } },
]

export function ConditionInput({ path, id, label, order }: InputProps) {
  const form = useForm()
  const value = valueAt(form, path)
  const text = typeof value === 'string' ? value : ''
  const [asText, setAsText] = useState(false)
  const [blank, setBlank] = useState<Clause>()
  const write = (next: string) => (next.trim() ? form.put(path, next, order) : form.remove(path))
  const input = useDraft(text, (next) => form.put(path, next, order), (next) => !next.trim() && form.remove(path))
  if (value !== undefined && value !== null && typeof value !== 'string' && typeof value !== 'boolean') return <p className="text-muted">Written as a tree; edit it in the text.</p>
  const parts = partsOf(text)
  // A formula that is still empty is in no text, and a row all the same.
  const clauses = blank ? [...parts.clauses, blank] : parts.clauses
  const set = (next: Clause[], join = parts.join) => {
    const last = next.at(-1)
    setBlank(last?.kind === 'text' && !last.text.trim() ? last : undefined)
    write(textOf({ join, clauses: next }))
  }
  return (
    <div className="space-y-2">
      <div className="flex flex-wrap items-center gap-2">
        <Segmented
          label={`${label} as`}
          value={asText ? 'text' : 'parts'}
          options={[
            { value: 'parts', label: 'Parts' },
            { value: 'text', label: 'Formula' },
          ]}
          onChange={(as) => setAsText(as === 'text')}
        />
        {!asText && clauses.length > 1 && (
          <Select aria-label={`How the parts of ${label} join`} disabled={form.readOnly} value={parts.join} onChange={(event) => set(clauses, event.target.value as 'all' | 'any')}>
            <option value="all">All of these hold</option>
            <option value="any">Any of these holds</option>
          </Select>
        )}
      </div>
      {asText ? (
        <textarea {...input} id={id} aria-label={label} disabled={form.readOnly} rows={Math.min(10, Math.max(3, input.value.split('\n').length + Math.floor(input.value.length / 60)))} spellCheck={false} className="control h-auto! w-full resize-y py-1.5 font-mono text-meta! leading-[18px]" />
      ) : (
        <>
          {clauses.length === 0 && <p className="text-muted">Holds for everybody.</p>}
          <ul className="space-y-1.5">
            {clauses.map((clause, i) => (
              <li key={i} className="flex items-start gap-1 rounded-control border border-line bg-surface p-1.5">
                <div className="flex min-w-0 flex-1 flex-wrap items-center gap-1.5">
                  <Row clause={clause} onChange={(next) => set(clauses.map((c, j) => (j === i ? next : c)))} />
                </div>
                {!form.readOnly && <Button look="ghost" size="small" aria-label={`Remove part ${i + 1} of ${label}`} icon={<X size={13} aria-hidden />} onClick={() => set(clauses.filter((_, j) => j !== i))} />}
              </li>
            ))}
          </ul>
          {!form.readOnly && (
            <span className="inline-flex items-center gap-1.5">
              <Plus size={13} aria-hidden className="text-muted" />
              <Select id={id} aria-label={`Add a part to ${label}`} value="" onChange={(event) => event.target.value && set([...parts.clauses, begin[Number(event.target.value)]!.clause])}>
                <option value="">Add a part…</option>
                {begin.map((one, i) => (
                  <option key={i} value={i}>
                    {one.label}
                  </option>
                ))}
              </Select>
            </span>
          )}
        </>
      )}
    </div>
  )
}

const literalOf = (text: string, before: Literal): Literal => (text === 'true' ? true : text === 'false' ? false : /^-?\d+(\.\d+)?$/.test(text) && typeof before !== 'string' ? Number(text) : /^-?\d+(\.\d+)?$/.test(text) && before === '' ? Number(text) : text)

function Op({ value, onChange, label }: { value: string; onChange: (op: string) => void; label: string }) {
  const { readOnly } = useForm()
  return (
    <Select aria-label={label} disabled={readOnly} value={value} onChange={(event) => onChange(event.target.value)}>
      {comparisons.map((op) => (
        <option key={op} value={op}>
          {words[op]}
        </option>
      ))}
    </Select>
  )
}

function Not({ not, onChange, yes, no }: { not: boolean; onChange: (not: boolean) => void; yes: string; no: string }) {
  const { readOnly } = useForm()
  return (
    <Select aria-label={`${yes} or ${no}`} disabled={readOnly} value={not ? 'no' : 'yes'} onChange={(event) => onChange(event.target.value === 'no')}>
      <option value="yes">{yes}</option>
      <option value="no">{no}</option>
    </Select>
  )
}

const measures = { happened: 'at all', count: 'times', sum: 'sum of', avg: 'average of', min: 'least', max: 'greatest' } as const

/** One part as a line one can read. */
function Row({ clause, onChange }: { clause: Clause; onChange: (clause: Clause) => void }) {
  const form = useForm()
  const { readOnly } = form
  const id = useId()
  switch (clause.kind) {
    case 'compare':
      return (
        <>
          <Path value={clause.path} onChange={(path) => onChange({ ...clause, path })} id={id} />
          <Op label="Comparison" value={clause.op} onChange={(op) => onChange({ ...clause, op })} />
          <Text aria-label="Value" disabled={readOnly} value={String(clause.value)} onChange={(text) => onChange({ ...clause, value: literalOf(text, clause.value) })} className="w-[120px]" />
        </>
      )
    case 'among':
      return (
        <>
          <Path value={clause.path} onChange={(path) => onChange({ ...clause, path })} id={id} />
          <span className="text-muted">is one of</span>
          <Text aria-label="Values, with commas between" disabled={readOnly} value={clause.values.join(', ')} onChange={(text) => onChange({ ...clause, values: text.split(',').map((one) => literalOf(one.trim(), clause.values[0] ?? '')) })} className="min-w-[160px] flex-1" />
        </>
      )
    case 'known':
      return (
        <>
          <Path value={clause.path} onChange={(path) => onChange({ ...clause, path })} id={id} />
          <Not yes="is known" no="is not known" not={clause.not} onChange={(not) => onChange({ ...clause, not })} />
        </>
      )
    case 'segment':
      return (
        <>
          <Not yes="is in" no="is not in" not={clause.not} onChange={(not) => onChange({ ...clause, not })} />
          <Select aria-label="Audience" disabled={readOnly} value={clause.id} onChange={(event) => onChange({ ...clause, id: event.target.value })}>
            {!form.documents.some((doc) => doc.kind === 'segment' && doc.id === clause.id) && <option value={clause.id}>{clause.id || 'Choose an audience…'}</option>}
            {form.documents
              .filter((doc) => doc.kind === 'segment')
              .map((doc) => (
                <option key={doc.id}>{doc.id}</option>
              ))}
          </Select>
        </>
      )
    case 'consent':
      return (
        <>
          <Not yes="allows" no="does not allow" not={clause.not} onChange={(not) => onChange({ ...clause, not })} />
          <span className="text-muted">use for</span>
          <Text aria-label="Purpose" disabled={readOnly} value={clause.purpose} onChange={(purpose) => onChange({ ...clause, purpose })} className="w-[140px]" />
        </>
      )
    case 'text':
      return <Formula value={clause.text} onChange={(text) => onChange({ kind: 'text', text })} />
    case 'done': {
      const counted = clause.measure !== 'happened'
      return (
        <>
          {counted ? <span className="pl-1 text-muted">did</span> : <Not yes="did" no="did not" not={clause.not} onChange={(not) => onChange({ ...clause, not })} />}
          <Text aria-label="Event" disabled={readOnly} list={`${id}-events`} value={clause.event} onChange={(event) => onChange({ ...clause, event })} className="w-[160px]" />
          <Picks id={`${id}-events`} values={eventNames(form.documents)} />
          <Select
            aria-label="Measure"
            disabled={readOnly}
            value={clause.measure}
            onChange={(event) => {
              const measure = event.target.value as 'count'
              onChange({ ...clause, measure, not: false, property: measure === 'count' || event.target.value === 'happened' ? undefined : (clause.property ?? 'revenue') })
            }}
          >
            {Object.entries(measures).map(([name, text]) => (
              <option key={name} value={name}>
                {text}
              </option>
            ))}
          </Select>
          {clause.property !== undefined && <Text aria-label="Property" disabled={readOnly} value={clause.property} onChange={(property) => onChange({ ...clause, property })} className="w-[110px]" />}
          {counted && (
            <>
              <Op label="Comparison" value={clause.op} onChange={(op) => onChange({ ...clause, op })} />
              <Text aria-label="Number" disabled={readOnly} inputMode="decimal" value={String(clause.value)} takes={/^-?\d+(\.\d+)?$/} onChange={(text) => onChange({ ...clause, value: Number(text) })} className="w-[72px] text-right tabular-nums" />
            </>
          )}
          <span className="text-muted">{clause.within ? 'within' : 'ever; within'}</span>
          <Length label="Window" disabled={readOnly} value={clause.within ?? ''} onChange={(within) => onChange({ ...clause, within: within || undefined })} />
          {clause.where ? (
            <>
              <span className="text-muted">where</span>
              <Text aria-label="Property of the event" disabled={readOnly} value={clause.where.path} takes={/^[a-zA-Z_]\w*(\.[a-zA-Z_]\w*)*$/} onChange={(at) => clause.where && onChange({ ...clause, where: { ...clause.where, path: at } })} className="w-[110px]" />
              <Op label="Comparison of the property" value={clause.where.op} onChange={(op) => clause.where && onChange({ ...clause, where: { ...clause.where, op } })} />
              <Text aria-label="Value of the property" disabled={readOnly} value={String(clause.where.value)} onChange={(text) => clause.where && onChange({ ...clause, where: { ...clause.where, value: literalOf(text, clause.where.value) } })} className="w-[100px]" />
              {!readOnly && <Button look="ghost" size="small" aria-label="Remove where" icon={<X size={12} aria-hidden />} onClick={() => onChange({ ...clause, where: undefined })} />}
            </>
          ) : (
            !readOnly && (
              <Button look="ghost" size="small" onClick={() => onChange({ ...clause, where: { path: 'revenue', op: '>', value: 0 } })}>
                where…
              </Button>
            )
          )}
        </>
      )
    }
  }
}

function Path({ value, onChange, id }: { value: string; onChange: (path: string) => void; id: string }) {
  const form = useForm()
  // A half-written path is no condition; it is taken once it has its two parts.
  const input = useDraft(value, (text) => /^[a-zA-Z_]\w*(\.[a-zA-Z_]\w*)+$/.test(text) && onChange(text))
  return (
    <>
      <Input {...input} aria-label="What" disabled={form.readOnly} list={`${id}-paths`} autoComplete="off" spellCheck={false} className="w-[150px]" />
      <Picks id={`${id}-paths`} values={knownPaths(form.documents)} />
    </>
  )
}

function Formula({ value, onChange }: { value: string; onChange: (text: string) => void }) {
  const { readOnly } = useForm()
  const input = useDraft(value, () => {}, (text) => onChange(text))
  return <textarea {...input} aria-label="Formula" disabled={readOnly} rows={Math.min(8, 1 + Math.floor(input.value.length / 56))} spellCheck={false} placeholder='traits.points + 10 > 50' className={cx('control h-auto! min-h-[30px] w-full resize-y py-1 font-mono text-meta! leading-[20px]')} />
}

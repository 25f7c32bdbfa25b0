import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState, type FormEvent } from 'react'
import { ApiError, post } from '@/api/client'
import { configQuery } from '@/api/queries'
import type { Config, ConfigApplied, ConfigChange, ConfigPlan, Proposal } from '@/api/types'
import { lineDiff, parseDiff } from '@/format/diff'
import { plural } from '@/format/number'
import { clock } from '@/format/time'
import { Button } from '@/ui/button'
import { Diff } from '@/ui/diff'
import { Dialog, DialogButtons } from '@/ui/dialog'
import { Field, Input } from '@/ui/field'
import { Badge } from '@/ui/parts'
import { Refusal, SkeletonRows } from '@/ui/states'
import { useToast } from '@/ui/toast'

/** Shows what a change does before it does it, and applies it. Nobody's work is overwritten unseen. */
export function PublishDialog({ open, onClose, yaml, base, onApplied }: {
  open: boolean
  onClose: () => void
  yaml: string
  /** The config version the work began from. */
  base: number
  onApplied: (version: number) => void
}) {
  const client = useQueryClient()
  const toast = useToast()
  const undo = useUndo()
  const [note, setNote] = useState('')
  const [override, setOverride] = useState('')
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  const [theirs, setTheirs] = useState<Config>()
  const plan = useQuery({
    queryKey: ['plan', yaml, theirs?.version],
    queryFn: () => post<ConfigPlan>('/v1/config/plan', { yaml }),
    enabled: open,
    gcTime: 0,
  })
  const changes = plan.data?.changes ?? []
  const errors = plan.data?.errors ?? []

  const close = () => {
    setError(undefined)
    setTheirs(undefined)
    onClose()
  }
  const mustPropose = plan.data?.secondPerson !== undefined && plan.data.secondPerson !== ''
  const propose = async () => {
    setBusy(true)
    setError(undefined)
    try {
      const proposal = await post<Proposal>('/v1/config/proposals', { yaml, expectVersion: theirs?.version ?? base, note })
      setNote('')
      toast.say(`Sent for review as proposal ${proposal.id}. It is live once somebody publishes it.`)
      await client.invalidateQueries({ queryKey: ['config'] })
      onApplied(0)
      close()
    } catch (cause) {
      setError(cause)
    } finally {
      setBusy(false)
    }
  }
  const apply = async (event: FormEvent) => {
    event.preventDefault()
    if (mustPropose) return propose()
    setBusy(true)
    setError(undefined)
    try {
      const { version } = await post<ConfigApplied>('/v1/config/apply', { yaml, expectVersion: theirs?.version ?? base, note, override: override || undefined })
      setNote('')
      setOverride('')
      toast.say(`Applied as version ${version}`, { label: 'Undo', run: () => undo(version) })
      await client.invalidateQueries()
      onApplied(version)
      close()
    } catch (cause) {
      if (cause instanceof ApiError && cause.status === 409) setTheirs(await client.fetchQuery({ ...configQuery, staleTime: 0 }))
      else setError(cause)
    } finally {
      setBusy(false)
    }
  }

  return (
    <Dialog open={open} onClose={close} title="Review the change" wide note={plan.data && errors.length === 0 ? plural(changes.length, 'document changes', 'documents change') : undefined}>
      <form onSubmit={(event) => void apply(event)} className="space-y-4">
        {plan.isPending ? (
          <SkeletonRows rows={5} />
        ) : plan.error ? (
          <Refusal error={plan.error} />
        ) : errors.length > 0 ? (
          <ul className="space-y-1 rounded-control bg-bad-soft px-3 py-2 text-bad">
            {errors.map((item, i) => (
              <li key={i}>
                Line {item.line}: {item.message}
                {item.hint && `. ${item.hint}`}
              </li>
            ))}
          </ul>
        ) : changes.length === 0 ? (
          <p className="text-muted">This means the same as what is live. There is nothing to apply.</p>
        ) : (
          !theirs && changes.map((change) => <Change key={`${change.kind} ${change.id}`} change={change} />)
        )}
        {theirs && <Conflict theirs={theirs} changes={changes} yaml={yaml} />}
        <Refusal error={error} />
        {changes.length > 0 && errors.length === 0 && (
          <Field label="Note" hint="Why, for whoever reads the history. May be empty.">
            {(id) => <Input id={id} value={note} onChange={(event) => setNote(event.target.value)} maxLength={200} className="w-full" />}
          </Field>
        )}
        {plan.data?.gate && <p className={plan.data.gate.refused ? 'rounded-control bg-bad-soft px-3 py-2' : 'text-muted'}>By the decisions logged: {plan.data.gate.sentence}.</p>}
        {plan.data?.gate?.refused && !mustPropose && (
          <Field label="Reason to publish it all the same" hint="Kept in the history and the audit log.">
            {(id) => <Input id={id} value={override} onChange={(event) => setOverride(event.target.value)} maxLength={400} className="w-full" />}
          </Field>
        )}
        {mustPropose && <p className="rounded-control bg-accent-soft px-3 py-2">Somebody else publishes this: an approval asks for a second person{plan.data?.secondPerson === 'admin' ? ' who is an admin' : ''}. Send it for review, and they see what you see here.</p>}
        <DialogButtons>
          <Button onClick={close}>{theirs ? 'Back to editing' : 'Cancel'}</Button>
          {!mustPropose && (
            <Button disabled={busy || changes.length === 0 || errors.length > 0} onClick={() => void propose()}>
              Send for review
            </Button>
          )}
          <Button type="submit" look="solid" busy={busy} disabled={changes.length === 0 || errors.length > 0}>
            {mustPropose ? 'Send for review' : theirs ? 'Apply mine over theirs' : 'Apply'}
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  )
}

const verbs: Record<string, { label: string; look: 'good' | 'accent' | 'bad' }> = {
  created: { label: 'new', look: 'good' },
  changed: { label: 'changed', look: 'accent' },
  deleted: { label: 'deleted', look: 'bad' },
}

export function Change({ change }: { change: ConfigChange }) {
  const verb = verbs[change.op] ?? { label: change.op, look: 'accent' as const }
  return (
    <section>
      <h3 className="mb-1.5 flex items-center gap-2 font-medium">
        <span className="text-muted">{change.kind}</span> {change.id}
        <Badge look={verb.look}>{verb.label}</Badge>
      </h3>
      <Diff label={`Change of ${change.kind} ${change.id}`} lines={parseDiff(change.diff ?? '')} className="max-h-[300px]" />
    </section>
  )
}

/** Somebody else was faster: both versions are shown, and neither is lost. */
function Conflict({ theirs, changes, yaml }: { theirs: Config; changes: ConfigChange[]; yaml: string }) {
  const first = changes[0]
  const doc = theirs.documents.find((d) => d.kind === first?.kind && d.id === first.id)
  return (
    <section role="alert" className="rounded-card border border-line p-3">
      <h3 className="font-semibold text-warn">Version {theirs.version} was applied while you were editing</h3>
      <p className="mt-0.5 mb-2 text-muted">
        {doc ? `${doc.author} saved this document, version ${doc.version}, at ${clock(doc.updatedAt)}.` : 'The document changed or was removed.'} Nothing of yours is lost. Below is what yours would change of theirs: go back and bring their lines over, or apply yours on top.
      </p>
      {doc && <Diff label="From their version to yours" lines={lineDiff(doc.yaml, yaml)} className="max-h-[260px]" />}
    </section>
  )
}

/** Takes a version back, as a new version. */
export function useUndo() {
  const client = useQueryClient()
  const toast = useToast()
  return (version: number) => {
    post<ConfigApplied>('/v1/config/undo', { version })
      .then((done) => {
        toast.say(`Version ${version} was taken back, as version ${done.version}`)
        return client.invalidateQueries()
      })
      .catch(toast.fail)
  }
}

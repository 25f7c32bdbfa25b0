import { useQuery, useQueryClient } from '@tanstack/react-query'
import { ChevronRight, GitPullRequest } from 'lucide-react'
import { useState } from 'react'
import { post } from '@/api/client'
import { proposalQuery, proposalsQuery } from '@/api/queries'
import type { ConfigApplied, Proposal, ProposalDetail } from '@/api/types'
import { lineDiff } from '@/format/diff'
import { moment } from '@/format/time'
import { useMay, useSession } from '@/shell/session'
import { Button } from '@/ui/button'
import { cx } from '@/ui/cx'
import { ReasonDialog } from '@/ui/dialog'
import { Diff } from '@/ui/diff'
import { Field, Input } from '@/ui/field'
import { Ago, Badge } from '@/ui/parts'
import { Empty, Loaded, Refusal } from '@/ui/states'
import { useToast } from '@/ui/toast'
import { Change, useUndo } from './publish'

const looks = { open: 'accent', published: 'good', refused: 'bad', withdrawn: 'plain' } as const
const shownEnded = 20

/** Changes that wait for a second person, and what became of earlier ones. */
export function Proposals() {
  const query = useQuery(proposalsQuery)
  return (
    <Loaded query={query}>
      {(all) => {
        const open = all.filter((p) => p.state === 'open')
        const ended = all.filter((p) => p.state !== 'open').slice(0, shownEnded)
        return (
          <div className="min-h-0 space-y-3 overflow-y-auto">
            {open.length === 0 ? (
              <div className="card">
                <Empty icon={<GitPullRequest size={18} />} title="Nothing waits for review">
                  Choose “Send for review” when you have changed a document. A document of kind approval makes that the only way, for the kinds it names.
                </Empty>
              </div>
            ) : (
              <>
              <h2 className="sr-only">Waiting</h2>
              <ul className="space-y-3">
                {open.map((proposal, i) => (
                  <li key={proposal.id} className="card">
                    <OneProposal proposal={proposal} first={i === 0} />
                  </li>
                ))}
              </ul>
              </>
            )}
            {ended.length > 0 && (
              <section>
                <h2 className="mb-2 text-card font-semibold">Decided</h2>
                <ul className="card divide-y divide-line">
                  {ended.map((proposal) => (
                    <li key={proposal.id}>
                      <OneProposal proposal={proposal} />
                    </li>
                  ))}
                </ul>
              </section>
            )}
          </div>
        )
      }}
    </Loaded>
  )
}

const refsOf = (p: Proposal) => [...p.changed.map((ref) => `${ref.kind} ${ref.id}`), ...p.deleted.map((ref) => `− ${ref.kind} ${ref.id}`)].join(', ')

function OneProposal({ proposal, first = false }: { proposal: Proposal; first?: boolean }) {
  const [open, setOpen] = useState(first)
  return (
    <>
      <button type="button" aria-expanded={open} onClick={() => setOpen(!open)} className="flex w-full flex-wrap items-center gap-x-3 gap-y-1 px-4 py-2.5 text-left">
        <ChevronRight size={13} aria-hidden className={cx('shrink-0 text-muted transition-transform', open && 'rotate-90')} />
        <span className="w-8 shrink-0 font-medium tabular-nums">{proposal.id}</span>
        <span className="min-w-0 flex-1">
          <span className="block">{proposal.note || <span className="text-muted">No note</span>}</span>
          <span className="clip block text-meta text-muted">{refsOf(proposal)}</span>
        </span>
        <Badge look={looks[proposal.state]}>{proposal.state === 'open' ? 'waits' : proposal.state}</Badge>
        <span className="text-muted">{proposal.author}</span>
        <span className="w-16 text-right" title={moment(proposal.time)}>
          <Ago time={proposal.time} className="text-muted" />
        </span>
      </button>
      {open && <Detail id={proposal.id} />}
    </>
  )
}

function Detail({ id }: { id: number }) {
  const query = useQuery(proposalQuery(id))
  return <div className="space-y-3 px-4 pb-4 pl-6">{<Loaded query={query}>{(proposal) => <Review proposal={proposal} />}</Loaded>}</div>
}

function Review({ proposal }: { proposal: ProposalDetail }) {
  const may = useMay()
  const { session } = useSession()
  const client = useQueryClient()
  const toast = useToast()
  const undo = useUndo()
  const [refusing, setRefusing] = useState(false)
  const [error, setError] = useState<unknown>()
  const [busy, setBusy] = useState(false)
  const [override, setOverride] = useState('')
  const gate = proposal.state === 'open' ? proposal.gate : undefined
  const mine = session.name === proposal.author
  const blocked = proposal.secondPerson && mine ? 'Somebody else publishes it: an approval asks for a second person.' : proposal.secondPerson === 'admin' && !may.admin ? 'An approval asks that an admin publishes it.' : ''
  const publish = async () => {
    setBusy(true)
    setError(undefined)
    try {
      const { version } = await post<ConfigApplied>(`/v1/config/proposals/${proposal.id}/publish`, override ? { override } : {})
      toast.say(`Published as version ${version}`, { label: 'Undo', run: () => undo(version) })
    } catch (cause) {
      setError(cause)
    } finally {
      setBusy(false)
      await client.invalidateQueries({ queryKey: ['config'] })
    }
  }
  return (
    <>
      {proposal.state !== 'open' && (
        <p className="text-muted">
          {proposal.state === 'published' ? `Published as version ${proposal.version}` : proposal.state === 'refused' ? 'Refused' : 'Withdrawn'} by {proposal.endedBy}
          {proposal.endedAt && `, ${moment(proposal.endedAt)}`}.{proposal.reason && ` “${proposal.reason}”`}
        </p>
      )}
      {proposal.moved.map((doc) => (
        <section key={`${doc.kind} ${doc.id}`} role="alert" className="rounded-card border border-line p-3">
          <h3 className="font-semibold text-warn">
            {doc.author} changed {doc.kind} {doc.id} meanwhile, in version {doc.version}
          </h3>
          <p className="mt-0.5 mb-2 text-muted">It cannot be published as it is: nobody’s work is overwritten. Below is what it would change of theirs; its author can propose it again on top.</p>
          <Diff label={`From version ${doc.version} to the proposal`} lines={lineDiff(doc.yaml, textOf(proposal, doc.kind, doc.id))} className="max-h-[260px]" />
        </section>
      ))}
      {proposal.changes.map((change) => (
        <Change key={`${change.kind} ${change.id}`} change={change} />
      ))}
      {proposal.changes.length === 0 && <p className="text-muted">{proposal.state === 'open' ? 'What it asks for is live already.' : 'It changes nothing of what is live.'}</p>}
      {gate && <p className={gate.refused ? 'rounded-control bg-bad-soft px-3 py-2' : 'text-muted'}>By the decisions logged: {gate.sentence}.</p>}
      {gate?.refused && may.edit && !blocked && (
        <Field label="Reason to publish it all the same" hint="Kept in the history and the audit log.">
          {(id) => <Input id={id} value={override} onChange={(event) => setOverride(event.target.value)} maxLength={400} className="w-full" />}
        </Field>
      )}
      <Refusal error={error} />
      {proposal.state === 'open' && may.edit && (
        <div className="flex flex-wrap items-center gap-2">
          <Button look="solid" busy={busy} disabled={blocked !== '' || proposal.moved.length > 0 || (gate?.refused === true && override.trim() === '')} onClick={() => void publish()}>
            Publish
          </Button>
          <Button onClick={() => setRefusing(true)}>{mine ? 'Withdraw…' : 'Refuse…'}</Button>
          {blocked && <span className="text-meta text-muted">{blocked}</span>}
        </div>
      )}
      <CloseDialog open={refusing} onClose={() => setRefusing(false)} id={proposal.id} mine={mine} />
    </>
  )
}

/** The document's part of the proposal's text. */
const textOf = (proposal: ProposalDetail, kind: string, id: string) => proposal.yaml.split(/^---\n/m).find((text) => new RegExp(`^kind: *${kind}\\b`, 'm').test(text) && new RegExp(`^id: *["']?${id.replace(/[^a-z0-9_-]/gi, '.')}`, 'm').test(text)) ?? ''

function CloseDialog({ open, onClose, id, mine }: { open: boolean; onClose: () => void; id: number; mine: boolean }) {
  const client = useQueryClient()
  const toast = useToast()
  const close = async (reason: string) => {
    await post(`/v1/config/proposals/${id}/close`, { reason })
    toast.say(mine ? 'Withdrawn' : 'Refused; its author reads why')
    await client.invalidateQueries({ queryKey: ['config'] })
  }
  return (
    <ReasonDialog
      open={open}
      onClose={onClose}
      title={mine ? 'Withdraw this proposal?' : 'Refuse this proposal?'}
      note="Nothing changes. The proposal stays in the list with its end."
      hint={mine ? 'May be empty' : 'Its author reads this'}
      verb={mine ? 'Withdraw' : 'Refuse'}
      look="danger"
      required={!mine}
      onSubmit={close}
    />
  )
}

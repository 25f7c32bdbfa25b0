import { useQuery, useQueryClient } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { Ban, Check, GitMerge, ShieldQuestion, X } from 'lucide-react'
import { useState } from 'react'
import { post } from '@/api/client'
import { configQuery, heldValuesQuery, reviewsQuery } from '@/api/queries'
import type { HeldValue, Review } from '@/api/types'
import { plural } from '@/format/number'
import { identifierKind } from '@/format/person'
import { moment } from '@/format/time'
import { Evidence, joined } from '@/pages/person/evidence'
import { useMay } from '@/shell/session'
import { Button } from '@/ui/button'
import { Confirm, ReasonDialog } from '@/ui/dialog'
import { Field, Input } from '@/ui/field'
import { Ago, Badge, Card } from '@/ui/parts'
import { Empty, Loaded } from '@/ui/states'
import { Table, TableCard, type Column } from '@/ui/table'
import { Tabs } from '@/ui/tabs'
import { useToast } from '@/ui/toast'
import { SetupPage } from './frame'

const route = getRouteApi('/setup/identity')

/** What identity could not settle by itself, what it set aside, and the rules it goes by. */
export function IdentityPage() {
  const { view } = route.useSearch()
  const reviews = useQuery(reviewsQuery).data?.total
  const held = useQuery(heldValuesQuery).data?.length
  const may = useMay()
  const [holding, setHolding] = useState(false)
  return (
    <SetupPage
      title="Identity"
      purpose="Who is one person: what waits for your word, and by which rules."
      actions={
        view === 'values' && may.edit ? (
          <Button look="solid" icon={<Ban size={14} aria-hidden />} onClick={() => setHolding(true)}>
            Hold a value
          </Button>
        ) : undefined
      }
    >
      <Tabs
        label="Identity"
        tabs={[
          { label: 'To decide', bySearch: true, count: reviews, link: { to: '/setup/identity', search: {} } },
          { label: 'Values set aside', bySearch: true, count: held, link: { to: '/setup/identity', search: { view: 'values' } } },
          { label: 'Rules', bySearch: true, link: { to: '/setup/identity', search: { view: 'rules' } } },
        ]}
      />
      {view === 'values' ? <Values /> : view === 'rules' ? <Rules /> : <Reviews />}
      <HoldDialog open={holding} onClose={() => setHolding(false)} />
    </SetupPage>
  )
}

function Reviews() {
  const query = useQuery(reviewsQuery)
  return (
    <Loaded query={query}>
      {({ reviews }) =>
        !reviews?.length ? (
          <div className="card">
            <Empty icon={<GitMerge size={18} />} title="Nothing waits for a decision">
              When evidence would unite two people who are known to be different, or is too weak to go by itself, it waits here for somebody’s word.
            </Empty>
          </div>
        ) : (
          <ul className="space-y-3">
            {reviews.map((review) => (
              <ReviewCard key={review.link.id} review={review} />
            ))}
          </ul>
        )
      }
    </Loaded>
  )
}

function ReviewCard({ review }: { review: Review }) {
  const may = useMay()
  const client = useQueryClient()
  const toast = useToast()
  const [busy, setBusy] = useState<'accept' | 'refuse'>()
  const decide = async (verdict: 'accept' | 'refuse') => {
    setBusy(verdict)
    try {
      await post(`/v1/identity/reviews/${encodeURIComponent(review.link.id)}/${verdict}`)
      toast.say(verdict === 'accept' ? 'They are one person from now on' : 'They stay apart')
      await Promise.all([client.invalidateQueries({ queryKey: ['identity'] }), client.invalidateQueries({ queryKey: ['person'] })])
    } catch (cause) {
      toast.fail(cause)
    } finally {
      setBusy(undefined)
    }
  }
  return (
    <li className="card p-4">
      <div className="flex flex-wrap items-start gap-x-4 gap-y-3">
        <div className="min-w-0 flex-1 basis-[300px]">
          <p className="font-medium">{joined(review.link) ?? review.link.evidence}?</p>
          <p className="mt-0.5 text-muted">{review.why}</p>
          <p className="mt-1 flex flex-wrap items-center gap-x-2 text-meta text-muted">
            <Badge>{review.link.kind}</Badge>
            <span title={moment(review.link.at)}>
              <Ago time={review.link.at} suffix="ago" />
            </span>
            · by {review.link.by}
            <Link to="/people/$ref" params={{ ref: review.a }} className="link">
              first person
            </Link>
            <Link to="/people/$ref" params={{ ref: review.b }} className="link">
              second person
            </Link>
          </p>
        </div>
        {may.edit ? (
          <div className="flex gap-2">
            <Button icon={<X size={14} aria-hidden />} busy={busy === 'refuse'} disabled={busy !== undefined} onClick={() => void decide('refuse')}>
              Keep apart
            </Button>
            <Button icon={<Check size={14} aria-hidden />} busy={busy === 'accept'} disabled={busy !== undefined} onClick={() => void decide('accept')}>
              One person
            </Button>
          </div>
        ) : (
          <Badge>needs a marketer</Badge>
        )}
      </div>
      <div className="mt-3 border-t border-line pt-3">
        <Evidence link={review.link} />
      </div>
    </li>
  )
}

const columns: Column<HeldValue>[] = [
  {
    id: 'value',
    head: 'Value',
    cell: (row) => (
      <>
        <span className="text-muted">{identifierKind(row.identifier.kind)}</span> <span className="font-mono text-meta">{row.identifier.value}</span>
      </>
    ),
  },
  { id: 'reason', head: 'Why', from: 'md', cell: (row) => <span title={row.reason}>{row.reason}</span> },
  { id: 'people', head: 'Brings together', right: true, from: 'md', width: 'w-[130px]', cell: (row) => plural(row.people, 'person', 'people') },
  { id: 'by', head: 'By', from: 'lg', width: 'w-[120px]', cell: (row) => <span className="text-muted">{row.by}</span> },
  { id: 'at', head: 'Since', right: true, width: 'w-[90px]', cell: (row) => <Ago time={row.at} className="text-muted" /> },
]

function Values() {
  const query = useQuery(heldValuesQuery)
  const may = useMay()
  const client = useQueryClient()
  const toast = useToast()
  const [releasing, setReleasing] = useState<HeldValue>()
  const shown: Column<HeldValue>[] = may.edit
    ? [
        ...columns,
        {
          id: 'release',
          head: <span className="sr-only">Release</span>,
          width: 'w-[100px]',
          right: true,
          cell: (row) => (
            <Button size="small" onClick={() => setReleasing(row)}>
              Release…
            </Button>
          ),
        },
      ]
    : columns
  return (
    <TableCard className="flex-1">
      <Loaded query={query}>
        {(values) => (
          <Table
            label="Values set aside"
            columns={shown}
            rows={values}
            rowKey={(row) => `${row.identifier.kind}:${row.identifier.value}`}
            empty={
              <Empty icon={<ShieldQuestion size={18} />} title="No value is set aside">
                A value that too many people share (a shop’s e-mail, a test phone number) is set aside by itself, so that it unites nobody. You can also hold one by hand.
              </Empty>
            }
          />
        )}
      </Loaded>
      <Confirm
        open={releasing !== undefined}
        onClose={() => setReleasing(undefined)}
        title={`Release ${releasing?.identifier.value ?? ''}?`}
        verb="Release"
        onConfirm={async () => {
          await post('/v1/identity/quarantine/release', releasing?.identifier)
          toast.say('It names people again')
          await client.invalidateQueries({ queryKey: ['identity'] })
        }}
      >
        It names people again, and its evidence counts: {plural(releasing?.people ?? 0, 'person', 'people')} may come together. The rules can set it aside again.
      </Confirm>
    </TableCard>
  )
}

function HoldDialog({ open, onClose }: { open: boolean; onClose: () => void }) {
  const [kind, setKind] = useState('email')
  const [value, setValue] = useState('')
  const client = useQueryClient()
  const toast = useToast()
  const hold = async (reason: string) => {
    await post('/v1/identity/quarantine', { kind: kind.trim(), value: value.trim(), reason })
    toast.say('It names nobody from now on')
    setValue('')
    await client.invalidateQueries({ queryKey: ['identity'] })
  }
  return (
    <ReasonDialog
      open={open}
      onClose={onClose}
      title="Hold a value"
      note="It names nobody until it is released; whoever was united by it alone comes apart."
      hint="Kept with it, for whoever asks later"
      verb="Hold it"
      ready={Boolean(kind.trim() && value.trim())}
      onSubmit={hold}
    >
      <Field label="Kind">
        {(id) => (
          <>
            <Input id={id} list={`${id}-kinds`} value={kind} onChange={(event) => setKind(event.target.value)} required className="w-full" />
            <datalist id={`${id}-kinds`}>
              {['email', 'phone', 'userId', 'anonymousId', 'loyaltyCard'].map((known) => (
                <option key={known} value={known} />
              ))}
            </datalist>
          </>
        )}
      </Field>
      <Field label="Value">{(id) => <Input id={id} value={value} onChange={(event) => setValue(event.target.value)} required autoComplete="off" className="w-full" />}</Field>
    </ReasonDialog>
  )
}

const builtIn = ['userId', 'email', 'phone', 'anonymousId', 'loyaltyCard']

function Rules() {
  const query = useQuery(configQuery)
  const may = useMay()
  return (
    <Loaded query={query}>
      {(config) => {
        const documents = config.documents.filter((doc) => doc.kind === 'identifier')
        const rest = builtIn.filter((kind) => !documents.some((doc) => doc.id === kind))
        return (
          <div className="grid items-start gap-3 lg:grid-cols-2">
            <Card title="Rules of your own" note="How each kind of identifier is read, and how far it is trusted">
              {documents.length === 0 ? (
                <p className="py-2 text-muted">None: every kind goes by the rules built in.</p>
              ) : (
                <ul>
                  {documents.map((doc) => (
                    <li key={doc.id} className="flex items-center gap-3 border-b border-line py-2 last:border-0">
                      <Link to="/setup/config/$kind/$id" params={{ kind: 'identifier', id: doc.id }} className="link flex-1">
                        {identifierKind(doc.id)}
                      </Link>
                      <span className="text-meta text-muted">
                        version {doc.version}, by {doc.author}
                      </span>
                    </li>
                  ))}
                </ul>
              )}
            </Card>
            <Card title="Built in" note="Write a rule to change one; you see what it would change before it does">
              <ul>
                {rest.map((kind) => (
                  <li key={kind} className="flex items-center gap-3 border-b border-line py-2 last:border-0">
                    <span className="flex-1">{identifierKind(kind)}</span>
                    {may.edit && (
                      <Link to="/setup/config/$kind/$id" params={{ kind: 'identifier', id: kind }} className="link">
                        Write a rule
                      </Link>
                    )}
                  </li>
                ))}
              </ul>
            </Card>
          </div>
        )
      }}
    </Loaded>
  )
}


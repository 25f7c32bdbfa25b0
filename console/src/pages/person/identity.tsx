import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Fingerprint, Link2, Unlink } from 'lucide-react'
import { useState } from 'react'
import { post } from '@/api/client'
import { identityQuery } from '@/api/queries'
import type { IdentityLink, Person } from '@/api/types'
import { decimal, plural } from '@/format/number'
import { identifierKind } from '@/format/person'
import { moment } from '@/format/time'
import { useMay } from '@/shell/session'
import { Button } from '@/ui/button'
import { Confirm } from '@/ui/dialog'
import { Ago, Badge, Bar, Card, CopyId } from '@/ui/parts'
import { Loaded } from '@/ui/states'
import { useToast } from '@/ui/toast'
import { Evidence, joined } from './evidence'
import { LinkGraph } from './graph'

const strongest = 40

/** What joined the fragments of one person, and the way to take it back. */
export function IdentityTab({ person }: { person: Person }) {
  const query = useQuery(identityQuery(person.id))
  const [undoing, setUndoing] = useState<IdentityLink>()
  const [open, setOpen] = useState<string>()
  const client = useQueryClient()
  const toast = useToast()
  const may = useMay()
  return (
    <Loaded query={query}>
      {(identity) => (
        <div className="grid items-start gap-3 lg:grid-cols-[360px_minmax(0,1fr)]">
          <Card title="Known as" note={plural(person.identifiers.length, 'identifier')}>
            <ul>
              {person.identifiers.map((identifier) => (
                <li key={`${identifier.kind}:${identifier.value}`} className="flex min-h-9 items-center gap-3 border-b border-line last:border-0">
                  <span className="w-16 shrink-0 text-muted">{identifierKind(identifier.kind)}</span>
                  <CopyId id={identifier.value} className="min-w-0 text-text" />
                </li>
              ))}
            </ul>
            <Fragments fragments={identity.fragments ?? []} />
          </Card>
          <Card title="Why these are one person" note="Each link with its evidence. The more bits, the less it can be chance: 20 bits is one in a million.">
            <LinkGraph links={identity.links ?? []} chosen={open} onChoose={setOpen} />
            {(identity.links ?? []).length === 0 ? (
              <p className="py-3 text-muted">There is one fragment and nothing to join: every event carried the same identifier.</p>
            ) : (
              <ul>
                {identity.links?.map((link) => (
                  <li key={link.id} className="flex flex-wrap items-start gap-x-4 gap-y-2 border-b border-line py-3 last:border-0 md:flex-nowrap">
                    <span aria-hidden className="mt-0.5 flex size-6 shrink-0 items-center justify-center rounded-full bg-accent-soft text-accent">
                      <Link2 size={13} />
                    </span>
                    <div className="min-w-0 flex-1">
                      <p className={link.withdrawn && 'text-muted line-through'}>{joined(link) ?? link.evidence}</p>
                      <p className="mt-0.5 flex flex-wrap items-center gap-x-2 text-meta text-muted">
                        <Badge>{link.kind}</Badge>
                        {link.state === 'held' && <Badge look="warn">does not count</Badge>}
                        <span title={moment(link.at)}>
                          <Ago time={link.at} suffix="ago" />
                        </span>
                        · by {link.by}
                        <button type="button" aria-expanded={open === link.id} onClick={() => setOpen(open === link.id ? undefined : link.id)} className="font-medium text-accent hover:underline">
                          Evidence
                        </button>
                        {link.withdrawn && (
                          <Badge look="warn">
                            taken back <Ago time={link.withdrawn.at} suffix="ago" /> by {link.withdrawn.by}
                          </Badge>
                        )}
                      </p>
                      {open === link.id && (
                        <div className="rise mt-2 rounded-control bg-sunken p-3">
                          <Evidence link={link} />
                          <p className="mt-2 font-mono text-meta break-all text-muted">{link.evidence}</p>
                        </div>
                      )}
                    </div>
                    {link.bits !== undefined && link.bits > 0 && (
                      <div className="w-24 shrink-0 pt-1">
                        <Bar share={link.bits / strongest} label={`${decimal(link.bits)} bits of evidence`} />
                        <p className="mt-1 text-right text-meta text-muted tabular-nums">{decimal(link.bits)} bits</p>
                      </div>
                    )}
                    {may.edit && !link.withdrawn && (
                      <Button size="small" icon={<Unlink size={13} aria-hidden />} onClick={() => setUndoing(link)}>
                        Unmerge
                      </Button>
                    )}
                  </li>
                ))}
              </ul>
            )}
          </Card>
          <Confirm
            open={undoing !== undefined}
            onClose={() => setUndoing(undefined)}
            title="Take this link back?"
            verb="Unmerge"
            onConfirm={async () => {
              await post(`/v1/people/${encodeURIComponent(person.id)}/unmerge`, { link: undoing?.id })
              toast.say('The link is taken back; both sides keep what was theirs')
              await client.invalidateQueries({ queryKey: ['person'] })
              await client.invalidateQueries({ queryKey: ['people'] })
            }}
          >
            <p>{undoing && (joined(undoing) ?? undoing.evidence)}</p>
            <p className="mt-2">The fragments on its two sides become two people again, each with their own history, traits and consent. Nothing is lost, and the same evidence will not join them again by itself.</p>
          </Confirm>
        </div>
      )}
    </Loaded>
  )
}

function Fragments({ fragments }: { fragments: { id: string }[] }) {
  if (fragments.length < 2) return null
  return (
    <>
      <h3 className="mt-4 font-medium">{plural(fragments.length, 'fragment')}</h3>
      <p className="mb-1 text-meta text-muted">Pieces of history that keep apart, so that any link can be taken back.</p>
      <ul>
        {fragments.map((fragment) => (
          <li key={fragment.id} className="flex items-center gap-2 py-1">
            <Fingerprint size={14} aria-hidden className="shrink-0 text-muted" />
            <CopyId id={fragment.id} />
          </li>
        ))}
      </ul>
    </>
  )
}

import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { post } from '@/api/client'
import { peopleQuery } from '@/api/queries'
import type { Action, MessagePreview } from '@/api/types'
import { called, isNamed, mainIdentifier } from '@/format/person'
import { plain } from '@/format/person'
import { useMay } from '@/shell/session'
import { SearchField, Select } from '@/ui/field'
import { Avatar, Code, Rows } from '@/ui/parts'
import { Empty, Failure, Skeleton } from '@/ui/states'

/** An action as one person would read it: nothing is sent, shown or counted. */
export function PreviewAs({ action, person, onPerson }: { action: Pick<Action, 'id' | 'placements'>; person?: string; onPerson: (id: string) => void }) {
  const may = useMay()
  const [q, setQ] = useState('')
  const [locale, setLocale] = useState('')
  const [placement, setPlacement] = useState('')
  const found = (useInfiniteQuery(peopleQuery(q)).data?.pages[0]?.people ?? []).slice().sort((a, b) => Number(isNamed(b.name)) - Number(isNamed(a.name))).slice(0, 6)
  const chosen = person ?? found[0]?.id
  const query = useQuery({
    queryKey: ['preview', action.id, chosen, placement, locale],
    queryFn: () => post<MessagePreview>(`/v1/actions/${encodeURIComponent(action.id)}/preview`, { person: { id: chosen }, ...(placement && { placement }), ...(locale && { locale }) }),
    enabled: chosen !== undefined && may.edit,
    placeholderData: keepPreviousData,
    retry: false,
  })
  if (!may.edit) return <Empty title="Your role may not read messages as somebody">A marketer or an admin may.</Empty>
  return (
    <div className="grid items-start gap-4 md:grid-cols-2">
      <div className="space-y-2">
        <SearchField label="As whom?" value={q} onChange={setQ} />
        <ul aria-label="As whom">
          {found.map((one) => (
            <li key={one.id}>
              <button type="button" aria-pressed={one.id === chosen} onClick={() => onPerson(one.id)} className="flex h-9 w-full items-center gap-2 rounded-control px-2 text-left transition-colors hover:bg-sunken aria-pressed:bg-accent-soft aria-pressed:text-accent">
                <Avatar name={one.name} />
                <span className="clip" title={mainIdentifier(one.identifiers)?.value}>
                  {called(one.name, one.id)}
                </span>
              </button>
            </li>
          ))}
        </ul>
        {action.placements.length > 1 && (
          <Select aria-label="Placement" value={placement} onChange={(e) => setPlacement(e.target.value)} className="w-full">
            <option value="">{action.placements[0]}</option>
            {action.placements.slice(1).map((p) => (
              <option key={p}>{p}</option>
            ))}
          </Select>
        )}
        <SearchField label="Language, such as nb" value={locale} onChange={setLocale} />
      </div>
      {query.data ? <Shown preview={query.data} /> : query.error ? <Failure error={query.error} retry={() => void query.refetch()} /> : chosen === undefined ? <Empty title="Nobody is known yet">A message is written for somebody.</Empty> : <Skeleton className="h-48" />}
    </div>
  )
}

function Shown({ preview }: { preview: MessagePreview }) {
  const fields = Object.entries(preview.fields ?? {})
  return (
    <div className="min-w-0 space-y-3" aria-live="polite">
      {preview.form === 'mail' ? (
        <article className="overflow-hidden rounded-card border border-line">
          <header className="border-b border-line bg-sunken px-4 py-3">
            <p className="text-card font-semibold">{preview.subject || <span className="text-muted">No subject</span>}</p>
            <p className="text-meta text-muted">to {preview.to || 'nobody: no address is known'}</p>
          </header>
          <p className="px-4 py-4 whitespace-pre-wrap">{preview.text}</p>
        </article>
      ) : preview.form === 'text' ? (
        <p className="max-w-[360px] rounded-card bg-sunken px-4 py-3 whitespace-pre-wrap">{preview.text}</p>
      ) : preview.form === 'push' ? (
        <article className="max-w-[360px] rounded-card border border-line bg-sunken px-4 py-3 shadow-float">
          <p className="font-semibold">{preview.subject}</p>
          <p className="whitespace-pre-wrap">{preview.text}</p>
        </article>
      ) : (
        <article className="rounded-card border border-line p-4">
          {fields.find(([name]) => name === 'title' || name === 'headline') && <p className="text-card font-semibold">{fields.find(([name]) => name === 'title' || name === 'headline')?.[1]}</p>}
          {fields
            .filter(([name]) => name === 'text' || name === 'body')
            .map(([name, text]) => (
              <p key={name} className="mt-1 whitespace-pre-wrap">
                {text}
              </p>
            ))}
          <Rows className="mt-2" rows={Object.entries(preview.content ?? {}).filter(([name]) => !['title', 'headline', 'text', 'body'].includes(name)).map(([name, v]) => ({ name, value: plain(v), note: plain(v) }))} />
        </article>
      )}
      <p className="text-meta text-muted">
        {preview.channel ? `Through ${preview.channel}` : 'In a slot of your own site or app'}
        {preview.locale && `, in ${preview.locale}`}. A preview: nothing was sent, shown or counted.
      </p>
      {preview.html && (
        <details>
          <summary className="cursor-pointer text-muted">The mail’s HTML</summary>
          <Code label="HTML of the mail" text={preview.html} className="mt-2" />
        </details>
      )}
    </div>
  )
}

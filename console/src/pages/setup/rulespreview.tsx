import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { post } from '@/api/client'
import type { HeldValue, RulesPreview } from '@/api/types'
import { count, plural } from '@/format/number'
import { identifierKind } from '@/format/person'
import { joined } from '@/pages/person/evidence'
import { Badge, Card, Rows } from '@/ui/parts'
import { Refusal, SkeletonRows } from '@/ui/states'

/** What a rule of identity would change, told while it is written. */
export function RulesPreviewCard({ text, live }: { text: string; live?: string }) {
  const [late, setLate] = useState(text)
  useEffect(() => {
    const timer = setTimeout(() => setLate(text), 600)
    return () => clearTimeout(timer)
  }, [text])
  const query = useQuery({
    queryKey: ['identity', 'preview', late],
    queryFn: () => post<RulesPreview>('/v1/identity/preview', { yaml: late }),
    placeholderData: keepPreviousData,
    retry: false,
    staleTime: 30_000,
  })
  const preview = query.data
  return (
    <Card title="What this rule would change" note={late === live ? 'This is the rule in force' : 'Nothing changes until it is published'}>
      {query.error ? (
        <Refusal error={query.error} />
      ) : !preview ? (
        <SkeletonRows rows={5} />
      ) : (
        <div aria-busy={query.isFetching || late !== text} aria-live="polite">
          <Rows
            rows={[
              { name: 'People who would come apart', value: count(preview.apart) },
              { name: 'People who would be united', value: count(preview.together) },
              { name: 'Links that would cease to count', value: count(preview.hold) },
              { name: 'Links that would count again', value: count(preview.resume) },
              { name: 'Looked at', value: `${plural(preview.links, 'link')}, ${plural(preview.people, 'person', 'people')}` },
            ]}
          />
          <Values title="Values set aside" values={preview.quarantine} />
          <Values title="Values released" values={preview.release} />
          {preview.examples.length > 0 && (
            <>
              <h3 className="mt-3 mb-1 font-medium">For example</h3>
              <ul>
                {preview.examples.slice(0, 8).map(({ link, counts }) => (
                  <li key={link.id} className="border-t border-line py-1.5 text-meta">
                    <Badge look={counts ? 'good' : 'warn'}>{counts ? 'would count' : 'would not count'}</Badge> {joined(link) ?? link.evidence}
                  </li>
                ))}
              </ul>
            </>
          )}
        </div>
      )}
    </Card>
  )
}

function Values({ title, values }: { title: string; values: HeldValue[] }) {
  if (values.length === 0) return null
  return (
    <>
      <h3 className="mt-3 mb-1 font-medium">
        {title} <span className="font-normal text-muted">{count(values.length)}</span>
      </h3>
      <ul>
        {values.slice(0, 8).map((value) => (
          <li key={`${value.identifier.kind}:${value.identifier.value}`} className="flex justify-between gap-3 border-t border-line py-1.5 text-meta">
            <span className="clip">
              <span className="text-muted">{identifierKind(value.identifier.kind)}</span> {value.identifier.value}
            </span>
            <span className="shrink-0 text-muted">{plural(value.people, 'person', 'people')}</span>
          </li>
        ))}
      </ul>
    </>
  )
}

import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { Braces } from 'lucide-react'
import { useMemo, useState } from 'react'
import { post } from '@/api/client'
import { placementsQuery } from '@/api/queries'
import type { Explanation, Fields, Person } from '@/api/types'
import { called } from '@/format/person'
import { Button } from '@/ui/button'
import { Select } from '@/ui/field'
import { CopyButton } from '@/ui/parts'
import { Empty, Failure, SkeletonRows } from '@/ui/states'
import { Why } from '@/why/why'

const route = getRouteApi('/people/$ref')

/** What would be decided for this person now, and why: nothing is shown, sent or learned. */
export function WhyTab({ person }: { person: Person }) {
  const { placement: chosen, action } = route.useSearch()
  const navigate = route.useNavigate()
  const placements = useQuery(placementsQuery)
  const placement = chosen ?? placements.data?.[0]?.id
  const [text, setText] = useState('')
  const [open, setOpen] = useState(false)
  const context = useMemo(() => readContext(text), [text])
  const body = { person: { id: person.id }, placement, ...(action ? { action } : {}), ...(context.value ? { context: context.value } : {}) }
  const query = useQuery({
    queryKey: ['person', person.id, 'explain', body],
    queryFn: () => post<Explanation>('/v1/explain', body),
    enabled: placement !== undefined && !context.error,
    placeholderData: keepPreviousData,
  })

  if (placements.data?.length === 0) {
    return (
      <div className="card">
        <Empty title="There is no placement yet">A placement says where something may appear. Add one under Setup, Config; then ask here what this person would see.</Empty>
      </div>
    )
  }
  return (
    <div className="card max-w-[900px] p-4 md:p-5">
      <div className="mb-4 flex flex-wrap items-center gap-2">
        <label htmlFor="placement" className="font-medium">
          If {called(person.name, person.id)} came to
        </label>
        <Select id="placement" value={placement ?? ''} onChange={(event) => void navigate({ search: (before) => ({ ...before, placement: event.target.value }), replace: true })}>
          {placements.data?.map((p) => (
            <option key={p.id}>{p.id}</option>
          ))}
        </Select>
        <Button look="ghost" aria-expanded={open} onClick={() => setOpen(!open)} icon={<Braces size={14} aria-hidden />}>
          Context
        </Button>
        <div className="flex-1" />
        <CopyButton label="Copy API call" text={`curl ${location.origin}/v1/explain -H "Authorization: Bearer $RAPPORT_TOKEN" -H 'Content-Type: application/json' -d '${JSON.stringify(body)}'`} />
        {open && (
          <div className="rise w-full">
            <label htmlFor="context" className="mb-1 block text-meta text-muted">
              What the page would send along, as JSON. Conditions read it as context.name.
            </label>
            <textarea id="context" rows={3} spellCheck={false} value={text} onChange={(event) => setText(event.target.value)} placeholder={'{"cartValue": 32}'} aria-invalid={context.error ? true : undefined} className="control h-auto w-full py-2 font-mono text-meta" />
            {context.error && <p className="mt-1 text-meta text-bad">{context.error}</p>}
          </div>
        )}
      </div>
      {query.data ? (
        <Why explanation={query.data} action={action} onAction={(next) => void navigate({ search: (before) => ({ ...before, action: next }), replace: true })} />
      ) : query.error ? (
        <Failure error={query.error} retry={() => void query.refetch()} />
      ) : (
        <SkeletonRows rows={10} />
      )}
      <p className="mt-5 border-t border-line pt-3 text-meta text-muted">A preview: nothing was shown, sent, counted or learned from.</p>
    </div>
  )
}

export function readContext(text: string): { value?: Fields; error?: string } {
  if (!text.trim()) return {}
  try {
    const value: unknown = JSON.parse(text)
    if (value && typeof value === 'object' && !Array.isArray(value)) return { value: value as Fields }
    return { error: 'The context is an object, such as {"cartValue": 32}.' }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}

import { useQuery, useQueryClient } from '@tanstack/react-query'
import { getRouteApi, Link, type LinkProps } from '@tanstack/react-router'
import { Sparkles } from 'lucide-react'
import { useRef } from 'react'
import { personQuery } from '@/api/queries'
import type { Person } from '@/api/types'
import { called, mainIdentifier, place } from '@/format/person'
import { day } from '@/format/time'
import { useLiveSignals } from '@/shell/live'
import { button } from '@/ui/button'
import { Page } from '@/ui/page'
import { Avatar, Code, CopyId } from '@/ui/parts'
import { Failure, Skeleton } from '@/ui/states'
import { Tabs, type Tab } from '@/ui/tabs'
import { TileSkeleton } from '@/ui/tile'
import { ConsentCard, Counters, Households, Items, Mixture, PersonTiles, Portrait, Segments, Traits } from './facts'
import { IdentityTab } from './identity'
import { WhyTab } from './preview'
import { PrivacyTab } from './privacy'
import { ScoresTab } from './scores'
import { PersonTimeline } from './timeline'

const route = getRouteApi('/people/$ref')

const tabNames = [
  { id: undefined, label: 'Overview' },
  { id: 'why', label: 'Why' },
  { id: 'scores', label: 'Scores' },
  { id: 'identity', label: 'Identity' },
  { id: 'privacy', label: 'Privacy' },
  { id: 'api', label: '</> API' },
] as const

/** One person: who they are, what happened, what would be said to them now, and why. */
export function PersonPage() {
  const { ref } = route.useParams()
  const query = useQuery(personQuery(ref))
  const person = query.data
  useLivePerson(person?.id)
  if (query.error && !person) return <Failure error={query.error} retry={() => void query.refetch()} className="min-h-full" />
  return (
    <Page title={person ? called(person.name, person.id) : 'Person'} heading={person ? <Heading person={person} /> : <HeadingSkeleton />} actions={person && <Actions />}>
      {person ? (
        <>
          <PersonTiles person={person} />
          <PersonTabs person={person} />
        </>
      ) : (
        <>
          <TileSkeleton />
          <Skeleton className="h-[480px] rounded-card!" />
        </>
      )}
    </Page>
  )
}

/** Reads the person anew when something of theirs passes in the stream, at most once a second. */
function useLivePerson(id: string | undefined) {
  const client = useQueryClient()
  const last = useRef(0)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  useLiveSignals((signal) => {
    if (signal.type !== 'message' || !id || signal.message.personId !== id || timer.current) return
    timer.current = setTimeout(
      () => {
        timer.current = undefined
        last.current = Date.now()
        void client.invalidateQueries({ queryKey: ['person'], predicate: (query) => !query.queryKey.includes('explain') })
      },
      Math.max(150, last.current + 1000 - Date.now()),
    )
  })
}

function Heading({ person }: { person: Person }) {
  const where = place(person)
  return (
    <div className="flex min-w-0 items-center gap-3">
      <Avatar name={person.name} size="large" />
      <div className="min-w-0">
        <h1 className="clip text-page font-semibold">{called(person.name, person.id)}</h1>
        <p className="flex min-w-0 items-center gap-x-3 text-muted">
          <CopyId id={person.id} className="max-w-[150px]! max-md:hidden" />
          <span className="clip">{mainIdentifier(person.identifiers)?.value}</span>
          {where && <span className="shrink-0">{where}</span>}
          <span className="shrink-0 max-md:hidden">since {day(person.firstSeen)}</span>
        </p>
      </div>
    </div>
  )
}

const HeadingSkeleton = () => (
  <div className="flex items-center gap-3">
    <Skeleton className="size-11 rounded-full!" />
    <div>
      <Skeleton className="h-5 w-44" />
      <Skeleton className="mt-2 h-3 w-72" />
    </div>
  </div>
)

function Actions() {
  const { ref } = route.useParams()
  return (
    <Link to="/people/$ref" params={{ ref }} search={{ tab: 'why' }} className={button({ look: 'solid' })}>
      <Sparkles size={14} aria-hidden />
      Preview decision
    </Link>
  )
}

function PersonTabs({ person }: { person: Person }) {
  const { ref } = route.useParams()
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const tabs: Tab[] = tabNames.map(({ id, label }) => ({
    label,
    link: { to: '/people/$ref', params: { ref }, search: id ? { ...search, tab: id } : { system: search.system }, replace: true } as LinkProps,
    bySearch: true,
  }))
  return (
    <>
      <Tabs label="Person" tabs={tabs} />
      {search.tab === 'why' ? (
        <WhyTab person={person} />
      ) : search.tab === 'scores' ? (
        <ScoresTab person={person} />
      ) : search.tab === 'identity' ? (
        <IdentityTab person={person} />
      ) : search.tab === 'privacy' ? (
        <PrivacyTab person={person} />
      ) : search.tab === 'api' ? (
        <ApiTab person={person} />
      ) : (
        <div className="grid items-start gap-3 lg:grid-cols-[minmax(0,1fr)_340px]">
          <PersonTimeline person={person.id} system={search.system ?? false} onSystem={(on) => void navigate({ search: (before) => ({ ...before, system: on || undefined }), replace: true })} />
          <div className="space-y-3 max-lg:-order-1">
            <Mixture person={person} />
            <Portrait person={person} />
            <Segments person={person} />
            <Items person={person} />
            <Households person={person} />
            <Traits person={person} />
            <ConsentCard person={person} />
            <Counters person={person} />
          </div>
        </div>
      )}
    </>
  )
}

function ApiTab({ person }: { person: Person }) {
  const main = mainIdentifier(person.identifiers)
  const ref = main ? `${main.kind}:${main.value}` : person.id
  return (
    <div className="max-w-[900px] space-y-3">
      <Code label="API call" text={`curl '${location.origin}/v1/people/${encodeURIComponent(ref)}' \\\n  -H "Authorization: Bearer $RAPPORT_TOKEN"`} />
      <Code label="Answer" className="[&_pre]:max-h-[640px]" text={JSON.stringify(person, null, 2)} />
    </div>
  )
}

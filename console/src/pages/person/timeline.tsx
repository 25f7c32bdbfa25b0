import { useInfiniteQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { ChevronDown, CircleDot, Coffee, Eye, FileText, MessageSquare, Search, Send, ShoppingBag, ShoppingCart, Split, UserRound, type LucideIcon } from 'lucide-react'
import { Fragment, useMemo, useState } from 'react'
import { timelineQuery } from '@/api/queries'
import type { TimelineEvent } from '@/api/types'
import { eventDetail, eventName, tone, type Tone } from '@/format/event'
import { money } from '@/format/number'
import { day, dayName } from '@/format/time'
import { serverNow } from '@/shell/clock'
import { useCurrency } from '@/shell/currency'
import { Button, button } from '@/ui/button'
import { cx } from '@/ui/cx'
import { Check } from '@/ui/field'
import { Ago, Card, Code } from '@/ui/parts'
import { Empty, Loaded, Skeleton } from '@/ui/states'

const icons: Record<Tone, LucideIcon> = { view: Eye, cart: ShoppingCart, order: ShoppingBag, product: Coffee, decision: Split, delivery: Send, person: UserRound, answer: MessageSquare, other: CircleDot }

const inks: Record<Tone, string> = {
  view: 'text-view',
  cart: 'text-cart',
  order: 'text-order',
  product: 'text-product',
  decision: 'text-decision',
  delivery: 'text-delivery',
  person: 'text-person',
  answer: 'text-answer',
  other: 'text-other',
}

function icon(event: TimelineEvent, found: Tone): LucideIcon {
  if (event.type === 'page' || event.type === 'screen') return FileText
  if (/search/i.test(event.event)) return Search
  return icons[found]
}

/** Everything that happened with one person, in one line of time. */
export function PersonTimeline({ person, system, onSystem }: { person: string; system: boolean; onSystem: (on: boolean) => void }) {
  const query = useInfiniteQuery(timelineQuery(person, system))
  const groups = useMemo(() => byDay(query.data?.pages.flatMap((page) => page.events ?? []) ?? []), [query.data])
  return (
    <Card
      title="Timeline"
      actions={
        <Check checked={system} onChange={onSystem}>
          Decisions and deliveries
        </Check>
      }
    >
      <Loaded query={query} skeleton={<TimelineSkeleton />}>
        {() =>
          groups.length === 0 ? (
            <Empty title="Nothing has happened yet" />
          ) : (
            <>
              {groups.map((group) => (
                <Fragment key={group.day}>
                  <h3 className="sticky top-0 z-10 bg-surface py-1.5 text-meta font-medium text-muted">{group.name}</h3>
                  <ol>
                    {group.events.map((event) => (
                      <Entry key={event.id} event={event} />
                    ))}
                  </ol>
                </Fragment>
              ))}
              {query.hasNextPage && (
                <div className="pt-2 text-center">
                  <Button busy={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
                    Show earlier
                  </Button>
                </div>
              )}
            </>
          )
        }
      </Loaded>
    </Card>
  )
}

function byDay(events: TimelineEvent[]) {
  const groups: { day: string; name: string; events: TimelineEvent[] }[] = []
  for (const event of events) {
    const key = day(event.timestamp)
    const last = groups[groups.length - 1]
    if (last?.day === key) last.events.push(event)
    else groups.push({ day: key, name: dayName(event.timestamp, serverNow()), events: [event] })
  }
  return groups
}

function Entry({ event }: { event: TimelineEvent }) {
  const [open, setOpen] = useState(false)
  const currency = useCurrency()
  const name = eventName(event)
  const found = tone(name, event.type)
  const Icon = icon(event, found)
  const detail = eventDetail(event, (n, own) => money(n, own ?? currency))
  return (
    <li className="relative before:absolute before:top-0 before:bottom-0 before:left-[11px] before:w-px before:bg-line first:before:top-1/2 last:before:bottom-1/2">
      <button type="button" aria-expanded={open} onClick={() => setOpen(!open)} className="group relative flex min-h-9 w-full items-center gap-3 rounded-control text-left">
        <span aria-hidden className={cx('flex size-[23px] shrink-0 items-center justify-center rounded-full border border-line bg-surface transition-colors group-hover:border-line-strong', inks[found])}>
          <Icon size={12} />
        </span>
        <span className="min-w-0 flex-1 py-1">
          <span className="font-medium">{name}</span> <span className="text-muted">{detail}</span>
        </span>
        <span className="text-meta text-muted opacity-0 transition-opacity group-hover:opacity-100 max-md:hidden">{event.source}</span>
        <Ago time={event.timestamp} className="shrink-0 text-meta text-muted tabular-nums" />
        <ChevronDown size={13} aria-hidden className={cx('shrink-0 text-muted transition-transform', open && 'rotate-180')} />
      </button>
      {open && (
        <div className="rise space-y-2 pb-3 pl-[35px]">
          {event.decision && (
            <Link to="/decisions/$id" params={{ id: event.decision.decisionId }} className={button({ size: 'small' })}>
              <Split size={13} aria-hidden />
              Why
            </Link>
          )}
          <Code label={`${name}, as it was sent`} text={JSON.stringify(event, null, 2)} />
        </div>
      )}
    </li>
  )
}

function TimelineSkeleton() {
  return (
    <div role="status" aria-label="Loading" className="space-y-3 py-2">
      {Array.from({ length: 9 }, (_, i) => (
        <div key={i} className="flex items-center gap-3">
          <Skeleton className="size-6 rounded-full!" />
          <Skeleton className="h-2.5 w-28" />
          <Skeleton className="h-2.5 flex-1" />
        </div>
      ))}
    </div>
  )
}

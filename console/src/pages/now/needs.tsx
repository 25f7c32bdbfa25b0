import { Link } from '@tanstack/react-router'
import { BellRing, CircleCheck, FlaskConical, Inbox, KeyRound, Radio, TriangleAlert, type LucideIcon } from 'lucide-react'
import type { Need } from '@/api/types'
import { Card } from '@/ui/parts'

const icons: [RegExp, LucideIcon][] = [
  [/quarantine|schema/i, TriangleAlert],
  [/dead|deliver|webhook/i, Inbox],
  [/source|silent/i, Radio],
  [/lift|experiment|learn|decision/i, FlaskConical],
  [/token|key|access/i, KeyRound],
]

/** What waits for a person, each with the page where it is settled. */
export function NeedsYou({ needs }: { needs: Need[] }) {
  return (
    <Card title="Needs you" className="max-lg:-order-1">
      {needs.length === 0 ? (
        <p className="flex items-center gap-2 py-2 text-muted">
          <CircleCheck size={15} className="text-good" aria-hidden />
          Nothing. All is well.
        </p>
      ) : (
        <ul className="-mx-2">
          {needs.map((need, i) => {
            const Icon = icons.find(([pattern]) => pattern.test(need.kind))?.[1] ?? BellRing
            return (
              <li key={i}>
                <NeedLink href={need.href}>
                  <span aria-hidden className="mt-0.5 flex size-6 shrink-0 items-center justify-center rounded-full bg-warn-soft text-warn">
                    <Icon size={13} />
                  </span>
                  <span className="min-w-0">
                    <span className="block font-medium">{need.title}</span>
                    <span className="block text-meta text-muted">{need.detail}</span>
                  </span>
                </NeedLink>
              </li>
            )
          })}
        </ul>
      )}
    </Card>
  )
}

function NeedLink({ href, children }: { href: string; children: React.ReactNode }) {
  const look = 'flex gap-2.5 rounded-control p-2 transition-colors hover:bg-sunken'
  // Only our own pages: an address from elsewhere is shown, not followed.
  if (!href.startsWith('/') || href.startsWith('//')) return <div className={look}>{children}</div>
  return (
    <Link to={href} className={look}>
      {children}
    </Link>
  )
}

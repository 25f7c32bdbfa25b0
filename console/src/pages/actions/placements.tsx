import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { Square } from 'lucide-react'
import { actionsQuery, placementsQuery } from '@/api/queries'
import type { Action, Placement } from '@/api/types'
import { compact, percent, plural } from '@/format/number'
import { Page } from '@/ui/page'
import { Badge, Bar, Card } from '@/ui/parts'
import { Empty, Loaded } from '@/ui/states'
import { ActionTabs } from './tabs'

/** The places where something may appear, and what competes for each. */
export function Placements() {
  const query = useQuery(placementsQuery)
  const actions = useQuery(actionsQuery).data ?? []
  return (
    <Page title="Placements" purpose="Where something may appear, and what competes for it">
      <ActionTabs />
      <Loaded query={query}>
        {(placements) =>
          placements.length === 0 ? (
            <div className="card">
              <Empty icon={<Square size={18} />} title="No placement yet">
                A placement is a slot on a page, in an app or in a mail. Actions name the placements they fit.
              </Empty>
            </div>
          ) : (
            <div className="grid items-start gap-3 md:grid-cols-2 xl:grid-cols-3">
              {placements.map((placement) => (
                <Slot key={placement.id} placement={placement} actions={actions.filter((a) => a.placements.includes(placement.id))} />
              ))}
            </div>
          )
        }
      </Loaded>
    </Page>
  )
}

function Slot({ placement, actions }: { placement: Placement; actions: Action[] }) {
  const shown = actions.reduce((sum, action) => sum + action.stats.shown, 0)
  const sorted = [...actions].sort((a, b) => b.stats.shown - a.stats.shown)
  return (
    <Card
      title={
        <span className="flex items-center gap-2">
          {placement.id}
          <Badge>{plural(placement.slots ?? 1, 'slot')}</Badge>
        </span>
      }
      note={placement.decisions === undefined ? plural(actions.length, 'action') : `${compact(placement.decisions)} decisions${placement.nothingShare === undefined ? '' : `, ${percent(placement.nothingShare)} nothing`}`}
      actions={
        <Link to="/setup/config/$kind/$id" params={{ kind: 'placement', id: placement.id }} aria-label={`Config of ${placement.id}`} className="shrink-0 text-meta font-medium text-accent hover:underline">
          {'</>'} Config
        </Link>
      }
    >
      {sorted.length === 0 ? (
        <p className="py-2 text-muted">No action fits here yet, so every decision is “nothing”.</p>
      ) : (
        <ul className="-mx-2">
          {sorted.map((action) => (
            <li key={action.id}>
              <Link to="/actions/$id" params={{ id: action.id }} className="block rounded-control px-2 py-1.5 transition-colors hover:bg-sunken">
                <span className="mb-1 flex justify-between gap-3">
                  <span className="clip">{action.id}</span>
                  <span className="text-meta text-muted tabular-nums">{shown ? percent(action.stats.shown / shown) : ''}</span>
                </span>
                <Bar share={shown ? action.stats.shown / shown : 0} label={`${action.id}: ${shown ? percent(action.stats.shown / shown) : 'not shown yet'}`} />
              </Link>
            </li>
          ))}
        </ul>
      )}
      <Link to="/decisions" search={{ placement: placement.id }} className="mt-2 inline-block text-meta font-medium text-accent hover:underline">
        Its decisions
      </Link>
    </Card>
  )
}

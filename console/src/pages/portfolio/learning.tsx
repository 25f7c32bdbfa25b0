import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { learningQuery, placementsQuery, portfolioQuery } from '@/api/queries'
import type { LearningHealth } from '@/api/types'
import { count, decimal, money, percent, plural } from '@/format/number'
import { moment } from '@/format/time'
import { useCurrency } from '@/shell/currency'
import { Select } from '@/ui/field'
import { Page } from '@/ui/page'
import { Badge, Bar, Card } from '@/ui/parts'
import { Calibration } from '@/ui/calibration'
import { Loaded } from '@/ui/states'
import { Tile, Tiles, TileSkeleton } from '@/ui/tile'
import { ActionTabs } from '../actions/tabs'

const route = getRouteApi('/learning')

const looks = { good: 'good', poor: 'bad', 'not enough data': 'plain' } as const
const states = [
  { id: 'working', text: 'bring more than nothing, surely' },
  { id: 'learning', text: 'are tried until it is known' },
  { id: 'losing', text: 'bring less, and are shown less' },
  { id: 'untried', text: 'had no chance yet' },
  { id: 'paused', text: 'do harm, and rest' },
] as const

/** How well decisions learn: what is tried, what that costs, and whether what was expected came. */
export function LearningPage() {
  const { placement = '' } = route.useSearch()
  const navigate = route.useNavigate()
  const query = useQuery(learningQuery(placement))
  const placements = useQuery(placementsQuery).data ?? []
  return (
    <Page
      title="Learning"
      purpose="What is tried out, what that costs, and whether what was expected came."
      actions={
        <Select aria-label="Placement" value={placement} onChange={(event) => void navigate({ search: { placement: event.target.value || undefined }, replace: true })}>
          <option value="">All placements</option>
          {placements.map((p) => (
            <option key={p.id}>{p.id}</option>
          ))}
        </Select>
      }
    >
      <ActionTabs />
      <Loaded query={query} skeleton={<TileSkeleton />}>
        {(health) => <Health health={health} placement={placement} />}
      </Loaded>
    </Page>
  )
}

function Health({ health, placement }: { health: LearningHealth; placement: string }) {
  const currency = useCurrency()
  const worth = (n: number) => (currency ? money(n, currency) : decimal(n))
  const portfolio = useQuery(portfolioQuery({ placement: placement || undefined })).data
  const all = Object.values(portfolio?.states ?? {}).reduce((sum, n) => sum + n, 0)
  const window = health.decisions > 0 ? `the newest ${count(health.decisions)} decisions, ${moment(health.from).slice(0, 16)} to ${moment(health.to).slice(0, 16)}` : 'no decisions yet'
  return (
    <>
      <Tiles>
        <Tile label="Tried out" value={percent(health.explored)} sub="of what was given, by chance" explain={<p>Choices taken by chance so that every action keeps being tried, of all that gave something. Of {window}. The policy sets the floor.</p>} />
        <Tile label="Price of trying" value={worth(health.regret)} sub={health.best > 0 ? `${percent(health.regret / health.best)} of what the best would bring` : 'a decision'} explain={<p>By how much less the given action was expected to be worth than the best known one, on average. It buys knowledge: an action that is never tried is never known.</p>} />
        <Tile label="Left alone" value={percent(health.holdout)} sub={`in the holdout; ${percent(health.nothing)} of the rest got nothing`} explain={<p>People in the permanent holdout are left in peace so that the lift can be measured. Nothing is said where nothing is worth more than silence.</p>} />
        <Tile
          label="Expected and came"
          value={health.came && health.expected !== undefined ? `${worth(health.came.value)}` : '–'}
          sub={health.came && health.expected !== undefined ? `expected ${worth(health.expected)} a decision` : 'not enough data yet'}
          explain={
            <>
              <p>What settled decisions brought on average, after cost, beside what was expected when they were made. Only decisions whose goals can be reached no more count.</p>
              {health.came && (
                <p>
                  95 % interval {worth(health.came.low)} to {worth(health.came.high)}, from {count(health.settled)} settled decisions.
                </p>
              )}
            </>
          }
        />
      </Tiles>
      <div className="grid items-start gap-3 lg:grid-cols-2">
        <Card
          title={
            <span className="flex items-center gap-2">
              Calibration <Badge look={looks[health.status]}>{health.status}</Badge>
            </span>
          }
          note={health.reason}
        >
          {health.calibration.length > 0 ? (
            <Calibration points={health.calibration.map((bin) => ({ predicted: bin.expected, actual: bin.came, low: bin.low, high: bin.high, count: bin.count }))} write={worth} of="decision" />
          ) : (
            <div className="space-y-2 py-2">
              <Bar share={health.settled / 200} label={`${count(health.settled)} of 200 settled decisions`} />
              <p className="text-muted">
                {count(health.settled)} settled, {count(health.open)} open. An order may come days after a decision: until its time is over, what a decision brought is not known, and comparing would make learning look worse than it is.
              </p>
            </div>
          )}
        </Card>
        <Card
          title="Where opportunities stand"
          note={`${plural(all, 'opportunity', 'opportunities')}: an action at a placement for a part of people`}
          actions={
            <Link to="/portfolio" search={{ placement: placement || undefined }} className="shrink-0 text-meta font-medium text-accent hover:underline">
              Portfolio
            </Link>
          }
        >
          <ul className="-mx-2">
            {states.map(({ id, text }) => {
              const n = portfolio?.states[id] ?? 0
              return (
                <li key={id}>
                  <Link to="/portfolio" search={{ state: id, placement: placement || undefined }} className="block rounded-control px-2 py-1.5 transition-colors hover:bg-sunken">
                    <span className="mb-1 flex justify-between gap-3">
                      <span className="clip">
                        <span className="font-medium">{id}</span> <span className="text-muted">{text}</span>
                      </span>
                      <span className="shrink-0 text-muted tabular-nums">{count(n)}</span>
                    </span>
                    <Bar share={all ? n / all : 0} label={`${count(n)} of ${count(all)}`} />
                  </Link>
                </li>
              )
            })}
          </ul>
        </Card>
      </div>
      <p className="text-meta text-muted">Of {window}.</p>
    </>
  )
}

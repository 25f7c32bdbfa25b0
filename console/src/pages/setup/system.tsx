import { useQuery } from '@tanstack/react-query'
import { systemQuery } from '@/api/queries'
import type { System } from '@/api/types'
import { bytes, compact, count, plural } from '@/format/number'
import { duration } from '@/format/time'
import { cx } from '@/ui/cx'
import { Badge, Card, Rows } from '@/ui/parts'
import { Loaded } from '@/ui/states'
import { Tile, Tiles, TileSkeleton } from '@/ui/tile'
import { SetupPage } from './frame'

/** How the engine itself is. */
export function SystemPage() {
  const query = useQuery(systemQuery)
  const system = query.data
  return (
    <SetupPage title="System" status={system && (system.ready ? <Badge look="good">ready</Badge> : <Badge look="warn">replaying its log</Badge>)}>
      <Loaded query={query} skeleton={<TileSkeleton />}>
        {(data) => <Health system={data} />}
      </Loaded>
    </SetupPage>
  )
}

function Health({ system }: { system: System }) {
  const partitions = system.partitions ?? []
  const lag = partitions.reduce((sum, p) => sum + p.lag, 0)
  const most = Math.max(1, ...partitions.map((p) => p.lag))
  return (
    <>
      <Tiles>
        <Tile label="Up for" value={duration(system.uptimeSeconds)} sub={`version ${system.version}`} explain={<p>Since the process started. State is rebuilt from the log at every start.</p>} />
        <Tile label="Lag" value={count(lag)} sub={lag === 0 ? 'every event is folded' : 'records not folded yet'} explain={<p>Records in the log that the engine has not yet folded into profiles, over all partitions.</p>} />
        <Tile label="Log" value={bytes(system.log.bytes)} sub={plural(system.log.segments, 'segment')} explain={<p>Bytes of the event log on disk. It is trimmed below the newest checkpoint.</p>} />
        <Tile label="Memory" value={bytes(system.memoryBytes)} sub={system.goVersion} explain={<p>Memory the process holds from the operating system.</p>} />
      </Tiles>
      <div className="grid items-start gap-3 lg:grid-cols-[minmax(0,1fr)_340px]">
        <Card title="Partitions" note={`${partitions.length}, each folded in order by one owner`}>
          <div className="overflow-x-auto">
            <table className="w-full min-w-[420px] border-separate border-spacing-0 tabular-nums [&_td]:h-[30px] [&_td]:border-t [&_td]:border-line [&_th]:pb-1.5 [&_th]:text-right [&_th]:text-meta [&_th]:font-medium [&_th]:text-muted">
              <thead>
                <tr>
                  <th scope="col" className="w-14 text-left!">
                    Id
                  </th>
                  <th scope="col">People</th>
                  <th scope="col">Folded</th>
                  <th scope="col">In the log</th>
                  <th scope="col" className="w-20">
                    Lag
                  </th>
                  <th scope="col" className="w-[24%]">
                    <span className="sr-only">Lag as a bar</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {partitions.map((p) => (
                  <tr key={p.id}>
                    <td>{p.id}</td>
                    <td className="text-right">{count(p.entities)}</td>
                    <td className="text-right text-muted">{count(p.offset)}</td>
                    <td className="text-right text-muted">{count(p.end)}</td>
                    <td className={cx('text-right', p.lag > 0 && 'font-medium text-warn')}>{count(p.lag)}</td>
                    <td className="pl-4">
                      <span aria-hidden className="block h-[5px] overflow-hidden rounded-full bg-sunken">
                        <span className="block h-full rounded-full bg-order" style={{ width: `${(p.lag / most) * 100}%` }} />
                      </span>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </Card>
        <div className="space-y-3">
          <Card title="Deduplication" note="A repeated message id within the window is answered and dropped">
            <Rows
              rows={[
                { name: 'Window', value: duration(system.dedup.windowSeconds) },
                { name: 'Repeats dropped', value: compact(system.dedup.duplicates) },
              ]}
            />
          </Card>
          <Card title="Elsewhere">
            <ul className="space-y-1.5">
              {[
                ['/metrics', 'Metrics for Prometheus'],
                ['/health/ready', 'Readiness'],
                ['/docs/api', 'API reference'],
                ['/openapi.json', 'The API, as OpenAPI 3.1'],
              ].map(([href, label]) => (
                <li key={href}>
                  <a href={href} target="_blank" rel="noreferrer" className="font-medium text-accent hover:underline">
                    {label}
                  </a>
                </li>
              ))}
            </ul>
          </Card>
        </div>
      </div>
    </>
  )
}

import { useQuery, useQueryClient } from '@tanstack/react-query'
import { BrainCircuit, RefreshCw } from 'lucide-react'
import { post } from '@/api/client'
import { modelsQuery } from '@/api/queries'
import type { ModelPage } from '@/api/types'
import { count, decimal, percent, plural } from '@/format/number'
import { useMay } from '@/shell/session'
import { Button } from '@/ui/button'
import { Ago, Badge, Card, Rows } from '@/ui/parts'
import { Empty, Loaded } from '@/ui/states'
import { Tile, Tiles } from '@/ui/tile'
import { useToast } from '@/ui/toast'
import { SetupPage } from '../setup/frame'

const looks = { good: 'good', poor: 'bad', stale: 'warn' } as const

/** How good each model is, told by what came after it foretold. */
export function Models() {
  const query = useQuery(modelsQuery)
  return (
    <SetupPage title="Models" purpose="What foretells value, churn and the next purchase, and how far to trust it.">
      <Loaded query={query}>{(models) => (models.length === 0 ? <Empty icon={<BrainCircuit size={18} />} title="There is no model" /> : models.map((model) => <Model key={model.id} model={model} />))}</Loaded>
    </SetupPage>
  )
}

function Model({ model }: { model: ModelPage }) {
  const may = useMay()
  const client = useQueryClient()
  const toast = useToast()
  const health = model.model?.health ?? model.seen
  const fit = () =>
    post(`/v1/models/${encodeURIComponent(model.id)}/fit`, {})
      .then(() => toast.say('Fitted anew'))
      .catch(toast.fail)
      .finally(() => void client.invalidateQueries({ queryKey: ['models'] }))
  return (
    <>
      <Card
        title={
          <span className="flex items-center gap-2">
            {model.id} <Badge look={looks[model.status as keyof typeof looks] ?? 'plain'}>{model.status}</Badge>
          </span>
        }
        note={model.reason}
        actions={
          may.edit && (
            <Button look="solid" busy={model.fitting} icon={<RefreshCw size={14} aria-hidden />} onClick={() => void fit()}>
              Fit now
            </Button>
          )
        }
      >
        <p className="text-muted">
          {model.made ? (
            <>
              In force: {model.model?.kind}, fitted <Ago time={model.made} suffix="ago" />
            </>
          ) : (
            'No model is in force; scores are not told until one is.'
          )}
          {model.tried && (
            <>
              {' '}
              · last tried <Ago time={model.tried} suffix="ago" />
            </>
          )}
        </p>
      </Card>
      <Tiles>
        <Tile label="Learned from" value={count(health.people)} sub={`people, ${count(health.orders)} orders`} explain={<p>{plural(health.repeat, 'person', 'people')} of them bought again: the rest tell how soon people leave.</p>} />
        <Tile label="80 % interval holds" value={health.coverage80 ? percent(health.coverage80) : '–'} sub="of people in the backtest" explain={<p>The model was fitted to the past without its last stretch. In so many people that stretch fell into the range it gave. Near 80 % is honest.</p>} />
        <Tile label="Missed by" value={health.tracking === null ? '–' : percent(Math.abs(health.tracking))} sub={health.tracking === null ? 'told from the second fit on' : 'purchases since the fit before'} explain={<p>How far the model before this one was off in all purchases made since.</p>} />
        <Tile label="Tried" value={count(model.model?.fitted.length ?? 0)} sub="kinds of model weighed" explain={<p>The one with the best backtest is taken.</p>} />
      </Tiles>
      <div className="grid items-start gap-3 lg:grid-cols-2">
        <Card title="Foretold and happened" note="Purchases per person in the backtest, people in groups from few to many">
          <Calibration points={health.calibration ?? []} />
        </Card>
        <Card title="Kinds weighed" note="Error of the total in the backtest">
          {(model.model?.fitted ?? []).length === 0 ? (
            <p className="text-muted">None yet.</p>
          ) : (
            <Rows rows={(model.model?.fitted ?? []).map((kind) => ({ name: kind.kind, value: kind.backtest === null ? '–' : percent(kind.backtest), note: Object.entries(kind.params).map(([name, value]) => `${name} ${decimal(value)}`).join('\n') }))} />
          )}
        </Card>
      </div>
    </>
  )
}

function Calibration({ points }: { points: { predicted: number; actual: number; count: number }[] }) {
  if (points.length === 0) return <p className="py-3 text-muted">A backtest needs more history.</p>
  const top = Math.max(...points.flatMap((p) => [p.predicted, p.actual]), 0.001)
  const at = (v: number) => (v / top) * 92 + 4
  return (
    <>
      <svg role="img" aria-label={points.map((p) => `foretold ${decimal(p.predicted)}, happened ${decimal(p.actual)}`).join('; ')} viewBox="0 0 100 100" className="mx-auto block aspect-square w-full max-w-[320px]">
        <line x1="4" y1="96" x2="96" y2="4" className="stroke-line-strong" strokeWidth="0.5" strokeDasharray="2 2" />
        <line x1="4" y1="96" x2="96" y2="96" className="stroke-line" strokeWidth="0.5" />
        <line x1="4" y1="4" x2="4" y2="96" className="stroke-line" strokeWidth="0.5" />
        {points.map((p, i) => (
          <circle key={i} cx={at(p.predicted)} cy={100 - at(p.actual)} r="1.8" className="fill-view">
            <title>{`foretold ${decimal(p.predicted)}, happened ${decimal(p.actual)}, ${plural(p.count, 'person', 'people')}`}</title>
          </circle>
        ))}
      </svg>
      <p className="mt-1 text-center text-meta text-muted">Across: foretold. Up: happened. On the dashed line both agree; the axes end at {decimal(top)}.</p>
    </>
  )
}

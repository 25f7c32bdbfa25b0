import { useQuery, useQueryClient } from '@tanstack/react-query'
import { BrainCircuit, RefreshCw } from 'lucide-react'
import { post } from '@/api/client'
import { modelsQuery } from '@/api/queries'
import type { ModelPage } from '@/api/types'
import { count, decimal, percent, plural } from '@/format/number'
import { useMay } from '@/shell/session'
import { Button } from '@/ui/button'
import { Calibration } from '@/ui/calibration'
import { Ago, Badge, Bar, Card, Rows } from '@/ui/parts'
import { Empty, Loaded } from '@/ui/states'
import { Tile, Tiles } from '@/ui/tile'
import { useToast } from '@/ui/toast'
import { SetupPage } from '../setup/frame'

const looks = { good: 'good', poor: 'bad', stale: 'warn', 'not enough data': 'plain', waiting: 'plain' } as const
const titles: Record<string, { name: string; tells: string }> = {
  purchases: { name: 'Purchases', tells: 'Tells lifetime value, churn and the next purchase' },
  tastes: { name: 'Tastes', tells: 'Tells soft segments, what people are drawn to, and when a product is needed again' },
  intent: { name: 'Intent', tells: 'Tells whether the running session ends in a purchase' },
}

/** How good each model is, told by what came after it foretold. */
export function Models() {
  const query = useQuery(modelsQuery)
  return (
    <SetupPage title="Models" purpose="What foretells, how fresh it is, and how far to trust it.">
      <Loaded query={query}>
        {(models) =>
          models.length === 0 ? (
            <Empty icon={<BrainCircuit size={18} />} title="There is no model" />
          ) : (
            <>
              <ul className="grid gap-3 md:grid-cols-3" aria-label="Models">
                {models.map((model) => (
                  <li key={model.id}>
                    <a href={`#${model.id}`} className="card block h-full p-4 transition-colors hover:border-line-strong">
                      <span className="flex items-center justify-between gap-2">
                        <span className="text-card font-semibold">{titles[model.id]?.name ?? model.id}</span>
                        <Badge look={looks[model.status]}>{model.status}</Badge>
                      </span>
                      <span className="mt-1 block text-muted">{titles[model.id]?.tells}</span>
                      <span className="mt-2 block text-meta text-muted">{model.made ? <>Fitted <Ago time={model.made} suffix="ago" /></> : 'None is in force'}</span>
                    </a>
                  </li>
                ))}
              </ul>
              {models.map((model) => (
                <Model key={model.id} model={model} />
              ))}
            </>
          )
        }
      </Loaded>
    </SetupPage>
  )
}

function Model({ model }: { model: ModelPage }) {
  const may = useMay()
  const client = useQueryClient()
  const toast = useToast()
  const fit = () =>
    post(`/v1/models/${encodeURIComponent(model.id)}/fit`, {})
      .then(() => toast.say('Fitted anew'))
      .catch(toast.fail)
      .finally(() => void client.invalidateQueries({ queryKey: ['models'] }))
  return (
    <section id={model.id} aria-label={titles[model.id]?.name ?? model.id} className="space-y-3 border-t border-line pt-4">
      <header className="flex flex-wrap items-start justify-between gap-3">
        <div className="min-w-0">
          <h2 className="flex items-center gap-2 text-card font-semibold">
            {titles[model.id]?.name ?? model.id} <Badge look={looks[model.status]}>{model.status}</Badge>
          </h2>
          <p className="text-muted">
            {sentence(model.reason)}
            {model.made ? (
              <>
                {' '}
                Fitted <Ago time={model.made} suffix="ago" />
                {model.model?.kind && `, ${model.model.kind}`}
              </>
            ) : (
              ' No model is in force; its scores are not told until one is'
            )}
            {model.tried && model.tried !== model.made && (
              <>
                ; last tried <Ago time={model.tried} suffix="ago" />
              </>
            )}
            .
          </p>
        </div>
        {may.edit && (
          <Button busy={model.fitting} icon={<RefreshCw size={14} aria-hidden />} onClick={() => void fit()}>
            Fit now
          </Button>
        )}
      </header>
      {model.id === 'tastes' ? <Tastes model={model} /> : model.id === 'intent' ? <Intent model={model} /> : <Purchases model={model} />}
    </section>
  )
}

const sentence = (text: string) => (text ? text[0]?.toUpperCase() + text.slice(1).replace(/\.?$/, '.') : '')

const tracking = (value: number | null | undefined) => (value == null ? '–' : percent(Math.abs(value)))

function Purchases({ model }: { model: ModelPage }) {
  const health = model.model?.health ?? model.seen
  return (
    <>
      <Tiles>
        <Tile label="Learned from" value={count(health.people)} sub={`people, ${count(health.orders)} orders`} explain={<p>{plural(health.repeat, 'person', 'people')} of them bought again: the rest tell how soon people leave.</p>} />
        <Tile label="80 % interval holds" value={health.coverage80 ? percent(health.coverage80) : '–'} sub={health.coverage80 ? 'of people in the backtest' : 'a backtest needs more history'} explain={<p>The model was fitted to the past without its last stretch. In so many people that stretch fell into the range it gave. Near 80 % is honest.</p>} />
        <Tile label="Missed by" value={tracking(health.tracking)} sub={health.tracking == null ? 'told from the second fit on' : 'of purchases since the fit before'} explain={<p>How far the model before this one was off in all purchases made since.</p>} />
        <Tile label="Weighed" value={count(model.model?.fitted?.length ?? 0)} sub="kinds of model" explain={<p>The one with the best backtest is taken.</p>} />
      </Tiles>
      {(health.calibration?.length ?? 0) > 0 && (
        <div className="grid items-start gap-3 lg:grid-cols-2">
          <Card title="Foretold and happened" note="Purchases per person in the backtest, people in groups from few to many">
            <Calibration points={health.calibration} write={decimal} of="people" />
          </Card>
          <Card title="Kinds weighed" note="Error of the total in the backtest">
            <Rows rows={(model.model?.fitted ?? []).map((kind) => ({ name: <>{kind.kind} {kind.kind === model.model?.kind && <Badge look="good">in force</Badge>}</>, value: kind.backtest === null ? '–' : percent(kind.backtest), note: Object.entries(kind.params).map(([name, value]) => `${name} ${decimal(value)}`).join('\n') }))} />
          </Card>
        </div>
      )}
    </>
  )
}

function Intent({ model }: { model: ModelPage }) {
  const health = model.intent
  if (!health || health.sessions === 0) return <p className="text-muted">It learns from the brand’s own sessions: some that ended in a purchase, many that did not.</p>
  return (
    <>
      <Tiles>
        <Tile label="Learned from" value={count(health.sessions)} sub={`sessions, ${count(health.purchases)} with a purchase`} explain={<p>Sessions of {plural(health.people, 'person', 'people')}, each at one moment chosen by chance: what had happened by then, and whether a purchase came after.</p>} />
        <Tile label="Told apart" value={health.auc ? decimal(health.auc) : '–'} sub="1 is always, 0.5 is chance" explain={<p>How often a session that ends in a purchase is held more likely to than one that does not, among people the model had not seen (AUC).</p>} />
        <Tile label="Off by" value={health.calibration?.length ? percent(health.calibrationError) : '–'} sub="between chance told and share seen" explain={<p>The mean distance between the chance foretold and the share that bought, over tenths of the sessions (calibration error). Its Brier score is {decimal(health.brier)}.</p>} />
        <Tile label="Missed by" value={tracking(health.tracking)} sub={health.tracking == null ? 'told from the second fit on' : 'of purchases since the fit before'} explain={<p>How far the model before this one was off in the sessions begun since it was fitted.</p>} />
      </Tiles>
      <div className="grid items-start gap-3 lg:grid-cols-2">
        {(health.calibration?.length ?? 0) > 0 && (
          <Card title="Foretold and happened" note="Tenths of the sessions: chance foretold, share with a purchase">
            <Calibration points={health.calibration} write={percent} of="session" />
          </Card>
        )}
        {(health.inputs?.length ?? 0) > 0 && (
          <Card title="What tells it" note="Share of each in what was learned">
            <ul className="space-y-2">
              {health.inputs.slice(0, 10).map((input) => (
                <li key={input.name}>
                  <div className="mb-1 flex justify-between gap-3">
                    <span className="clip">{input.name}</span>
                    <span className="text-muted tabular-nums">{percent(input.share)}</span>
                  </div>
                  <Bar share={input.share} label={`${input.name}: ${percent(input.share)}`} />
                </li>
              ))}
            </ul>
          </Card>
        )}
      </div>
    </>
  )
}

function Tastes({ model }: { model: ModelPage }) {
  const tastes = model.tastes
  if (!tastes) return <p className="text-muted">It learns from what people look at, put into the cart and buy.</p>
  return (
    <>
      <Tiles>
        <Tile label="Learned from" value={count(tastes.people)} sub="people" explain={<p>People who dealt with products that have a category, brand or kind.</p>} />
        <Tile label="Words" value={count(tastes.words)} sub="categories, brands and kinds" explain={<p>What events say of products: the words tastes are told in.</p>} />
        <Tile label="Soft segments" value={count(tastes.softSegments.length)} sub="everybody is a mixture of them" explain={<p>Groups of words that go together. A person is each of them by degree; the degrees add up to one.</p>} />
        <Tile label="With a pace" value={count(tastes.products)} sub="products bought again and again" explain={<p>Products bought again often enough to foretell when they are needed next.</p>} />
      </Tiles>
      {tastes.softSegments.length > 0 && (
        <Card title="Soft segments" note="Share of all that people do, and what is more frequent within">
          <ul className="grid gap-x-6 gap-y-3 md:grid-cols-2">
            {tastes.softSegments.map((soft) => (
              <li key={soft.id}>
                <div className="mb-1 flex justify-between gap-3">
                  <span className="clip font-medium" title={soft.id}>
                    {soft.name}
                  </span>
                  <span className="text-muted tabular-nums">{percent(soft.share)}</span>
                </div>
                <Bar share={soft.share} label={`${soft.name}: ${percent(soft.share)}`} />
                <p className="mt-1 text-meta text-muted">{soft.tells.map((tell) => `${tell.word} ×${decimal(tell.lift)}`).join(' · ')}</p>
              </li>
            ))}
          </ul>
        </Card>
      )}
    </>
  )
}

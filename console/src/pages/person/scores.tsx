import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { scoresQuery } from '@/api/queries'
import type { Affinity, Person, PersonScores, ScoreExplanation } from '@/api/types'
import { decimal, money, percent, signed } from '@/format/number'
import { plain, readScore, spokenSoft, type Score } from '@/format/person'
import { useCurrency } from '@/shell/currency'
import { RangePlot, SignedBar } from '@/ui/charts'
import { Badge, Bar, Card, Rows } from '@/ui/parts'
import { Empty, Loaded } from '@/ui/states'
import { AnswersCard } from './answers'

const names: Record<string, string> = { clv: 'Lifetime value', purchases: 'Purchases within a year', churn: 'Has left', nextPurchase: 'Days to the next purchase', intent: 'Intent in this session' }
const shares = new Set(['churn', 'intent'])
const inputs: Record<string, string> = { customerForDays: 'Customer for, days', horizonDays: 'Looks ahead, days', lastPurchaseDays: 'Last purchase, days ago', meanPurchaseValue: 'Mean purchase', repeatPurchases: 'Repeat purchases' }

/** What is foretold of a person, with its range, taken apart. */
export function ScoresTab({ person }: { person: Person }) {
  const query = useQuery(scoresQuery(person.id))
  return (
    <Loaded query={query}>
      {(answer) =>
        !answer.explanations?.length && !answer.scores.affinities?.length && !answer.scores.softSegments?.length ? (
          <Empty title="Nothing is foretold of this person yet">
            Scores come with the first purchase, once there is a model. <Link to="/setup/models" className="link">See the models</Link>.
          </Empty>
        ) : (
          <div className="gap-3 space-y-3 lg:columns-2 [&>*]:break-inside-avoid">
            <SoftCard scores={answer.scores} />
            <AnswersCard person={person.id} />
            <RefillCard scores={answer.scores} />
            <AffinityCard affinities={answer.scores.affinities ?? []} />
            {answer.explanations?.map((explanation) => (
              <ScoreCard key={explanation.score} explanation={explanation} range={readScore((answer.scores[explanation.score as 'clv'] as number | Score | undefined) ?? explanation.value)} />
            ))}
          </div>
        )
      }
    </Loaded>
  )
}

function ScoreCard({ explanation, range }: { explanation: ScoreExplanation; range: { low?: number; high?: number } }) {
  const currency = useCurrency()
  const write = (n: number) => (explanation.score === 'clv' ? money(n, currency) : shares.has(explanation.score) ? percent(n) : decimal(n))
  const span = Math.max(...explanation.contributions.map((c) => Math.abs(c.effect)), 1e-9)
  return (
    <Card title={names[explanation.score] ?? explanation.score} actions={<Badge>{explanation.model}</Badge>}>
      <p className="text-kpi font-semibold tabular-nums">{write(explanation.value)}</p>
      {range.low !== undefined && range.high !== undefined && (
        <p className="mb-3 text-meta text-muted">
          80 % range {write(range.low)} to {write(range.high)}
        </p>
      )}
      <h3 className="mb-1 font-medium">What makes it up</h3>
      <ul>
        {explanation.contributions.map((c) => (
          <li key={c.input} className="grid grid-cols-[minmax(0,1fr)_90px_80px] items-center gap-3 py-1">
            <span className="text-muted">{c.input}</span>
            <SignedBar value={c.effect} span={span} />
            <span className="text-right tabular-nums">{shares.has(explanation.score) ? `${signed(c.effect * 100, 1)} %` : signed(c.effect)}</span>
          </li>
        ))}
      </ul>
      <h3 className="mt-3 mb-1 font-medium">From what was seen</h3>
      <Rows rows={Object.entries(explanation.inputs).map(([name, value]) => ({ name: inputs[name] ?? name, value: plain(value) }))} />
    </Card>
  )
}

/** Nobody is one thing: how much of each group a person is, now and in the running session. */
function SoftCard({ scores }: { scores: PersonScores }) {
  const all = [
    { title: 'All they did', list: scores.softSegments ?? [] },
    { title: 'This session', list: scores.session ?? [] },
  ].filter((part) => part.list.length > 0)
  if (all.length === 0) return null
  return (
    <Card title="Who they are, by degree" note="Groups found in what people look at and buy. Everybody is a mixture; the parts add up to one.">
      {all.map(({ title, list }) => (
        <section key={title} className="mt-2">
          {all.length > 1 && <h3 className="mb-1 font-medium">{title}</h3>}
          <ul className="space-y-2.5">
            {[...list]
              .sort((a, b) => b.degree - a.degree)
              .slice(0, 6)
              .map((soft) => (
                <li key={soft.id} title={soft.id}>
                  <div className="mb-1 flex justify-between gap-3">
                    <span className="clip">{spokenSoft(soft.name)}</span>
                    <span className="text-muted tabular-nums">{percent(soft.degree)}</span>
                  </div>
                  <Bar share={soft.degree} label={`${spokenSoft(soft.name)}: ${percent(soft.degree)}`} />
                </li>
              ))}
          </ul>
        </section>
      ))}
    </Card>
  )
}

const signs: Record<string, { name: string; tone: string }> = {
  bought: { name: 'bought', tone: 'bg-order' },
  added: { name: 'put into the cart', tone: 'bg-cart' },
  clicked: { name: 'clicked', tone: 'bg-answer' },
  viewed: { name: 'looked at', tone: 'bg-view' },
  returned: { name: 'sent back', tone: 'bg-bad' },
  everybody: { name: 'what everybody does', tone: 'bg-other' },
}

/** What a person is drawn to, with the range, and what each degree is made of. */
function AffinityCard({ affinities }: { affinities: Affinity[] }) {
  if (affinities.length === 0) return null
  const top = Math.max(...affinities.map((a) => a.high), 0.01)
  const seen = [...new Set(affinities.flatMap((a) => Object.keys(a.parts)))]
  return (
    <Card title="Drawn to" note="Share of their attention within an attribute, newer and stronger signs counting more. The thin line is the 80 % range.">
      <ul className="space-y-2.5">
        {affinities.map((a) => (
          <li key={`${a.attribute} ${a.value}`}>
            <div className="mb-1 flex justify-between gap-3">
              <span className="clip">
                {a.value} <span className="text-muted">{a.attribute}</span>
              </span>
              <span className="text-muted tabular-nums" title={`${percent(a.low)} to ${percent(a.high)}`}>
                {percent(a.degree)}
              </span>
            </div>
            <span role="img" aria-label={`${a.value}: ${percent(a.degree)}, range ${percent(a.low)} to ${percent(a.high)}`} className="relative block h-[9px]">
              <span className="absolute inset-x-0 top-[2px] flex h-[5px] overflow-hidden rounded-full bg-line">
                {Object.entries(a.parts).map(([sign, part]) => (
                  <span key={sign} className={`h-full ${signs[sign]?.tone ?? 'bg-other'}`} style={{ width: `${(Math.max(0, part) / top) * 100}%` }} />
                ))}
              </span>
              <span className="absolute top-1 h-px bg-text" style={{ left: `${(a.low / top) * 100}%`, width: `${((a.high - a.low) / top) * 100}%` }} />
            </span>
          </li>
        ))}
      </ul>
      <p className="mt-3 flex flex-wrap gap-x-4 gap-y-1 text-meta text-muted">
        {seen.map((sign) => (
          <span key={sign} className="inline-flex items-center gap-1.5">
            <span aria-hidden className={`size-[7px] rounded-full ${signs[sign]?.tone ?? 'bg-other'}`} />
            {signs[sign]?.name ?? sign}
          </span>
        ))}
      </p>
    </Card>
  )
}

function RefillCard({ scores }: { scores: PersonScores }) {
  const list = [...(scores.replenishment ?? [])].sort((a, b) => a.days - b.days)
  if (list.length === 0) return null
  return (
    <Card title="Needs again" note="When each product is likely to be bought again, with the 80 % range">
      <ul className="space-y-2.5">
        {list.map((refill) => {
          const to = Math.max(...list.map((r) => r.high), 1)
          const when = refill.days < 1 ? 'now' : `in ${decimal(refill.days)} days`
          return (
            <li key={refill.product}>
              <div className="mb-0.5 flex justify-between gap-3">
                <span className="clip font-medium">{refill.product}</span>
                <span className="text-muted tabular-nums">
                  {when} · {decimal(refill.low)} to {decimal(refill.high)}
                </span>
              </div>
              <RangePlot from={0} to={to} at={refill.days} low={refill.low} high={refill.high} label={`${refill.product}: ${when}, 80 % range ${decimal(refill.low)} to ${decimal(refill.high)} days`} />
              <p className="text-meta text-muted">
                {refill.sources.map((source, i) => (
                  <span key={i} title={`${decimal(source.low)} to ${decimal(source.high)} days`}>
                    {i > 0 && ', '}
                    {source.source === 'sensor' && source.item ? (
                      <>
                        <Link to="/products/items/$id" params={{ id: source.item }} className="link">
                          its sensor
                        </Link>{' '}
                        says {decimal(source.days)}
                      </>
                    ) : (
                      <>their purchases say {decimal(source.days)}</>
                    )}
                  </span>
                ))}
                {refill.sources.length > 1 && '; weighed by how sure each is'}
              </p>
            </li>
          )
        })}
      </ul>
    </Card>
  )
}

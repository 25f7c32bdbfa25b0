import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { scoresQuery } from '@/api/queries'
import type { Person, PersonScores, ScoreExplanation } from '@/api/types'
import { decimal, money, percent, signed } from '@/format/number'
import { plain, readScore } from '@/format/person'
import { useCurrency } from '@/shell/currency'
import { SignedBar } from '@/ui/charts'
import { Badge, Card, Rows } from '@/ui/parts'
import { Empty, Loaded } from '@/ui/states'

const names: Record<string, string> = { clv: 'Lifetime value', purchases: 'Purchases within a year', churn: 'Has left', nextPurchase: 'Days to the next purchase' }
const inputs: Record<string, string> = { customerForDays: 'Customer for, days', horizonDays: 'Looks ahead, days', lastPurchaseDays: 'Last purchase, days ago', meanPurchaseValue: 'Mean purchase', repeatPurchases: 'Repeat purchases' }

/** What is foretold of a person, with its range, taken apart. */
export function ScoresTab({ person }: { person: Person }) {
  const query = useQuery(scoresQuery(person.id))
  return (
    <Loaded query={query}>
      {(answer) =>
        !answer.explanations?.length ? (
          <Empty title="Nothing is foretold of this person yet">
            Scores come with the first purchase, once there is a model. <Link to="/setup/models" className="link">See the models</Link>.
          </Empty>
        ) : (
          <div className="grid items-start gap-3 lg:grid-cols-2">
            {answer.explanations.map((explanation) => (
              <ScoreCard key={explanation.score} explanation={explanation} range={readScore(answer.scores[explanation.score as keyof PersonScores] ?? explanation.value)} />
            ))}
          </div>
        )
      }
    </Loaded>
  )
}

function ScoreCard({ explanation, range }: { explanation: ScoreExplanation; range: { low?: number; high?: number } }) {
  const currency = useCurrency()
  const write = (n: number) => (explanation.score === 'clv' ? money(n, currency) : explanation.score === 'churn' ? percent(n) : decimal(n))
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
            <span className="text-right tabular-nums">{explanation.score === 'churn' ? `${signed(c.effect * 100, 1)} %` : signed(c.effect)}</span>
          </li>
        ))}
      </ul>
      <h3 className="mt-3 mb-1 font-medium">From what was seen</h3>
      <Rows rows={Object.entries(explanation.inputs).map(([name, value]) => ({ name: inputs[name] ?? name, value: plain(value) }))} />
    </Card>
  )
}

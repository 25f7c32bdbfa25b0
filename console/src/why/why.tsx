// Why: the one explanation of a decision, the same on every page. It shows
// stored values and computes none of them again.
import { Link } from '@tanstack/react-router'
import { Check, ChevronRight, CircleSlash, Lightbulb, ShieldHalf, Sparkles, X } from 'lucide-react'
import { Fragment, useId, useMemo, useState, type ReactNode } from 'react'
import type { Candidate, Explanation, WhyClause } from '@/api/types'
import { decimal, percent, plural, signed } from '@/format/number'
import { plain } from '@/format/person'
import { SignedBar } from '@/ui/charts'
import { cx } from '@/ui/cx'
import { Explained } from '@/ui/explain'
import { Select } from '@/ui/field'
import { Badge, Rows } from '@/ui/parts'
import { funnelBars, ranked, startLabel, whyNot, widestTerm, type FunnelBar } from './reading'

export function Why({ explanation, action, onAction }: { explanation: Explanation; action?: string; onAction?: (action: string | undefined) => void }) {
  const [own, setOwn] = useState<string>()
  const asked = onAction ? action : own
  const scores = useMemo(() => ranked(explanation.candidates), [explanation])
  const bars = useMemo(() => funnelBars(explanation), [explanation])
  return (
    <div className="space-y-5">
      <Verdict explanation={explanation} />
      <WhyNot explanation={explanation} asked={asked} onAsk={onAction ?? setOwn} />
      <Section title="From all actions to the few" note={`${plural(explanation.candidates.length, 'action')}, ${scores.length} weighed.${bars.length > 0 ? ' Open a bar to see the rule and the value that failed.' : ''}`}>
        <Funnel explanation={explanation} bars={bars} left={scores.length} asked={asked} />
      </Section>
      {scores.length > 0 && (
        <Section title="How the rest compared" note="Expected value, what it is made of, and the chance each had of being chosen.">
          <Scores candidates={scores} explanation={explanation} asked={asked} />
        </Section>
      )}
      {explanation.whatWouldChange.length > 0 && (
        <Section title="What would have changed it">
          <ul className="space-y-1.5">
            {explanation.whatWouldChange.map((line) => (
              <li key={line} className="flex gap-2">
                <Lightbulb size={14} aria-hidden className="mt-[3px] shrink-0 text-warn" />
                {line}
              </li>
            ))}
          </ul>
        </Section>
      )}
      <Inputs explanation={explanation} />
    </div>
  )
}

function Section({ title, note, children }: { title: string; note?: string; children: ReactNode }) {
  const id = useId()
  return (
    <section aria-labelledby={id}>
      <h2 id={id} className="text-card font-semibold">
        {title}
      </h2>
      {note && <p className="text-meta text-muted">{note}</p>}
      <div className="mt-2">{children}</div>
    </section>
  )
}

function Verdict({ explanation }: { explanation: Explanation }) {
  const { decision } = explanation
  const chosen = decision.items.length > 0
  const Icon = decision.holdout ? ShieldHalf : chosen ? Sparkles : CircleSlash
  return (
    <div className={cx('flex gap-3 rounded-card p-3.5', chosen ? 'bg-accent-soft' : 'bg-sunken')}>
      <Icon size={18} aria-hidden className={cx('mt-0.5 shrink-0', chosen ? 'text-accent' : 'text-muted')} />
      <p className="text-card">{explanation.sentence}</p>
    </div>
  )
}

function WhyNot({ explanation, asked, onAsk }: { explanation: Explanation; asked?: string; onAsk: (action: string | undefined) => void }) {
  const id = useId()
  const names = explanation.candidates.map((candidate) => candidate.action).sort()
  return (
    <div className="flex flex-wrap items-center gap-x-3 gap-y-2">
      <label htmlFor={id} className="font-medium">
        Why not
      </label>
      <Select id={id} value={asked ?? ''} onChange={(event) => onAsk(event.target.value || undefined)} className="min-w-[190px] max-md:flex-1">
        <option value="">choose an action…</option>
        {names.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </Select>
      {asked && (
        <p role="status" className="rise w-full rounded-control border border-line bg-surface px-3 py-2">
          {whyNot(explanation, asked)}
        </p>
      )}
      {asked && explanation.action?.action === asked && (explanation.action.clauses?.length ?? 0) > 0 && <Clauses clauses={explanation.action.clauses ?? []} />}
    </div>
  )
}

/** The action's condition, part by part, with what was found. */
function Clauses({ clauses }: { clauses: WhyClause[] }) {
  return (
    <ul aria-label="Its condition" className="w-full space-y-1">
      {clauses.map((clause, i) => (
        <li key={i} className="flex gap-2">
          {clause.held ? <Check size={14} className="mt-[3px] shrink-0 text-good" aria-label="held" /> : <X size={14} className="mt-[3px] shrink-0 text-bad" aria-label="failed" />}
          <span className="min-w-0">
            <code className={cx('font-mono text-meta', clause.decisive && !clause.held && 'font-semibold')}>{clause.text}</code>
            {clause.found && clause.found !== clause.text && <span className="block text-meta text-muted">{clause.found}</span>}
          </span>
        </li>
      ))}
    </ul>
  )
}

function Funnel({ explanation, bars, left, asked }: { explanation: Explanation; bars: FunnelBar[]; left: number; asked?: string }) {
  const all = Math.max(1, explanation.candidates.length)
  const chosen = explanation.decision.items.length
  return (
    <div className="space-y-1">
      <PlainBar label={startLabel(explanation)} value={explanation.candidates.length} share={1} />
      {bars.map((bar) => (
        <RuleBar key={bar.rule} bar={bar} all={all} open={asked !== undefined && bar.actions.some((entry) => entry.action === asked)} asked={asked} />
      ))}
      <PlainBar label="Weighed" value={left} share={left / all} strong />
      <PlainBar label={chosen ? 'Chosen' : 'Nothing chosen'} value={chosen} share={chosen / all} strong />
    </div>
  )
}

const barGrid = 'grid w-full grid-cols-[136px_minmax(0,1fr)_44px] items-center gap-3 rounded-control px-2 text-left md:grid-cols-[176px_minmax(0,1fr)_44px]'

function PlainBar({ label, value, share, strong }: { label: string; value: number; share: number; strong?: boolean }) {
  return (
    <div className={cx(barGrid, 'h-[28px]')}>
      <span className={cx('clip pl-5', strong && 'font-medium')}>{label}</span>
      <span aria-hidden className="block h-3 rounded-[3px] bg-sunken">
        <span className={cx('block h-full rounded-[3px]', strong ? 'bg-accent' : 'bg-line-strong')} style={{ width: `${share * 100}%` }} />
      </span>
      <span className="text-right font-medium tabular-nums">{value}</span>
    </div>
  )
}

function RuleBar({ bar, all, open: asked, asked: action }: { bar: FunnelBar; all: number; open: boolean; asked?: string }) {
  const [own, setOwn] = useState<boolean>()
  const open = own ?? asked
  const id = useId()
  return (
    <div>
      <button type="button" aria-expanded={open} aria-controls={id} onClick={() => setOwn(!open)} className={cx(barGrid, 'h-[28px] transition-colors hover:bg-sunken')}>
        <span className="flex min-w-0 items-center gap-1.5">
          <ChevronRight size={13} aria-hidden className={cx('shrink-0 text-muted transition-transform', open && 'rotate-90')} />
          <span className="clip">{bar.label}</span>
        </span>
        <span aria-hidden className="flex h-3 overflow-hidden rounded-[3px] bg-sunken">
          <span className="bg-line-strong" style={{ width: `${(bar.after / all) * 100}%` }} />
          <span className="bg-order opacity-80" style={{ width: `${(bar.removed / all) * 100}%` }} />
        </span>
        <span className="text-right text-warn tabular-nums">−{bar.removed}</span>
      </button>
      {open && (
        <dl id={id} className="rise mt-1 mb-2 ml-7 grid gap-x-4 gap-y-1 border-l border-line pl-3 md:grid-cols-[150px_minmax(0,1fr)]">
          {bar.actions.map((entry) => (
            <Fragment key={entry.action}>
              <dt className={cx('clip', entry.action === action && 'font-semibold text-accent')}>
                <ActionLink id={entry.action} />
              </dt>
              <dd className="mb-1 text-muted md:mb-0">{entry.detail}</dd>
            </Fragment>
          ))}
        </dl>
      )}
    </div>
  )
}

const ActionLink = ({ id }: { id: string }) => (
  <Link to="/actions/$id" params={{ id }} className="hover:text-accent hover:underline">
    {id}
  </Link>
)

function Scores({ candidates, explanation, asked }: { candidates: Candidate[]; explanation: Explanation; asked?: string }) {
  const span = widestTerm(candidates)
  const chosen = new Set(explanation.decision.items.map((item) => item.action))
  const [open, setOpen] = useState<string | undefined>(() => candidates[0]?.action)
  return (
    <div className="overflow-x-auto rounded-card border border-line">
      <table className="w-full border-separate border-spacing-0 [&_td]:border-b [&_td]:border-line [&_td]:px-2 md:[&_td]:px-3 [&_th]:h-[32px] [&_th]:border-b [&_th]:border-line [&_th]:px-2 md:[&_th]:px-3 [&_th]:text-meta [&_th]:font-medium [&_th]:text-muted [&_tbody:last-child_tr:last-child_td]:border-b-0">
        <thead>
          <tr>
            <th scope="col" className="text-left">
              Action
            </th>
            <Head name="Value" explain="The expected value of choosing it: the sum of the contributions below, in the deployment’s money." />
            <Head name="Exploration" wide explain="What the draw added or took: an action that is little known gets a wider draw, so that it can prove itself." />
            <Head name="Score" explain="Value and exploration together. The highest score wins, if it is worth more than silence." />
            <Head name="Chance" explain="Propensity: the probability with which this action would be chosen at this moment. It makes later comparison fair." />
          </tr>
        </thead>
        {candidates.map((candidate) => {
          const mean = candidate.mean ?? 0
          const score = candidate.score ?? 0
          const isOpen = open === candidate.action || (asked === candidate.action && open === undefined)
          return (
            <tbody key={candidate.action}>
              <tr className={cx('relative hover:bg-sunken', asked === candidate.action && 'bg-accent-soft')}>
                <td className="h-[34px]">
                  <button type="button" aria-expanded={isOpen} onClick={() => setOpen(isOpen ? '' : candidate.action)} className="flex items-center gap-1.5 text-left font-medium after:absolute after:inset-0">
                    <ChevronRight size={13} aria-hidden className={cx('shrink-0 text-muted transition-transform', isOpen && 'rotate-90')} />
                    {candidate.action}
                    {chosen.has(candidate.action) && <Badge look="accent">chosen</Badge>}
                  </button>
                </td>
                <td className="text-right tabular-nums">{mean.toFixed(3)}</td>
                <td className="text-right text-muted tabular-nums max-md:hidden">{signed(score - mean, 3)}</td>
                <td className="text-right font-medium tabular-nums">{score.toFixed(3)}</td>
                <td className="text-right tabular-nums">{percent(candidate.propensity ?? 0)}</td>
              </tr>
              {isOpen && (candidate.terms?.length ?? 0) > 0 && (
                <tr>
                  <td colSpan={5} className="bg-bg py-2!">
                    <dl className="space-y-1 pl-[19px]">
                      {candidate.terms?.map((term) => (
                        <div key={term.name} className="grid grid-cols-[minmax(0,1fr)_90px_52px] md:grid-cols-[minmax(0,1fr)_120px_60px] items-center gap-3">
                          <dt className="clip text-muted">{term.name}</dt>
                          <dd className="contents">
                            <SignedBar value={term.value} span={span} />
                            <span className="text-right tabular-nums">{signed(term.value, 3)}</span>
                          </dd>
                        </div>
                      ))}
                    </dl>
                  </td>
                </tr>
              )}
            </tbody>
          )
        })}
      </table>
    </div>
  )
}

function Head({ name, explain, wide }: { name: string; explain: string; wide?: boolean }) {
  return (
    <th scope="col" className={cx('text-right', wide && 'max-md:hidden')}>
      <Explained title={name} trigger={name}>
        {explain}
      </Explained>
    </th>
  )
}

function Inputs({ explanation }: { explanation: Explanation }) {
  const { decision } = explanation
  const features = Object.entries(decision.features)
  const context = Object.entries(decision.context)
  return (
    <Section title="What was known" note="The inputs as they were stored with the decision.">
      <div className="grid gap-x-8 md:grid-cols-2">
        <Rows rows={features.map(([name, value]) => ({ name, value: typeof value === 'number' ? decimal(value) : plain(value) }))} />
        <Rows
          rows={[
            ...context.map(([name, value]) => ({ name: `context.${name}`, value: plain(value) })),
            { name: 'Asked by', value: decision.cause, note: 'What caused the decision' },
            { name: 'Config version', value: decision.config },
            { name: 'Model version', value: decision.model },
            { name: 'Seed', value: <span className="font-mono text-meta">{String(decision.seed)}</span>, note: 'Fixes every random draw of the decision' },
          ]}
        />
      </div>
    </Section>
  )
}

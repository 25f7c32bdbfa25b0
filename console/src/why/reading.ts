// What the Why component reads out of an explanation: pure, so that it can be tested.
import type { Candidate, Explanation } from '@/api/types'

/** The weighed candidates, best score first, then what is left of the rest. */
export function ranked(candidates: Candidate[]): Candidate[] {
  return candidates.filter((candidate) => !candidate.excluded).sort((a, b) => (b.score ?? 0) - (a.score ?? 0))
}

export interface FunnelBar {
  rule: string
  label: string
  /** Candidates left before and after the rule. */
  before: number
  after: number
  removed: number
  actions: { action: string; detail: string }[]
}

/** The rules that took something out, as a funnel that begins with every candidate. */
export function funnelBars(explanation: Pick<Explanation, 'funnel' | 'candidates'>): FunnelBar[] {
  let left = explanation.candidates.length
  const bars: FunnelBar[] = []
  for (const step of explanation.funnel) {
    if (step.removed === 0) continue
    const before = left
    left = Math.max(0, left - step.removed)
    bars.push({ rule: step.rule, label: step.label || step.rule, before, after: left, removed: step.removed, actions: step.actions })
  }
  return bars
}

/** What the first bar counts: a leading step that took nothing out names it. */
export function startLabel(explanation: Pick<Explanation, 'funnel'>): string {
  const first = explanation.funnel[0]
  return first && first.removed === 0 && first.rule === 'candidates' ? first.label : 'In config'
}

/** The widest contribution, so that all bars share one scale. */
export function widestTerm(candidates: Candidate[]): number {
  return Math.max(0.0001, ...candidates.flatMap((candidate) => (candidate.terms ?? []).map((term) => Math.abs(term.value))))
}

/** "Why not X?" in a sentence, from what was stored. */
export function whyNot(explanation: Explanation, action: string): string {
  const candidate = explanation.candidates.find((c) => c.action === action)
  if (!candidate) return `${action} did not exist when this was decided.`
  const chosen = explanation.decision.items.find((item) => item.action === action)
  if (chosen) return `${action} was chosen${chosen.propensity ? `, with probability ${Math.round(chosen.propensity * 100)} %` : ''}.`
  if (candidate.excluded) {
    const label = explanation.funnel.find((step) => step.rule === candidate.excluded)?.label ?? candidate.excluded
    return `${action} was taken out before scoring. ${label}${candidate.detail ? `: ${candidate.detail}` : ''}.`
  }
  const rank = ranked(explanation.candidates).findIndex((c) => c.action === action) + 1
  const best = ranked(explanation.candidates)[0]
  if (explanation.decision.items.length === 0) return `${action} was weighed and ranked ${rank}, but its score of ${(candidate.score ?? 0).toFixed(2)} was not worth breaking the silence.`
  const gap = (best?.score ?? 0) - (candidate.score ?? 0)
  return `${action} was weighed and ranked ${rank}: its score was ${gap.toFixed(2)} below ${best?.action}.`
}

// Makes answers whole where the server leaves a list out.
import type { Decision, Explanation } from './types'

type Sparse<T> = { [K in keyof T]: T[K] extends unknown[] ? T[K] | null : T[K] }

export function wholeDecision(decision: Sparse<Decision>): Decision {
  return { ...decision, items: decision.items ?? [], candidates: decision.candidates ?? [], features: decision.features ?? {}, context: decision.context ?? {} }
}

export function wholeExplanation(explanation: Sparse<Explanation>): Explanation {
  return {
    ...explanation,
    funnel: (explanation.funnel ?? []).map((step) => ({ ...step, actions: step.actions ?? [] })),
    candidates: explanation.candidates ?? [],
    whatWouldChange: explanation.whatWouldChange ?? [],
    decision: wholeDecision(explanation.decision),
  }
}

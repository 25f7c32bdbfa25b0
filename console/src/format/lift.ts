import type { Lift } from '@/api/types'
import { money, signedPercent } from './number'

/** One figure of a lift in its own unit: a share as percent, a value as money. */
export function liftValue(n: number, unit: string, currency?: string): string {
  if (/share|percent|%/.test(unit)) return signedPercent(n)
  const text = money(Math.abs(n), currency)
  return Number(Math.abs(n).toFixed(2)) === 0 ? text : (n < 0 ? '−' : '+') + text
}

/** +0.42 (0.21 to 0.63), with its unit: a lift is never told without its interval. */
export function liftSentence(lift: Lift, currency?: string): string {
  const at = (n: number) => liftValue(n, lift.unit, currency)
  return `${at(lift.value)} ${lift.unit}, 95 % interval ${at(lift.low)} to ${at(lift.high)}`
}

/** Half the width of an axis that holds every interval, rounded up to two digits. */
export function liftSpan(lifts: (Lift | null | undefined)[]): number {
  const most = Math.max(0, ...lifts.flatMap((lift) => (lift ? [Math.abs(lift.low), Math.abs(lift.high)] : [])))
  if (most === 0) return 1
  const step = 10 ** (Math.floor(Math.log10(most)) - 1)
  return Math.ceil(most / step) * step
}

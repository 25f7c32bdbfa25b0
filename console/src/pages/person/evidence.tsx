import type { IdentityLink } from '@/api/types'
import { decimal, signed } from '@/format/number'
import { identifierKind } from '@/format/person'
import { cx } from '@/ui/cx'

/** Which two names the link joins, where the server tells. */
export function joined({ identifiers }: Pick<IdentityLink, 'identifiers'>) {
  const [a, b] = identifiers ?? []
  if (!a || !b) return undefined
  return (
    <>
      {identifierKind(a.kind)} <strong className="font-medium break-all">{a.value}</strong> is {identifierKind(b.kind).toLowerCase()} <strong className="font-medium break-all">{b.value}</strong>
    </>
  )
}

const kinds: Record<string, string> = {
  verified: 'Both stood on one event of a signed-in person, so they hold together by rule.',
  device: 'The person signed in on this device; what was done there before and since is theirs.',
  alias: 'A program said that both are one.',
  manual: 'A colleague said that both are one.',
  probable: 'Nobody said so: the records resemble each other. The bits below say how much.',
}

const fields: Record<string, string> = { prior: 'Odds of two strangers', household: 'Shared household' }

/** given_name as Given name. */
const named = (field: string) => fields[field] ?? (field[0] ?? '').toUpperCase() + field.slice(1).replaceAll('_', ' ')

/** Why a link holds: by rule in a sentence, by likeness as a waterfall of bits. */
export function Evidence({ link }: { link: IdentityLink }) {
  const steps = (link.waterfall ?? []).filter((step) => step.bits !== 0) // what neither record says adds nothing
  return (
    <div className="space-y-2">
      <p className="text-muted">{kinds[link.kind] ?? link.evidence}</p>
      {steps.length > 0 && <Waterfall steps={steps} total={link.bits ?? 0} />}
    </div>
  )
}

/** Each part begins where the one before ended; the last line is the sum. */
function Waterfall({ steps, total }: { steps: NonNullable<IdentityLink['waterfall']>; total: number }) {
  const ends: number[] = []
  let sum = 0
  for (const step of steps) ends.push((sum += step.bits))
  const low = Math.min(0, ...ends)
  const high = Math.max(0, ...ends)
  const span = high - low || 1
  const at = (bits: number) => `${((bits - low) / span) * 100}%`
  return (
    <table className="w-full max-w-[560px] text-meta">
      <caption className="sr-only">Parts of the evidence in bits</caption>
      <thead className="sr-only">
        <tr>
          <th scope="col">What was compared</th>
          <th scope="col">Where it leads</th>
          <th scope="col">Bits</th>
        </tr>
      </thead>
      <tbody>
        {steps.map((step, i) => {
          const from = ends[i - 1] ?? 0
          const to = ends[i] ?? 0
          return (
            <tr key={i}>
              <th scope="row" className="w-[42%] py-1 pr-3 text-left font-normal" title={step.rarity ? `${decimal(step.rarity)} of these bits because the value is rare` : undefined}>
                {named(step.field)}
                {step.level && <span className="text-muted"> {step.level}</span>}
              </th>
              <td className="py-1">
                <span aria-hidden className="relative block h-3">
                  <span className="absolute inset-y-0 w-px bg-line-strong" style={{ left: at(0) }} />
                  <span className={cx('absolute inset-y-[2px] min-w-[2px] rounded-[2px]', step.bits < 0 ? 'bg-order' : 'bg-cart')} style={{ left: at(Math.min(from, to)), right: `calc(100% - ${at(Math.max(from, to))})` }} />
                </span>
              </td>
              <td className="w-16 py-1 pl-3 text-right tabular-nums">{signed(step.bits, 1)}</td>
            </tr>
          )
        })}
        <tr className="border-t border-line font-medium">
          <th scope="row" className="py-1 text-left font-medium">
            Together
          </th>
          <td className="py-1 text-muted">{total >= 0 ? `${odds(total)} : 1 for one person` : `1 : ${odds(-total)} against it`}</td>
          <td className="py-1 pl-3 text-right tabular-nums">{signed(total, 1)} bits</td>
        </tr>
      </tbody>
    </table>
  )
}

const odds = (bits: number) => (bits > 40 ? 'beyond a trillion' : decimal(2 ** bits))

const grouped = new Intl.NumberFormat('en')
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })

/** 18,342 */
export const count = (n: number) => grouped.format(Math.round(n))

/** 18.3K once the number outgrows its place. */
export const compact = (n: number) => (Math.abs(n) < 100_000 ? count(n) : short.format(n))

/** 11 %, 2.8 %, 0.31 %: more digits where they matter. */
export function percent(share: number): string {
  const n = share * 100
  const size = Math.abs(n)
  const digits = size === 0 || size >= 10 ? 0 : size >= 1 ? 1 : 2
  return `${trim(n.toFixed(digits))} %`
}

/** +2.84 % or −0.6 %, with a true minus sign. */
export function signedPercent(share: number): string {
  return signed(share * 100, 1) + ' %'
}

/** +0.12 or −3.4, with a true minus sign. */
export function signed(n: number, digits = 2): string {
  const text = Math.abs(n).toFixed(digits)
  if (Number(text) === 0) return text
  return (n < 0 ? '−' : '+') + text
}

/** 4.2, 0.31, 1,204: a rate or a mean. */
export function decimal(n: number): string {
  const size = Math.abs(n)
  if (size >= 100) return grouped.format(Math.round(n))
  return trim(n.toFixed(size >= 10 ? 1 : 2))
}

/** 2.3 ms */
export const millis = (n: number) => `${n >= 100 ? Math.round(n) : n.toFixed(1)} ms`

/** 1.4 GB */
export function bytes(n: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB']
  let unit = 0
  while (n >= 1000 && unit < units.length - 1) {
    n /= 1000
    unit++
  }
  return `${unit === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[unit]}`
}

/** Money in the deployment's currency; a plain number where it has none. */
export function money(n: number, currency?: string): string {
  if (!currency) return (n < 0 ? '−' : '') + Math.abs(n).toFixed(2)
  const digits = Math.abs(n) >= 1000 ? 0 : 2
  return new Intl.NumberFormat('en', { style: 'currency', currency, minimumFractionDigits: digits, maximumFractionDigits: digits }).format(n).replace('-', '−')
}

export const plural = (n: number, one: string, many = one + 's') => `${count(n)} ${n === 1 ? one : many}`

const trim = (text: string) => (text.includes('.') ? text.replace(/\.?0+$/, '') : text).replace('-', '−')

import type { Time } from '@/api/types'

export function toDate(time: Time): Date {
  return new Date(time)
}

const two = (n: number) => String(n).padStart(2, '0')

/** 20:31:39, local time. */
export function clock(time: Time): string {
  const d = toDate(time)
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`
}

/** 2026-11-21, local time. */
export function day(time: Time): string {
  const d = toDate(time)
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`
}

/** 2026-11-21 20:31:39, local time: the exact text behind every relative one. */
export function moment(time: Time): string {
  return `${day(time)} ${clock(time)}`
}

/** Today, Yesterday, or the weekday and date. */
export function dayName(time: Time, now = Date.now()): string {
  const name = day(time)
  if (name === day(now)) return 'Today'
  if (name === day(now - 86_400_000)) return 'Yesterday'
  const weekday = toDate(time).toLocaleDateString('en', { weekday: 'long' })
  return `${weekday}, ${name}`
}

const steps: [number, string][] = [
  [365 * 86_400, 'y'],
  [30 * 86_400, 'mo'],
  [86_400, 'd'],
  [3600, 'h'],
  [60, 'min'],
  [1, 's'],
]

/** now, 37 min, 2 h, 4 d: how long ago, in one unit. */
export function ago(time: Time, now = Date.now()): string {
  const seconds = Math.floor((now - toDate(time).getTime()) / 1000)
  if (Number.isNaN(seconds)) return '–'
  if (seconds < 2) return 'now'
  return duration(seconds)
}

/** 37 min, 2 h, 4 d: a length of time, in one unit. */
export function duration(seconds: number): string {
  for (const [size, unit] of steps) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`
  return '0 s'
}

export interface DiffLine {
  kind: '+' | '-' | ' '
  text: string
}

/** The change from one text to another, line by line: the longest common subsequence stays. */
export function lineDiff(before: string, after: string): DiffLine[] {
  const a = split(before)
  const b = split(after)
  let start = 0
  while (start < a.length && start < b.length && a[start] === b[start]) start++
  let end = 0
  while (end < a.length - start && end < b.length - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++
  const same = (text: string): DiffLine => ({ kind: ' ', text })
  return [...a.slice(0, start).map(same), ...middle(a.slice(start, a.length - end), b.slice(start, b.length - end)), ...a.slice(a.length - end).map(same)]
}

const split = (text: string) => (text === '' ? [] : text.replace(/\n$/, '').split('\n'))

function middle(a: string[], b: string[]): DiffLine[] {
  // Beyond this size the table costs more than a better diff is worth.
  if (a.length * b.length > 1_000_000) return [...a.map((text): DiffLine => ({ kind: '-', text })), ...b.map((text): DiffLine => ({ kind: '+', text }))]
  const width = b.length + 1
  const common = new Uint32Array((a.length + 1) * width)
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i * width + j] = a[i] === b[j] ? (common[(i + 1) * width + j + 1] ?? 0) + 1 : Math.max(common[(i + 1) * width + j] ?? 0, common[i * width + j + 1] ?? 0)
    }
  }
  const out: DiffLine[] = []
  let i = 0
  let j = 0
  while (i < a.length || j < b.length) {
    const x = a[i]
    const y = b[j]
    if (x !== undefined && x === y) {
      out.push({ kind: ' ', text: x })
      i++
      j++
    } else if (x !== undefined && (y === undefined || (common[(i + 1) * width + j] ?? 0) >= (common[i * width + j + 1] ?? 0))) {
      out.push({ kind: '-', text: x })
      i++
    } else if (y !== undefined) {
      out.push({ kind: '+', text: y })
      j++
    }
  }
  return out
}

/** Reads a diff as the server writes it: "+ ", "- " or two blanks before each line. */
export function parseDiff(text: string): DiffLine[] {
  return split(text).map((line) => {
    const kind = line[0] === '+' || line[0] === '-' ? line[0] : ' '
    return { kind, text: line.slice(2) }
  })
}

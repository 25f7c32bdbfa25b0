/**
 * How well a text answers a query: 0 not at all, more is better. Every word of
 * the query must begin a word of the text, or stand somewhere in it.
 */
export function match(query: string, text: string): number {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean)
  const inside = text.toLowerCase()
  let score = 1
  for (const word of words) {
    const at = inside.indexOf(word)
    if (at < 0) return 0
    if (at === 0) score += 3
    else if (/[\s\-_./:]/.test(inside[at - 1] ?? '')) score += 2
    else score += 1
  }
  return score
}

export function best<T>(items: T[], query: string, text: (item: T) => string, limit: number): T[] {
  if (!query.trim()) return items.slice(0, limit)
  return items
    .map((item, order) => ({ item, order, score: match(query, text(item)) }))
    .filter((entry) => entry.score > 0)
    .sort((a, b) => b.score - a.score || a.order - b.order)
    .slice(0, limit)
    .map((entry) => entry.item)
}

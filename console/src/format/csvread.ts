// Reads CSV as it arrives (RFC 4180, any of the usual delimiters).

export interface CsvRow {
  /** The line of the file the row begins at, from 1. */
  line: number
  cells: string[]
}

/** The character between columns: the most frequent of the usual ones in the first line. */
export function delimiterOf(head: string): string {
  const first = head.split(/\r?\n/, 1)[0] ?? ''
  const counts = [',', ';', '\t', '|'].map((mark) => ({ mark, n: first.split(mark).length }))
  return counts.sort((a, b) => b.n - a.n)[0]?.mark ?? ','
}

/** A reader that is fed pieces of text and gives the rows that are whole. */
export class CsvReader {
  private text = ''
  private line = 1
  private first = true

  constructor(private readonly delimiter: string) {}

  feed(piece: string, last = false): CsvRow[] {
    this.text += this.first ? piece.replace(/^\uFEFF/, '') : piece
    if (piece) this.first = false
    const rows: CsvRow[] = []
    const { text, delimiter } = this
    let cells: string[] = []
    let cell = ''
    let quoted = false
    let begun = 0 // of the row
    let line = this.line
    let rowLine = line
    const close = (end: number) => {
      cells.push(cell)
      if (cells.length > 1 || cells[0] !== '') rows.push({ line: rowLine, cells })
      cells = []
      cell = ''
      begun = end
      rowLine = line
      this.line = line
    }
    let i = 0
    for (; i < text.length; i++) {
      const c = text[i]
      if (quoted) {
        if (c === '"') {
          if (i + 1 >= text.length && !last) break // the next piece tells whether it is doubled
          if (text[i + 1] === '"') {
            cell += '"'
            i++
          } else quoted = false
        } else {
          if (c === '\n') line++
          cell += c
        }
      } else if (c === '"' && cell === '') quoted = true
      else if (c === delimiter) {
        cells.push(cell)
        cell = ''
      } else if (c === '\n') {
        line++
        if (cell.endsWith('\r')) cell = cell.slice(0, -1)
        close(i + 1)
      } else cell += c
    }
    this.text = text.slice(begun)
    if (last && this.text !== '') {
      if (cell.endsWith('\r')) cell = cell.slice(0, -1)
      close(text.length)
      this.text = ''
    }
    return rows
  }
}

// The Markdown our documentation is written in, as elements: headings,
// paragraphs, lists, tables, code, and the marks inside a line. Nothing of it is
// ever markup of the page: a tag in a text is text.
import { Link } from '@tanstack/react-router'
import { Fragment, type ReactNode } from 'react'

type Block =
  | { kind: 'heading'; depth: number; text: string }
  | { kind: 'paragraph'; text: string }
  | { kind: 'code'; text: string }
  | { kind: 'list'; ordered: boolean; items: string[] }
  | { kind: 'table'; head: string[]; rows: string[][] }

const cellsOf = (line: string) =>
  line
    .trim()
    .replace(/^\|/, '')
    .replace(/\|$/, '')
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replace(/\\\|/g, '|'))

/** Takes a text apart into its blocks. */
export function blocks(text: string): Block[] {
  const lines = text.replace(/\r/g, '').split('\n')
  const out: Block[] = []
  for (let i = 0; i < lines.length; ) {
    const line = lines[i] ?? ''
    const heading = /^(#{1,4}) +(.*)$/.exec(line)
    const item = /^(\d+\.|[-*]) +(.*)$/.exec(line)
    if (line.trim() === '') i++
    else if (line.startsWith('```')) {
      const body: string[] = []
      for (i++; i < lines.length && !lines[i]?.startsWith('```'); i++) body.push(lines[i] ?? '')
      i++
      out.push({ kind: 'code', text: body.join('\n') })
    } else if (heading) {
      out.push({ kind: 'heading', depth: heading[1]?.length ?? 1, text: heading[2] ?? '' })
      i++
    } else if (line.startsWith('|') && /^\|?[\s:|-]+\|[\s:|-]*$/.test(lines[i + 1] ?? '')) {
      const head = cellsOf(line)
      const rows: string[][] = []
      for (i += 2; lines[i]?.startsWith('|'); i++) rows.push(cellsOf(lines[i] ?? ''))
      out.push({ kind: 'table', head, rows })
    } else if (item) {
      const ordered = /\d/.test(item[1] ?? '')
      const items: string[] = []
      for (; i < lines.length; i++) {
        const next = /^(\d+\.|[-*]) +(.*)$/.exec(lines[i] ?? '')
        if (next) items.push(next[2] ?? '')
        else if (/^\s+\S/.test(lines[i] ?? '') && items.length) items[items.length - 1] += ` ${lines[i]?.trim()}`
        else break
      }
      out.push({ kind: 'list', ordered, items })
    } else {
      const body: string[] = []
      for (; i < lines.length && lines[i]?.trim() && !/^(#{1,4} |```|\||(\d+\.|[-*]) )/.test(lines[i] ?? ''); i++) body.push(lines[i]?.trim() ?? '')
      if (body.length === 0) body.push(lines[i++] ?? '') // a line that only looks like something else
      out.push({ kind: 'paragraph', text: body.join(' ') })
    }
  }
  return out
}

const marks = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|\[([^\]]+)\]\(([^)\s]+)\)/g

/** Where a link of a page leads: to another page of ours, or nowhere. */
export function target(page: string, href: string): string | undefined {
  const [file = '', hash] = href.split('#')
  if (/^[a-z]+:/i.test(href) || !file.endsWith('.md')) return undefined
  const parts = page.split('/').slice(0, -1)
  for (const part of file.replace(/\.md$/, '').split('/')) {
    if (part === '..') parts.pop()
    else if (part !== '.') parts.push(part)
  }
  return parts.join('/') + (hash ? `#${hash}` : '')
}

function Inline({ text, page }: { text: string; page: string }) {
  const out: ReactNode[] = []
  let at = 0
  for (const m of text.matchAll(marks)) {
    out.push(text.slice(at, m.index))
    at = m.index + m[0].length
    const key = m.index
    if (m[1] !== undefined) out.push(<code key={key} className="rounded-sm bg-sunken px-1 font-mono text-meta">{m[1]}</code>)
    else if (m[2] !== undefined) out.push(<strong key={key} className="font-semibold"><Inline text={m[2]} page={page} /></strong>)
    else if (m[3] !== undefined) out.push(<em key={key}>{m[3]}</em>)
    else {
      const to = target(page, m[5] ?? '')
      out.push(to ? <Link key={key} to="/docs/$" params={{ _splat: to.split('#')[0] }} className="link">{m[4]}</Link> : <span key={key}>{m[4]}</span>)
    }
  }
  out.push(text.slice(at))
  return <>{out.map((part, i) => (typeof part === 'string' ? <Fragment key={`t${i}`}>{part}</Fragment> : part))}</>
}

export function Markdown({ text, page }: { text: string; page: string }) {
  return (
    <div className="space-y-3">
      {blocks(text).map((block, i) => {
        switch (block.kind) {
          case 'heading':
            return block.depth === 1 ? null : block.depth === 2 ? (
              <h2 key={i} className="pt-3 text-card font-semibold">
                <Inline text={block.text} page={page} />
              </h2>
            ) : (
              <h3 key={i} className="pt-1 font-semibold">
                <Inline text={block.text} page={page} />
              </h3>
            )
          case 'paragraph':
            return (
              <p key={i}>
                <Inline text={block.text} page={page} />
              </p>
            )
          case 'code':
            return (
              <pre key={i} tabIndex={0} role="group" aria-label="Code" className="overflow-x-auto rounded-control border border-line bg-sunken p-3 font-mono text-meta">
                {block.text}
              </pre>
            )
          case 'list': {
            const items = block.items.map((item, j) => (
              <li key={j}>
                <Inline text={item} page={page} />
              </li>
            ))
            return block.ordered ? (
              <ol key={i} className="list-decimal space-y-1.5 pl-5">
                {items}
              </ol>
            ) : (
              <ul key={i} className="list-disc space-y-1.5 pl-5">
                {items}
              </ul>
            )
          }
          case 'table':
            return (
              <div key={i} tabIndex={0} role="group" aria-label="Table" className="overflow-x-auto">
                <table className="w-full text-left">
                  {block.head.some(Boolean) && (
                    <thead>
                      <tr>
                        {block.head.map((cell, j) => (
                          <th key={j} scope="col" className="border-b border-line py-1 pr-3 font-medium">
                            <Inline text={cell} page={page} />
                          </th>
                        ))}
                      </tr>
                    </thead>
                  )}
                  <tbody>
                    {block.rows.map((row, j) => (
                      <tr key={j}>
                        {row.map((cell, k) => (
                          <td key={k} className="border-b border-line py-1 pr-3">
                            <Inline text={cell} page={page} />
                          </td>
                        ))}
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            )
        }
      })}
    </div>
  )
}

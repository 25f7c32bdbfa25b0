import { describe, expect, it } from 'vitest'
import { blocks, target } from './markdown'

describe('the documentation', () => {
  it('is taken apart into its blocks', () => {
    const text = '# Title\n\nOne\nline.\n\n- a\n  goes on\n- b\n\n1. first\n\n```yaml\nkind: x\n# no heading\n```\n\n| a | b |\n|---|---|\n| `x \\| y` | 2 |\n'
    expect(blocks(text)).toEqual([
      { kind: 'heading', depth: 1, text: 'Title' },
      { kind: 'paragraph', text: 'One line.' },
      { kind: 'list', ordered: false, items: ['a goes on', 'b'] },
      { kind: 'list', ordered: true, items: ['first'] },
      { kind: 'code', text: 'kind: x\n# no heading' },
      { kind: 'table', head: ['a', 'b'], rows: [['`x | y`', '2']] },
    ])
  })
  it('ends for any text', () => {
    for (const text of ['', '|', '| a', '```', '- ', '#', '####### x', '|---|', '1.', '* ', '\n\n-x']) expect(Array.isArray(blocks(text))).toBe(true)
  })
  it('links to its own pages only', () => {
    expect(target('guide/people', '../conditions.md')).toBe('conditions')
    expect(target('guide/people', 'start.md#keys')).toBe('guide/start#keys')
    expect(target('segments', 'https://elsewhere.example/x.md')).toBeUndefined()
    expect(target('segments', 'javascript:alert(1).md')).toBeUndefined()
  })
})

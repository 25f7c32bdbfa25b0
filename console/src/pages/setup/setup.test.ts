import { describe, expect, it } from 'vitest'
import { snippet } from './snippet'
import { newKey, template } from './template'

describe('snippets', () => {
  it('carry this server and this key in every language', () => {
    for (const language of ['curl', 'browser', 'node', 'go'] as const) {
      const code = snippet(language, 'wk_web_1', 'http://127.0.0.1:8080')
      expect(code).toContain('wk_web_1')
      expect(code).toContain('127.0.0.1:8080')
    }
  })
})

describe('templates', () => {
  it('begin with kind and id, and fall back on the required keys', () => {
    expect(template('placement', 'hero')).toBe('kind: placement\nid: hero\nslots: 1\n')
    expect(template('schema', 's', { name: 'schema', type: 'object', fields: [{ name: 'event', type: 'text', required: true }, { name: 'note', type: 'text' }] })).toBe('kind: schema\nid: s\nevent:\n')
  })
  it('make keys that differ and hold no odd characters', () => {
    const keys = new Set(Array.from({ length: 100 }, () => newKey('Web-Shop')))
    expect(keys.size).toBe(100)
    for (const key of keys) expect(key).toMatch(/^wk_webshop_[A-Za-z2-9]{16}$/)
  })
})

// Checks what a browser must fetch before it shows something: the entry, its
// style, and everything each route adds to them. Sizes are gzip bytes.
import { existsSync, readFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

const budget = { entry: 130_000, css: 10_000, route: 210_000 }

if (!existsSync('.build/manifest.json')) {
  console.log('budgets: skipped, there is no build yet (npm run build)')
  process.exit(0)
}
const manifest = JSON.parse(readFileSync('.build/manifest.json', 'utf8'))
const size = (file) => gzipSync(readFileSync(`dist/${file}`), { level: 9 }).length

/** Every chunk that a chunk needs at once, itself included. */
function closure(key, found = new Set()) {
  if (found.has(key)) return found
  found.add(key)
  for (const next of manifest[key].imports ?? []) closure(next, found)
  return found
}
const sum = (keys) => [...keys].reduce((total, key) => total + size(manifest[key].file), 0)

const entryKey = Object.keys(manifest).find((key) => manifest[key].isEntry)
const entry = closure(entryKey)
const css = new Set([...entry].flatMap((key) => manifest[key].css ?? []))
const rows = [
  ['entry', sum(entry), budget.entry],
  ['css', [...css].reduce((total, file) => total + size(file), 0), budget.css],
]
for (const key of Object.keys(manifest).filter((key) => manifest[key].isDynamicEntry && key.startsWith('src/pages/')).sort()) {
  rows.push([key.replace('src/pages/', '').replace('.tsx', ''), sum(closure(key, new Set(entry))), budget.route])
}
const editor = Object.keys(manifest).find((key) => key.endsWith('ui/editor.tsx'))
let failed = false
for (const [name, bytes, limit] of rows) {
  const over = bytes > limit
  failed ||= over
  console.log(`${over ? 'OVER' : '  ok'}  ${name.padEnd(22)} ${(bytes / 1000).toFixed(1).padStart(7)} KB  of ${limit / 1000}`)
}
if (editor) console.log(`      ${'editor, when opened'.padEnd(22)} ${((sum(closure(editor, new Set(entry))) - sum(entry)) / 1000).toFixed(1).padStart(7)} KB  more`)
if (failed) process.exit(1)

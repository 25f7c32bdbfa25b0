// After a build: writes a .gz and a .br beside every file that gets smaller by
// it, and takes the manifest out of what is served.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { extname, join } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

mkdirSync('.build', { recursive: true })
renameSync('dist/.vite/manifest.json', '.build/manifest.json')
rmSync('dist/.vite', { recursive: true })

const worth = new Set(['.js', '.css', '.html', '.svg', '.json'])
for (const entry of readdirSync('dist', { recursive: true, withFileTypes: true })) {
  const path = join(entry.parentPath, entry.name)
  if (!entry.isFile() || !worth.has(extname(path))) continue
  const body = readFileSync(path)
  const gz = gzipSync(body, { level: 9 })
  const br = brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: body.length } })
  if (gz.length < body.length * 0.9) writeFileSync(`${path}.gz`, gz)
  if (br.length < body.length * 0.9) writeFileSync(`${path}.br`, br)
}

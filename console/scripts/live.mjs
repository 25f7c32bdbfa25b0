// Runs the browser tests over the real program with the demo world: starts
// RAPPORT_BIN (../bin/rapport) on a free port with a folder of its own, waits
// until its history is told, tests, and stops it.
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'

const binary = resolve(process.env.RAPPORT_BIN ?? '../bin/rapport')
const token = 'rp_' + crypto.randomUUID().replaceAll('-', '')
const data = mkdtempSync(join(tmpdir(), 'rapport-e2e-'))
const server = spawn(binary, ['demo', '--data', data, '--listen', '127.0.0.1:0', '--mqtt', 'off'], {
  env: { ...process.env, RAPPORT_ADMIN_TOKEN: token },
  stdio: ['ignore', 'pipe', 'inherit'],
})
const ended = new Promise((done) => server.once('exit', done))
let said = ''
server.stdout.setEncoding('utf8').on('data', (text) => (said += text))

async function untilLive() {
  for (let tries = 0; tries < 2400; tries++) {
    if (server.exitCode !== null) throw new Error(`the server ended with ${server.exitCode}`)
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0]
    if (url) {
      const demo = await fetch(url + '/v1/demo', { headers: { authorization: `Bearer ${token}` } }).then((r) => r.json(), () => null)
      if (demo?.phase === 'failed') throw new Error(`the demo world failed: ${demo.error}`)
      if (demo?.phase === 'live') return url
    }
    await wait(500)
  }
  throw new Error('the demo world did not come to life within twenty minutes')
}

let code = 1
try {
  const url = await untilLive()
  const run = spawn('npx', ['vitest', 'run', '--config', 'e2e/vitest.config.ts', ...process.argv.slice(2)], {
    env: { ...process.env, RAPPORT_URL: url, RAPPORT_TOKEN: token, RAPPORT_BIN: binary },
    stdio: 'inherit',
  })
  code = await new Promise((done) => run.once('exit', done))
} catch (error) {
  console.error(error.message)
} finally {
  server.kill('SIGTERM')
  await ended
  rmSync(data, { recursive: true, force: true })
}
process.exit(code ?? 1)

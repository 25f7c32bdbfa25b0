// Serves the mock API and, when it is built, the console:
//   npm run mock [-- --port 8090] [--empty] [--role viewer]
import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { runnerImport } from 'vite'

const { values } = parseArgs({
  options: { port: { type: 'string', default: '8090' }, empty: { type: 'boolean' }, role: { type: 'string' }, every: { type: 'string' } },
})
const { module } = await runnerImport('./mock/server.ts')
const mock = module.createMock({
  empty: values.empty,
  role: values.role,
  every: values.every === undefined ? undefined : Number(values.every),
  dist: existsSync('dist/index.html') ? 'dist' : undefined,
})
mock.server.listen(Number(values.port), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${mock.server.address().port}  (token: mock)`)
})

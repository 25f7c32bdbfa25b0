// Serves the console with hot reload. It talks to RAPPORT_URL when that is set,
// and to the mock otherwise.
import { createServer, runnerImport } from 'vite'

if (!process.env.RAPPORT_URL) {
  const { module } = await runnerImport('./mock/server.ts')
  const { server } = module.createMock()
  await new Promise((done) => server.listen(0, '127.0.0.1', done))
  process.env.RAPPORT_URL = `http://127.0.0.1:${server.address().port}`
  console.log('The API is the mock; sign in with the token "mock".')
}
const server = await createServer()
await server.listen()
server.printUrls()

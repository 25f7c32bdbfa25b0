// Serves the console with hot reload. It talks to RAPPORT_URL when that is set,
// and to the mock otherwise.
import { createServer, runnerImport } from 'vite'

if (!process.env.RAPPORT_URL) {
  const { module } = await runnerImport('./mock/server.ts')
  module.createMock().server.listen(8090, '127.0.0.1')
  console.log('The API is the mock; sign in with the token "mock".')
}
const server = await createServer()
await server.listen()
server.printUrls()

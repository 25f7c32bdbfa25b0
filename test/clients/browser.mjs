// Opens a page with one of the browser clients in Chromium and keeps it open
// until standard input ends: clients retry for as long as the page lives.
// Prints every address the page asked for outside its own server, as JSON.
import { createServer } from 'node:http'
import { build } from 'esbuild'
import { chromium } from 'playwright-core'

const [client, url, writeKey, variant = ''] = process.argv.slice(2)
const { outputFiles } = await build({
  entryPoints: [new URL(`browser/${client}.js`, import.meta.url).pathname],
  bundle: true, write: false, format: 'iife', target: 'es2020', logLevel: 'error',
  define: { 'process.env.NODE_ENV': '"production"' },
})
const page = `<!doctype html><title>Shop</title><script>window.test=${JSON.stringify({ url, writeKey, variant })}</script><script src="/client.js"></script>`
const shop = createServer((q, a) => {
  const script = q.url === '/client.js'
  a.setHeader('content-type', script ? 'text/javascript' : 'text/html')
  a.end(script ? outputFiles[0].text : q.url === '/' ? page : '')
})
await new Promise((ready) => shop.listen(0, '127.0.0.1', ready))

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium', headless: true,
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
})
const tab = await browser.newPage()
const origins = new Set()
tab.on('request', (r) => origins.add(new URL(r.url()).origin))
tab.on('pageerror', (e) => console.error('page:', e.message))
tab.on('console', (m) => process.env.VERBOSE && console.error('console:', m.text()))
const home = `http://127.0.0.1:${shop.address().port}`
await tab.goto(home)
await tab.evaluate(() => Promise.race([window.sent, new Promise((_, no) => setTimeout(() => no(new Error('the client never became ready')), 30_000))]))
process.stdin.resume()
await new Promise((end) => process.stdin.on('end', end))
origins.delete(home)
console.log(JSON.stringify([...origins]))
await browser.close()
shop.close()

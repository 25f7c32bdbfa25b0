// The stage for tests in a real browser: a server (RAPPORT_URL with
// RAPPORT_TOKEN, or the mock over the built console) and Chromium.
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import type { AxeResults } from 'axe-core'
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core'
import { expect } from 'vitest'
import { createMock, type Mock, type MockOptions } from '../mock/server'

export const live = process.env.RAPPORT_URL
export const token = process.env.RAPPORT_TOKEN ?? 'mock'
const shots = 'artifacts'
mkdirSync(shots, { recursive: true })

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

function chromiumPath(): string {
  const found = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => path && existsSync(path))
  if (!found) throw new Error('no Chromium found: install it (apt-get install chromium) or set CHROMIUM to its path')
  return found
}

export interface Stage {
  url: string
  /** Only when the mock plays the server. */
  mock?: Mock
  browser: Browser
  close: () => Promise<void>
}

export async function openStage(options: MockOptions = {}): Promise<Stage> {
  const browser = await chromium.launch({ executablePath: chromiumPath(), args: flags })
  if (live) return { url: live.replace(/\/$/, ''), browser, close: () => browser.close() }
  if (!existsSync('dist/index.html')) throw new Error('the console is not built: npm run build')
  const mock = createMock({ dist: 'dist', token, ...options })
  await new Promise<void>((done) => mock.server.listen(0, '127.0.0.1', done))
  return {
    url: `http://127.0.0.1:${(mock.server.address() as AddressInfo).port}`,
    mock,
    browser,
    close: async () => {
      await browser.close()
      await mock.close()
    },
  }
}

export type Theme = 'light' | 'dark'
export const widths = { wide: { width: 1360, height: 850 }, narrow: { width: 390, height: 844 } }
export type Width = keyof typeof widths

export interface Visit {
  page: Page
  context: BrowserContext
  /** What went wrong in the page, or left our origin. */
  faults: string[]
  go: (path: string) => Promise<void>
  close: () => Promise<void>
}

/** A browser window of its own, signed in unless told otherwise. */
export async function visit(stage: Pick<Stage, 'browser' | 'url'>, { theme = 'light', width = 'wide', signIn = true, as = token }: { theme?: Theme; width?: Width; signIn?: boolean; as?: string } = {}): Promise<Visit> {
  const context = await stage.browser.newContext({ viewport: widths[width], colorScheme: theme, reducedMotion: 'reduce', isMobile: width === 'narrow', hasTouch: width === 'narrow' })
  await context.addInitScript({ content: axeSource })
  const page = await context.newPage()
  page.setDefaultTimeout(60_000) // of a machine that does much else
  const faults: string[] = []
  page.on('console', (message) => message.type() === 'error' && faults.push(`console: ${message.text()} ${message.location().url}`))
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`))
  page.on('request', (request) => {
    const url = request.url()
    if (!url.startsWith(stage.url) && !/^(data|blob|about):/.test(url)) faults.push(`left our origin: ${url}`)
  })
  const go = async (path: string) => {
    await page.goto(stage.url + path)
    await settled(page)
  }
  if (signIn) {
    await page.goto(stage.url)
    await page.getByLabel('Access token').fill(as)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.locator('#content').waitFor()
  }
  return { page, context, faults, go, close: () => context.close() }
}

/** Waits until the page has its data: no skeletons, a heading, fonts in place. */
export async function settled(page: Page) {
  await page.locator('h1').first().waitFor()
  await page.waitForFunction(() => document.querySelector('[role=status][aria-label=Loading]') === null)
  await page.evaluate(() => document.fonts.ready.then(() => undefined))
}

/** Shows the page in a theme, as the system's change would. */
export const paint = (page: Page, theme: Theme) => page.evaluate((name) => new Promise<void>((done) => ((document.documentElement.dataset.theme = name), requestAnimationFrame(() => done()))), theme)

/** Runs axe, or only its rules about colours, and tells every violation and the elements it is about. */
export async function violations(page: Page, only?: 'colours'): Promise<string[]> {
  const results = await page.evaluate(async (rules) => {
    const axe = (window as unknown as { axe: { run: (root: Document, options: object) => Promise<AxeResults> } }).axe
    return axe.run(document, { resultTypes: ['violations'], ...(rules && { runOnly: { type: 'rule', values: rules } }) })
  }, only && ['color-contrast', 'link-in-text-block'])
  return results.violations.map((violation) => `${violation.id}: ${violation.nodes.map((node) => `${node.target.join(' ')} (${node.any[0]?.message ?? node.all[0]?.message ?? node.none[0]?.message ?? ''})`).join('; ')}`)
}

export const shoot = (page: Page, name: string) => page.screenshot({ path: `${shots}/${name}.png` })

/** Sends an event as a client would, with a key of a source. */
export async function track(stage: Stage, key: string, body: Record<string, unknown>) {
  const response = await fetch(`${stage.url}/v1/track`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: `Basic ${btoa(key + ':')}` },
    body: JSON.stringify({ messageId: crypto.randomUUID(), timestamp: new Date().toISOString(), ...body }),
  })
  expect(response.status).toBe(200)
}

/** Reads from the API with the page's own session. */
export const read = <T>(page: Page, path: string): Promise<T> => page.evaluate((p) => fetch(p).then((response) => response.json()), path) as Promise<T>

// Work that changes what is known, done in the browser over the real program: a
// file is imported, software rolled out and stopped, a lot called back; and the
// first ten minutes of somebody who has never been here.
import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Item, ItemsPage, PeoplePage, Recall, RecallStatus, Rollout, RolloutDevice, TimelineEvent } from '../src/api/types'
import { live, openStage, read, shoot, token, violations, visit, type Stage } from './stage'

const some = { timeout: 60_000, interval: 200 }

async function admin<T>(url: string, method: string, path: string, body?: unknown): Promise<T> {
  const response = await fetch(url + path, { method, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: body === undefined ? undefined : JSON.stringify(body) })
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
  const text = await response.text()
  return (text ? JSON.parse(text) : undefined) as T
}

describe.runIf(live)('work in the demo world', () => {
  let stage: Stage
  beforeAll(async () => void (stage = await openStage()))
  afterAll(() => stage.close())

  it('a CSV is mapped, looked at, imported with progress, and its people are found', async () => {
    const at = await visit(stage)
    const { page } = at
    const run = Date.now().toString(36)
    // The tracking plan of the demo world asks more of an order than these ten tell.
    const rows = Array.from({ length: 1200 }, (_, i) => `csv-${run}-${i},${i < 1190 ? 'Store Visited' : 'Order Completed'},2025-0${1 + (i % 9)}-11 12:00,${(10 + (i % 50)).toFixed(2)}`)
    await at.go('/setup/import')
    await page.getByLabel('CSV file').setInputFiles({ name: 'orders.csv', mimeType: 'text/csv', buffer: Buffer.from(`customer_no,what,ordered_at,total\n${rows.join('\n')}\n`) })
    await page.getByRole('heading', { name: 'What comes of it' }).waitFor()
    await page.getByLabel('What customer_no is').selectOption('userId')
    await page.getByLabel('What what is').selectOption('event')
    await page.getByLabel('What ordered_at is').selectOption('timestamp')
    await page.getByRole('button', { name: 'A row is something they did' }).click()
    await page.getByLabel('Name of total').fill('revenue')
    await page.getByRole('group', { name: 'First events' }).getByText(`csv-${run}-0`).waitFor()
    await shoot(page, 'journey-import-preview')
    expect(await violations(page)).toEqual([])
    await page.getByRole('button', { name: 'Import 200 rows' }).or(page.getByRole('button', { name: /^Import / })).first().click()
    await page.getByText('It is in').waitFor()
    await page.getByText('1,200 rows sent').waitFor()
    await page.getByRole('alert').getByText('10 rows do not fit the tracking plan').waitFor()
    expect(await violations(page)).toEqual([])
    await page.getByRole('link', { name: 'See the people' }).click()
    await page.getByRole('searchbox').fill(`userId:csv-${run}-7`)
    await page.getByRole('cell', { name: `csv-${run}-7`, exact: true }).waitFor()
    const events = (await read<{ events: TimelineEvent[] }>(page, `/v1/people/${encodeURIComponent(`userId:csv-${run}-7`)}/timeline`)).events
    expect(events.map((event) => event.timestamp)).toEqual([expect.stringContaining('2025-08-11')])
    expect(at.faults).toEqual([])
    await at.close()
  })

  it('software is added, rolled out to some, followed while devices take it, and stopped', async () => {
    const at = await visit(stage)
    const { page } = at
    const name = `roll ${Date.now().toString(36)}`
    const item = (await read<ItemsPage>(page, '/v1/items?limit=50')).items.find((one) => one.serial)
    expect(item).toBeDefined()
    await at.go('/products/rollouts')
    await page.getByRole('button', { name: 'Add software' }).click()
    const adding = page.getByRole('dialog')
    const image = Buffer.from(`firmware ${name}`)
    await adding.getByLabel('File').setInputFiles({ name: `${name}.swu`, mimeType: 'application/octet-stream', buffer: image })
    await adding.getByLabel('Version').fill('9.9.1')
    await adding.getByRole('button', { name: 'Add it' }).click()
    await page.getByText('is signed and kept').waitFor()
    await page.getByRole('button', { name: 'New rollout' }).click()
    const drawing = page.getByRole('dialog')
    await drawing.getByLabel('Name').fill(name)
    await drawing.getByLabel('Software').selectOption(createHash('sha256').update(image).digest('hex'))
    await drawing.getByLabel('Product').fill(item?.gtin ?? '')
    await drawing.getByLabel('Stages').fill('100')
    await drawing.getByLabel('Held back, percent').fill('0')
    expect(await violations(page)).toEqual([])
    await drawing.getByRole('button', { name: 'Draw it up' }).click()
    await page.getByText('Drawn up. Start it when you are ready.').waitFor()
    const rollout = (await admin<{ rollouts: Rollout[] }>(stage.url, 'GET', '/v1/rollouts')).rollouts.find((one) => one.name === name)
    await page.getByRole('button', { name: 'Start', exact: true }).click()
    await page.getByText('running').first().waitFor()
    // The device asks, as swupdate would; the page follows by itself.
    const poll = await fetch(`${stage.url}/DEFAULT/controller/v1/${encodeURIComponent(item?.id ?? '')}`, { headers: { authorization: `GatewayToken ${token}` } })
    expect(poll.status).toBe(200)
    const told = (await poll.json()) as { _links?: { deploymentBase?: { href: string } } }
    expect(told._links?.deploymentBase?.href).toBeTruthy()
    await expect.poll(async () => (await admin<{ devices: RolloutDevice[] }>(stage.url, 'GET', `/v1/rollouts/${rollout?.id}/devices`)).devices.length, some).toBe(1)
    await page.getByRole('table', { name: 'Devices of the rollout' }).getByRole('row').nth(1).waitFor()
    await shoot(page, 'journey-rollout')
    expect(await violations(page)).toEqual([])
    await page.getByRole('button', { name: /^Cancel/ }).click()
    const canceling = page.getByRole('dialog')
    await canceling.getByRole('textbox').fill(name)
    await canceling.getByRole('button', { name: 'Cancel it' }).click()
    await page.getByText('canceled').first().waitFor()
    expect(at.faults).toEqual([])
    await at.close()
  })

  it('a lot is called back, its page tells who was told, and a reminder goes out', async () => {
    const at = await visit(stage)
    const { page } = at
    const items = (await read<ItemsPage>(page, '/v1/items?limit=100')).items
    let of = ''
    for (const one of items) {
      const whole = await read<Item>(page, `/v1/items/${one.id}`)
      if (!whole.owner) continue
      of = whole.uri
      break
    }
    expect(of).not.toBe('')
    const reason = `The pump may leak ${Date.now().toString(36)}`
    let recall: Recall | undefined
    try {
      await at.go(`/products/recalls?of=${encodeURIComponent(of)}`)
      await page.getByText(/^1 item/).first().waitFor()
      await page.getByRole('button', { name: 'Call back', exact: true }).click()
      const dialog = page.getByRole('dialog')
      await dialog.getByLabel('Reason').fill(reason)
      await dialog.getByLabel('What owners should do').fill('Stop using it; we send another.')
      await dialog.getByLabel('Type 1 to confirm').fill('1')
      await dialog.getByRole('button', { name: 'Call back 1' }).click()
      await page.getByRole('heading', { level: 1, name: reason }).waitFor()
      recall = (await admin<{ recalls: Recall[] }>(stage.url, 'GET', '/v1/recalls')).recalls.find((one) => one.reason === reason)
      await expect.poll(async () => (await admin<RecallStatus>(stage.url, 'GET', `/v1/recalls/${recall?.id}`)).progress.people, some).toBeGreaterThan(0)
      await page.getByRole('table', { name: 'Whom it concerns' }).getByRole('row').nth(1).waitFor()
      await shoot(page, 'journey-recall')
      expect(await violations(page)).toEqual([])
      await page.getByRole('button', { name: 'Remind' }).click()
      await page.getByRole('dialog').getByRole('button', { name: 'Remind' }).click()
      await page.getByText('is told once more').first().waitFor()
      await page.getByRole('button', { name: /^Note that .* took note$/ }).first().click()
      await page.getByText('Noted: they took note').waitFor()
      await page.getByRole('table', { name: 'Whom it concerns' }).getByText('took note').first().waitFor()
      expect(at.faults).toEqual([])
    } finally {
      if (recall) await admin(stage.url, 'DELETE', `/v1/recalls/${recall.id}`)
      await at.close()
    }
  })
})

describe.runIf(process.env.RAPPORT_BIN)('the first run', () => {
  it('from an empty folder to a first explained decision, as somebody new would go', async () => {
    const data = mkdtempSync(join(tmpdir(), 'rapport-first-'))
    const stage = await openStage()
    let server: ChildProcess | undefined
    const laps: string[] = []
    try {
      const begun = Date.now()
      const lap = (what: string) => laps.push(`${((Date.now() - begun) / 1000).toFixed(1)} s ${what}`)
      const url = await new Promise<string>((done, fail) => {
        let said = ''
        server = spawn(process.env.RAPPORT_BIN ?? '', ['serve', '--data', data, '--listen', '127.0.0.1:0', '--mqtt', 'off'], { env: { ...process.env, RAPPORT_ADMIN_TOKEN: token }, stdio: ['ignore', 'pipe', 'inherit'] })
        server.stdout?.setEncoding('utf8').on('data', (text: string) => {
          said += text
          const found = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0]
          if (found) done(found)
        })
        server.once('exit', (code) => fail(new Error(`the server ended with ${code}`)))
      })
      lap('the server is ready')
      const at = await visit({ url, browser: stage.browser })
      const { page } = at
      await page.getByRole('heading', { name: 'Welcome. Let us meet someone.' }).waitFor()
      lap('signed in, at the three doors')
      await shoot(page, 'first-doors')

      // What stands in the snippet is pasted into a shell.
      await page.getByRole('link', { name: 'Add a source' }).or(page.getByRole('group', { name: 'Snippet for curl' })).first().waitFor()
      if (await page.getByRole('link', { name: 'Add a source' }).isVisible()) {
        await page.getByRole('link', { name: 'Add a source' }).click()
        await page.getByRole('dialog').getByLabel('Name').fill('Web shop')
        await page.getByRole('dialog').getByRole('button', { name: 'Add source' }).click()
        await page.getByText('Web shop is open for events').waitFor()
        lap('added a source')
        await page.keyboard.press('Escape')
        await page.getByRole('link', { name: 'Now', exact: true }).first().click()
      }
      const code = (await page.getByRole('group', { name: 'Snippet for curl' }).textContent()) ?? ''
      const shell = join(data, 'snippet.sh')
      writeFileSync(shell, code)
      const pasted = spawn('sh', [shell], { stdio: 'ignore' })
      expect(await new Promise((done) => pasted.once('exit', done))).toBe(0)
      await page.getByText('First event:').waitFor()
      lap('pasted the snippet, the first event is seen')
      await page.getByRole('link', { name: 'in••••id' }).or(page.getByText('First event:').locator('xpath=..').getByRole('link')).first().click()
      await page.getByRole('heading', { level: 1 }).waitFor()
      await page.getByRole('button', { name: /Product Viewed/ }).first().waitFor()
      lap('met the first person')

      // Somewhere to say something, and something to say.
      await page.getByRole('link', { name: 'Preview decision' }).click()
      await page.getByText('There is no placement yet').waitFor()
      const write = async (command: string, id: string, text: string) => {
        await page.keyboard.press('Control+k')
        await page.getByRole('combobox').fill(command)
        await page.getByRole('option', { name: command }).first().click()
        const dialog = page.getByRole('dialog')
        if (command === 'New config document') await dialog.getByLabel('Kind').selectOption('placement')
        await dialog.getByLabel('Id').fill(id)
        await page.keyboard.press('Enter')
        await page.getByRole('heading', { level: 1, name: id }).waitFor()
        await page.getByRole('textbox', { name: /Text of/ }).click()
        await page.keyboard.press('Control+a')
        await page.keyboard.insertText(text)
        await page.getByText('Checked: no errors').waitFor()
        await page.getByRole('button', { name: 'Review and apply' }).click()
        await page.getByRole('dialog').getByRole('button', { name: 'Apply', exact: true }).click()
        await page.getByText(/Applied as version/).first().waitFor()
      }
      await write('New config document', 'hero', 'kind: placement\nid: hero\nslots: 1\n')
      lap('published a placement')
      await write('New action', 'welcome', 'kind: action\nid: welcome\ntype: content\nplacements: [hero]\nwhen: performed("Product Viewed").count() >= 1\ncontent:\n  title: Freshly roasted today\n')
      lap('published an action')
      const person = (await admin<PeoplePage>(url, 'GET', '/v1/people?limit=5')).people[0]
      await page.goto(`${url}/people/${person?.id}?tab=why`)
      await page.getByRole('heading', { name: 'From all actions to the few' }).waitFor()
      await page.getByText('welcome').first().waitFor()
      lap('the first decision is explained')
      await shoot(page, 'first-decision')
      expect(await violations(page)).toEqual([])
      console.log(`first run:\n  ${laps.join('\n  ')}`)
      expect(Date.now() - begun).toBeLessThan(600_000)
      expect(at.faults.filter((fault) => !fault.includes('404'))).toEqual([])
      await at.close()
    } catch (error) {
      console.log(`first run, as far as it went:\n  ${laps.join('\n  ')}`)
      throw error
    } finally {
      server?.removeAllListeners('exit')
      await new Promise<void>((done) => (server ? (server.once('exit', () => done()), server.kill('SIGKILL')) : done()))
      await stage.close()
      rmSync(data, { recursive: true, force: true })
    }
  })
})

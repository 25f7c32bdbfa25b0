// What people come to do, done in a real browser.
import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DecisionsPage, DecisionSummary, Explanation, PeoplePage, Source } from '../src/api/types'
import { live, openStage, read, shoot, track, violations, visit, type Stage, type Visit } from './stage'

const some = { timeout: 60_000, interval: 100 }

/** Opens a stage and a window for one test, and closes both. */
async function on(options: Parameters<typeof openStage>[0], run: (at: Visit, stage: Stage) => Promise<void>, window: Parameters<typeof visit>[1] = {}) {
  const stage = await openStage(options)
  try {
    const at = await visit(stage, window)
    await run(at, stage)
    expect(at.faults).toEqual([])
  } finally {
    await stage.close()
  }
}

describe('on any server', () => {
  let stage: Stage
  beforeAll(async () => void (stage = await openStage({ every: 700 })))
  afterAll(() => stage.close())

  async function firstKey(at: Visit): Promise<string> {
    const answer = await read<{ sources: Source[] } | Source[]>(at.page, '/v1/sources')
    const sources = Array.isArray(answer) ? answer : answer.sources
    const source = sources.find((s) => s.enabled)
    if (!source) throw new Error('the server has no source')
    return source.key
  }

  it('an event shows in the stream moments after it was sent, as text whatever its name', async () => {
    const at = await visit(stage)
    const name = `<img src=x onerror=alert(1)> ${Date.now()}`
    let dialogs = 0
    at.page.on('dialog', (dialog) => (dialogs++, void dialog.dismiss()))
    await at.go('/')
    await at.page.getByText('Streaming').waitFor()
    const begun = Date.now()
    await track(stage, await firstKey(at), { userId: `e2e-${begun}`, event: name, properties: { name: '<script>alert(2)</script>' } })
    await at.page.getByRole('cell', { name }).first().waitFor()
    const millis = Date.now() - begun
    expect(await at.page.locator('#content img').count()).toBe(0)
    expect(dialogs).toBe(0)
    expect(at.faults).toEqual([])
    console.log(`event to screen: ${millis} ms`)
    await at.close()
  })

  it('a person’s page follows what the person does', async () => {
    const at = await visit(stage)
    const user = `e2e-follow-${Date.now()}`
    const key = await firstKey(at)
    await track(stage, key, { userId: user, event: 'Shelf Looked At', properties: { name: 'House espresso' } })
    const streaming = at.page.waitForResponse((response) => response.url().includes('/v1/stream'))
    await at.go(`/people/${encodeURIComponent(`userId:${user}`)}`)
    await at.page.getByRole('button', { name: /Shelf Looked At/ }).waitFor()
    await streaming
    await track(stage, key, { userId: user, event: 'Coupon Found', properties: { name: 'SPRING' } })
    await at.page.getByRole('button', { name: /Coupon Found/ }).waitFor()
    await at.page.getByRole('button', { name: /Coupon Found/ }).click()
    await at.page.getByText('"SPRING"').waitFor()
    expect(at.faults).toEqual([])
    await at.close()
  })

  it('the keyboard alone leads from anywhere to why', async () => {
    const at = await visit(stage)
    const { page } = at
    await at.go('/')
    const person = (await read<PeoplePage>(page, '/v1/people?limit=50')).people.find((p) => p.name && !p.name.startsWith('p_') && p.identifiers?.length)
    if (!person) throw new Error('nobody has a name')
    await page.keyboard.press('Control+k')
    await page.getByRole('combobox').waitFor()
    await page.keyboard.type(person.identifiers?.[0]?.value ?? person.id)
    await page.getByRole('option', { name: person.name }).first().waitFor()
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { level: 1, name: person.name }).waitFor()

    // A world that only just came to life has decided little: the list is of what there was when it was opened.
    await expect.poll(async () => (await read<DecisionsPage>(page, '/v1/decisions?limit=3')).decisions.length, some).toBe(3)
    await page.keyboard.press('g')
    await page.keyboard.press('d')
    await page.getByRole('heading', { level: 1, name: 'Decisions' }).waitFor()
    await page.locator('tbody tr[data-row]').nth(2).waitFor()
    // Four presses within one frame, as a held key or a busy machine has them.
    await page.evaluate(() => {
      for (const key of ['j', 'j', 'j', 'k']) document.activeElement?.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }))
    })
    expect(await page.evaluate(() => document.activeElement?.closest<HTMLElement>('[data-row]')?.dataset.row)).toBe('1')
    await page.keyboard.press('Enter')
    const panel = page.getByRole('complementary', { name: 'Why this decision' })
    await panel.getByRole('heading', { name: 'From all actions to the few' }).waitFor()
    expect(new URL(page.url()).searchParams.get('id')).toMatch(/^d_/)
    await page.keyboard.press('Escape')
    await panel.waitFor({ state: 'detached' })
    await page.goBack()
    await panel.waitFor()
    expect(at.faults).toEqual([])
    await at.close()
  })

  it('why shows the rule and the value that failed, and answers why not', async () => {
    const at = await visit(stage)
    const { page } = at
    // Not every decision has a rule that took something out.
    const recent = (await read<DecisionsPage>(page, '/v1/decisions?limit=200')).decisions
    let told: DecisionSummary | undefined
    for (const decision of recent) {
      if ((await read<Explanation>(page, `/v1/decisions/${decision.decisionId}/explain`)).funnel.some((step) => step.removed > 0)) {
        told = decision
        break
      }
    }
    if (!told) throw new Error('no rule took anything out of any decision')
    await at.go(`/decisions?id=${told.decisionId}`)
    const panel = page.getByRole('complementary', { name: 'Why this decision' })
    await panel.getByRole('heading', { name: 'From all actions to the few' }).waitFor()
    const bar = panel.locator('button[aria-controls]').first()
    await bar.click()
    await panel.locator('dl').first().waitFor()
    await panel.getByLabel('Why not').selectOption({ index: 1 })
    await panel.getByRole('status').waitFor()
    expect(await panel.getByRole('status').textContent()).toMatch(/was (taken out|weighed|chosen)/)
    await shoot(page, 'journey-why')
    expect(await violations(page)).toEqual([])
    await at.close()
  })

  it('a preview on a person’s page decides nothing and explains everything', async () => {
    const at = await visit(stage)
    const { page } = at
    const person = (await read<PeoplePage>(page, '/v1/people?limit=50')).people.find((p) => p.name)
    await at.go(`/people/${person?.id}`)
    await page.getByRole('link', { name: 'Preview decision' }).click()
    await page.getByRole('heading', { name: 'From all actions to the few' }).waitFor()
    await page.getByRole('button', { name: 'Context' }).click()
    await page.getByLabel(/What the page would send/).fill('{"cartValue": ')
    await page.getByText(/JSON/).first().waitFor()
    await page.getByLabel(/What the page would send/).fill('{"cartValue": 32}')
    await page.getByText('A preview: nothing was shown').waitFor()
    expect(at.faults).toEqual([])
    await at.close()
  })

  it('the theme is kept, and the address holds the filters', async () => {
    const at = await visit(stage)
    const { page } = at
    await at.go('/decisions')
    await page.keyboard.press('t')
    await expect.poll(() => page.evaluate(() => document.documentElement.dataset.theme), some).toBe('dark')
    await page.getByLabel('Outcome').selectOption('nothing')
    await expect.poll(() => new URL(page.url()).search, some).toBe('?outcome=nothing')
    await page.reload()
    await page.getByLabel('Outcome').waitFor()
    expect(await page.getByLabel('Outcome').inputValue()).toBe('nothing')
    expect(await page.evaluate(() => document.documentElement.dataset.theme)).toBe('dark')
    await at.close()
  })

  it('something is painted within two seconds on a slow machine', async () => {
    // The best of three, in the time of a machine that counts to fifty million
    // in yardstick: the page is on trial, not the machine or what else it does.
    const yardstick = 500
    let paint = Infinity
    let measured = Infinity
    for (let run = 0; run < 3; run++) {
      const at = await visit(stage, { signIn: false })
      const cdp = await at.context.newCDPSession(at.page)
      await cdp.send('Emulation.setCPUThrottlingRate', { rate: 4 })
      await at.page.goto(stage.url + '/', { waitUntil: 'load' })
      await at.page.locator('h1').waitFor()
      const first = await at.page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? Infinity)
      const count = await at.page.evaluate(() => {
        const begun = performance.now()
        let n = 0
        for (let i = 0; i < 50_000_000; i++) n = (n * 31 + i) | 0
        return performance.now() - begun + (n === 1 ? 1 : 0)
      })
      console.log(`first contentful paint at 4x throttle: ${Math.round(first)} ms, counting: ${Math.round(count)} ms`)
      measured = Math.min(measured, first)
      paint = Math.min(paint, first / Math.max(1, count / yardstick))
      await at.close()
    }
    expect(measured).toBeLessThan(Infinity)
    expect(paint).toBeLessThan(2000)
  })
})

describe.runIf(live)('on a real server', () => {
  it('the API is the one the types were written from', () => {
    const checked = spawnSync('node', ['scripts/api.mjs', '--check'], { encoding: 'utf8', env: { ...process.env, RAPPORT_URL: live } })
    expect(checked.stderr).toBe('')
    expect(checked.status).toBe(0)
  })
})

describe.skipIf(live)('on an empty server', () => {
  it('the first event is awaited, seen, and leads to its person', () =>
    on({ empty: true, every: 0 }, async (at, stage) => {
      const { page } = at
      await page.getByText('Waiting for the first event').waitFor()
      expect(await violations(page)).toEqual([])
      await shoot(page, 'journey-empty')
      const code = await page.getByRole('group', { name: 'Snippet for curl' }).textContent()
      const key = /-u (\S+):/.exec(code ?? '')?.[1] ?? ''
      expect(key).toMatch(/^wk_/)
      await track(stage, key, { userId: 'ingrid', event: 'Shelf Looked At', properties: { name: 'Espresso beans' } })
      await page.getByText('First event:').waitFor()
      await shoot(page, 'journey-first-event')
      await page.getByRole('link', { name: 'ingrid' }).click()
      await page.getByRole('heading', { level: 1, name: 'ingrid' }).waitFor()
    }))

  it('the demo world loads in one click, with progress', () =>
    on({ empty: true, every: 300 }, async ({ page }) => {
      await page.getByRole('button', { name: 'Load the demo world' }).click()
      await page.getByText('Writing 120 days of history').waitFor()
      await page.getByRole('button', { name: 'Enter the demo world' }).click()
      await page.getByRole('region', { name: 'Live stream' }).getByRole('row').nth(3).waitFor()
      await page.getByRole('button', { name: /Demo world/ }).click()
      await page.getByRole('button', { name: '60×' }).click()
      await page.getByRole('button', { name: '60×', pressed: true }).waitFor()
    }))
})

describe.skipIf(live)('with the mock', () => {
  it('the stream holds while it is read, tells of gaps, and comes back after a cut', () =>
    on({ every: 0 }, async (at, { mock }) => {
      const { page } = at
      const region = page.getByRole('region', { name: 'Live stream' })
      await page.getByText('Streaming').waitFor()
      await region.hover({ position: { x: 200, y: 120 } })
      await region.hover({ position: { x: 260, y: 160 } })
      await page.getByText('Held while you read').waitFor()
      const first = await region.getByRole('row').nth(1).textContent()
      for (let i = 0; i < 7; i++) mock?.emit({ name: `Held ${i}`, person: 'Noor Haddad' })
      await page.getByRole('button', { name: '7 new' }).waitFor()
      expect(await region.getByRole('row').nth(1).textContent()).toBe(first)
      await page.getByRole('button', { name: '7 new' }).click()
      await region.getByText('Held 6').waitFor()
      await page.mouse.move(5, 5)
      mock?.gap()
      await page.getByText('Some moments passed too fast').waitFor()
      mock?.cut()
      await page.getByText('Reconnecting').waitFor()
      mock?.emit({ name: 'While away', person: 'Noor Haddad' })
      await region.getByText('While away').waitFor()
      at.faults.splice(0) // the browser notes the cut
      await page.keyboard.press('p')
      await page.getByText('Paused', { exact: true }).waitFor()
      await page.getByRole('button', { name: 'Resume' }).click()
      await page.getByText('Streaming').waitFor()
    }))

  it('a document is checked as it is typed, compared, applied and taken back', () =>
    on({ every: 0 }, async (at) => {
      const { page } = at
      await at.go('/setup/config/action/tasting-set')
      const editor = page.getByRole('textbox', { name: 'Text of action tasting-set' })
      await editor.click()
      await page.keyboard.press('Control+Home')
      await page.keyboard.type('whenn: true\n')
      await page.getByText('unknown key "whenn"').first().waitFor()
      await page.getByText('did you mean "when"').first().waitFor()
      expect(await violations(page)).toEqual([])
      await shoot(page, 'journey-config-error')
      await page.keyboard.press('Control+Home')
      await page.keyboard.press('Shift+ArrowDown')
      await page.keyboard.press('Delete')
      await page.keyboard.press('Control+End')
      await page.keyboard.type('slots: 2\n')
      await page.getByText('Checked: no errors').waitFor()
      await page.getByRole('button', { name: 'Review and apply' }).click()
      const dialog = page.getByRole('dialog')
      await dialog.getByText('slots: 2').waitFor()
      await dialog.getByLabel('Note').fill('two slots')
      expect(await violations(page)).toEqual([])
      await shoot(page, 'journey-config-review')
      await dialog.getByRole('button', { name: 'Apply' }).click()
      await page.getByText('Applied as version 15').waitFor()
      await page.getByRole('button', { name: 'Undo' }).click()
      await page.getByText('Version 15 was taken back, as version 16').waitFor()
    }))

  it('two who edit the same document both keep their work', async () => {
    const stage = await openStage({ every: 0 })
    const [one, two] = [await visit(stage), await visit(stage)]
    const path = '/setup/config/action/tasting-set'
    for (const { at, text } of [{ at: one, text: 'cost: 0.1\n' }, { at: two, text: 'cost: 0.2\n' }]) {
      await at.go(path)
      await at.page.getByRole('textbox', { name: /Text of/ }).click()
      await at.page.keyboard.press('Control+End')
      await at.page.keyboard.type(text)
      await at.page.getByText('Checked: no errors').waitFor()
      await at.page.getByText('Not published').waitFor()
    }
    await one.page.getByRole('button', { name: 'Review and apply' }).click()
    await one.page.getByRole('dialog').getByRole('button', { name: 'Apply' }).click()
    await one.page.getByText('Applied as version 15').waitFor()
    await two.page.getByRole('button', { name: 'Review and apply' }).click()
    await two.page.getByRole('dialog').getByRole('button', { name: 'Apply' }).click()
    const conflict = two.page.getByRole('alert').filter({ hasText: 'Version 15 was applied while you were editing' })
    await conflict.waitFor()
    await conflict.getByText('cost: 0.1').waitFor()
    await shoot(two.page, 'journey-conflict')
    expect(await violations(two.page)).toEqual([])
    await two.page.getByRole('button', { name: 'Back to editing' }).click()
    await two.page.getByRole('textbox', { name: /Text of/ }).getByText('0.2').waitFor()
    await stage.close()
  })

  it('a session that ends in the middle of an edit loses nothing', () =>
    on({ every: 0 }, async (at, { mock }) => {
      const { page } = at
      await at.go('/setup/config/action/tasting-set')
      await page.getByRole('textbox', { name: /Text of/ }).click()
      await page.keyboard.press('Control+End')
      mock?.expire()
      await page.keyboard.type('slots: 3\n')
      const again = page.getByRole('dialog', { name: 'Sign in again' })
      await again.waitFor()
      expect(await violations(page)).toEqual([])
      await again.getByLabel('Access token').fill('mock')
      await again.getByRole('button', { name: 'Sign in' }).click()
      await again.waitFor({ state: 'detached' })
      await page.getByRole('textbox', { name: /Text of/ }).getByText('slots: 3').waitFor()
      await page.reload()
      await page.getByRole('textbox', { name: /Text of/ }).getByText('slots: 3').waitFor()
      at.faults.splice(0) // the refusals the browser itself notes
    }))

  it('a held-back event is mended and let in', () =>
    on({ every: 0 }, async (at) => {
      const { page } = at
      await at.go('/setup/quarantine?event=Order+Completed')
      await page.locator('tbody tr[data-row] a').first().click()
      const panel = page.getByRole('complementary')
      await panel.getByRole('button', { name: 'Try again' }).click()
      await panel.getByRole('alert').getByText('must be a number').waitFor()
      at.faults.splice(0)
      await panel.getByRole('textbox').click()
      await page.keyboard.press('Control+a')
      await page.keyboard.insertText('{"type": "track", "event": "Order Completed", "properties": {"revenue": 64.5}}')
      await panel.getByRole('button', { name: 'Let the mended event in' }).click()
      await page.getByText('The event is in').waitFor()
    }))

  it('a viewer sees everything and changes nothing', () =>
    on({ every: 0, role: 'viewer' }, async (at) => {
      const { page } = at
      for (const path of ['/setup/sources', '/setup/config', '/setup/quarantine?id=q_1001', '/actions', '/setup/config/action/tasting-set']) {
        await at.go(path)
        await page.waitForTimeout(200)
        expect(await page.getByRole('button', { name: /Add|New|Apply|Try|Delete|Drop|Undo|Review/ }).count(), path).toBe(0)
      }
    }))

  it('a link is taken back, and a person erased, only when it is meant', () =>
    on({ every: 0 }, async (at) => {
      const { page } = at
      const found = await read<PeoplePage>(page, '/v1/people?q=ingrid.halvorsen%40example.com&limit=1')
      const person = found.people[0]
      await at.go(`/people/${person?.id}?tab=identity`)
      await page.getByRole('button', { name: 'Unmerge' }).first().click()
      await page.getByRole('dialog').getByRole('button', { name: 'Unmerge' }).click()
      await page.getByText('The link is taken back').waitFor()
      await at.go(`/people/${person?.id}?tab=privacy`)
      await page.getByRole('button', { name: 'Erase…' }).click()
      const erase = page.getByRole('dialog').getByRole('button', { name: 'Erase for good' })
      expect(await erase.isDisabled()).toBe(true)
      await page.getByRole('dialog').getByRole('textbox').fill('ingrid.halvorsen@example.com')
      await erase.click()
      await page.getByText('Erased.').waitFor()
      await page.getByRole('heading', { level: 1, name: 'People' }).waitFor()
    }))

  it('an audience is counted while it is written, published, and shows who is in it', () =>
    on({ every: 0 }, async (at) => {
      const { page } = at
      await at.go('/audiences')
      await page.getByRole('button', { name: 'New audience' }).click()
      await page.getByLabel('Name').fill('Espresso owners')
      await page.keyboard.press('Enter')
      await page.getByRole('heading', { name: 'Would be in it' }).waitFor()
      await page.getByText(/95 % interval/).waitFor()
      await page.getByRole('textbox', { name: /Text of segment/ }).click()
      await page.keyboard.press('Control+a')
      await page.keyboard.insertText('kind: segment\nid: espresso-owners\nname: Espresso owners\nwhen: traits.machine == "espresso"\n')
      await page.getByRole('button', { name: 'Review and apply' }).click()
      await page.getByRole('dialog').getByRole('button', { name: /Apply/ }).click()
      await page.getByText('Applied as version 15').waitFor()
      await at.go('/audiences/regulars')
      await page.getByRole('heading', { name: 'Size over time' }).waitFor()
    }))

  it('from a lot to its owners, and called back only when it is meant', () =>
    on({ every: 0 }, async (at) => {
      const { page } = at
      await at.go('/products')
      await page.locator('tbody tr[data-row] a').first().click()
      await page.getByRole('link', { name: 'Everything of lot L7' }).click()
      await page.getByText('2 items').first().waitFor()
      await page.getByRole('button', { name: 'Call back' }).click()
      const dialog = page.getByRole('dialog')
      await dialog.getByLabel('Reason').fill('The tank may crack')
      expect(await dialog.getByRole('button', { name: /Call back/ }).isDisabled()).toBe(true)
      await dialog.getByLabel('Type 2 to confirm').fill('2')
      await dialog.getByRole('button', { name: /Call back/ }).click()
      await page.getByText('Called back: items are marked').waitFor()
    }))

  it('a new source gets a key of its own', () =>
    on({ every: 0 }, async (at) => {
      const { page } = at
      await at.go('/setup/sources')
      await page.getByRole('button', { name: 'Add a source' }).click()
      await page.getByLabel('Name').fill('Café kiosk')
      await page.getByRole('dialog').getByText('id: cafe-kiosk').waitFor()
      await page.getByRole('dialog').getByRole('button', { name: 'Add source' }).click()
      await page.getByText('Café kiosk is open for events').waitFor()
    }))

  it('a long list draws only what is seen and stays quick', () =>
    on({ every: 0, people: 8000 }, async (at) => {
      const { page } = at
      await at.go('/people')
      const box = page.locator('div:has(> table)')
      const further = async () => {
        await box.evaluate((element) => element.scrollTo(0, element.scrollHeight))
        return Number(await page.locator('table').getAttribute('aria-rowcount'))
      }
      await expect.poll(further, some).toBeGreaterThan(500)
      expect(await page.locator('tbody tr[data-row]').count()).toBeLessThan(80)
      // A held key outruns what is drawn, and loses no step.
      const held = 260
      await page.evaluate((presses) => {
        for (let i = 0; i < presses; i++) document.activeElement?.dispatchEvent(new KeyboardEvent('keydown', { key: 'j', bubbles: true, cancelable: true }))
      }, held)
      await expect.poll(() => page.evaluate(() => document.activeElement?.closest<HTMLElement>('[data-row]')?.dataset.row), some).toBe(String(held - 1))
    }))
})

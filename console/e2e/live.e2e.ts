// What only a real server can show: work that is published and decides, second
// persons, ended sessions, restarts, and texts from outside that stay text.
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DecisionsPage, NewToken, PeoplePage, Source } from '../src/api/types'
import { live, openStage, read, shoot, token, track, violations, visit, type Stage, type Visit } from './stage'

/** Calls the API as the admin, beside any page. */
async function admin<T>(stage: Pick<Stage, 'url'>, method: string, path: string, body?: unknown): Promise<T> {
  const response = await fetch(stage.url + path, { method, headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, body: body === undefined ? undefined : JSON.stringify(body) })
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
  const text = await response.text()
  return (text ? JSON.parse(text) : undefined) as T
}

/** Presses Tab until what has the focus is called so. */
async function tabTo({ page }: Visit, name: RegExp) {
  for (let i = 0; i < 120; i++) {
    const here = await page.evaluate(() => {
      const element = document.activeElement
      return [element?.getAttribute('aria-label'), element?.hasAttribute('data-editor') && 'editor', element?.textContent, element?.id && document.querySelector(`label[for="${element.id}"]`)?.textContent].filter(Boolean).join(' | ')
    })
    if (name.test(here.slice(0, 200))) return
    await page.keyboard.press('Tab')
  }
  throw new Error(`the keyboard does not reach ${name}`)
}

/** Writes a document in the open editor and publishes it, by keyboard alone. */
async function writeAndPublish(at: Visit, text: string) {
  const { page } = at
  await page.locator('[data-editor] .cm-content').waitFor()
  await tabTo(at, /editor/)
  await page.keyboard.press('Control+a')
  await page.keyboard.insertText(text)
  await page.getByText('Checked: no errors').waitFor()
  await page.keyboard.press('Escape')
  await page.keyboard.press('Tab')
  await tabTo(at, /^Review and apply/)
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').getByRole('button', { name: 'Apply' }).waitFor()
  await tabTo(at, /^Apply/)
  await page.keyboard.press('Enter')
  await page.getByText(/Applied as version/).first().waitFor()
}

describe.runIf(live)('on a real server with the demo world', () => {
  let stage: Stage
  beforeAll(async () => void (stage = await openStage()))
  afterAll(() => stage.close())

  it('the keyboard alone makes an audience and an action, publishes both, and sees why', async () => {
    const at = await visit(stage)
    const { page } = at
    const name = `kb-${Date.now().toString(36)}`
    await at.go('/')
    try {
      await page.keyboard.press('Control+k')
      await page.getByRole('combobox').waitFor()
      await page.keyboard.type('New audience')
      await page.getByRole('option', { name: 'New audience' }).waitFor()
      await page.keyboard.press('Enter')
      await page.getByRole('dialog').getByLabel('Name').waitFor()
      await page.keyboard.type(name)
      await page.keyboard.press('Enter')
      await page.getByRole('heading', { level: 1, name }).waitFor()
      await writeAndPublish(at, `kind: segment\nid: ${name}\nname: ${name}\nwhen: traits.country == "NO"\n`)

      await page.keyboard.press('Control+k')
      await page.getByRole('combobox').waitFor()
      await page.keyboard.type('New action')
      await page.getByRole('option', { name: 'New action' }).waitFor()
      await page.keyboard.press('Enter')
      await page.getByRole('dialog').getByLabel('Id').waitFor()
      await tabTo(at, /^Id/)
      await page.keyboard.type(name)
      await page.keyboard.press('Enter')
      await page.getByRole('heading', { level: 1, name }).waitFor()
      await writeAndPublish(at, `kind: action\nid: ${name}\ntype: content\nplacements: [home_hero]\nwhen: segments.has("${name}")\ncontent:\n  title: "<img src=x onerror=alert(1)>"\n`)

      // Who is in the holdout, or may be told everything, has no bar of what they are not eligible for.
      const placement = (await admin<{ placements: { id: string }[] }>(stage, 'GET', '/v1/placements')).placements[0]?.id
      let person: PeoplePage['people'][number] | undefined
      for (const one of (await read<PeoplePage>(page, '/v1/people?limit=200')).people) {
        if (!one.identifiers?.length) continue
        const why = await admin<{ funnel: { label: string; removed: number }[] }>(stage, 'POST', '/v1/explain', { person: { id: one.id }, placement })
        if (!why.funnel.some((step) => step.label.includes('Not eligible') && step.removed > 0)) continue
        person = one
        break
      }
      expect(person).toBeDefined()
      await page.keyboard.press('Control+k')
      await page.getByRole('combobox').waitFor()
      await page.keyboard.type(person?.id ?? '')
      await page.getByRole('option').first().waitFor()
      await page.keyboard.press('Enter')
      await page.getByRole('link', { name: 'Preview decision' }).waitFor()
      await tabTo(at, /^Preview decision/)
      await page.keyboard.press('Enter')
      await page.getByRole('heading', { name: 'From all actions to the few' }).waitFor()
      await page.getByText('Not eligible').first().waitFor()
      await shoot(page, 'journey-keyboard-why')
      expect(at.faults.filter((fault) => !fault.includes('404'))).toEqual([])
    } finally {
      await admin(stage, 'POST', '/v1/config/apply', { delete: [{ kind: 'action', id: name }], note: 'test' }).catch(() => {})
      await admin(stage, 'POST', '/v1/config/apply', { delete: [{ kind: 'segment', id: name }], note: 'test' }).catch(() => {})
      await at.close()
    }
  })

  it('form and text are one document: edits flow both ways, comments stay, errors stand at both', async () => {
    const at = await visit(stage)
    const { page } = at
    await at.go('/setup/config/policy/form-test')
    const form = page.getByRole('region', { name: 'Form of policy form-test' })
    const text = page.getByRole('textbox', { name: /Text of policy/ })
    await text.click()
    await page.keyboard.press('Control+a')
    await page.keyboard.insertText('# why we hold back\nkind: policy\nid: form-test\nholdout: 0.05 # agreed in May\ncaps:\n  # nobody is pestered\n  - {scope: person, max: 3, per: 1d}\n')
    await form.getByText('= 5 %').waitFor()
    expect(await form.getByLabel('Holdout', { exact: true }).inputValue()).toBe('0.05')

    // From the form into the text: the value alone changes.
    await form.getByLabel('Holdout', { exact: true }).fill('0.1')
    await text.getByText('holdout: 0.1 # agreed in May').waitFor()
    await form.getByLabel('Per', { exact: true }).fill('2')
    await form.getByRole('combobox', { name: 'Unit of Per' }).selectOption('w')
    await text.getByText('- {scope: person, max: 3, per: 2w}').waitFor()
    await form.getByRole('button', { name: /more settings/ }).last().click()
    await form.getByRole('button', { name: /^Quiet hours/ }).click()
    await form.getByRole('button', { name: 'Set', exact: true }).click()
    await form.getByLabel('From', { exact: true }).fill('22:00')
    await form.getByLabel('To', { exact: true }).fill('07:00')
    await text.getByText('from: "22:00"').waitFor()
    await text.getByText('# nobody is pestered').waitFor()
    await page.getByText('Checked: no errors').waitFor()
    expect(await violations(page)).toEqual([])

    // What is wrong stands at its field and at its line.
    await form.getByLabel('Max', { exact: true }).fill('5000')
    await form.getByRole('alert').getByText(/1000/).first().waitFor()
    await page.getByRole('status').getByText(/^7:/).waitFor()
    await shoot(page, 'journey-form-error')
    expect(await violations(page)).toEqual([])
    await form.getByLabel('Max', { exact: true }).fill('5')
    await page.getByText('Checked: no errors').waitFor()

    // A condition is picked together, references are picked, and what cannot be read leaves the form.
    await at.go('/setup/config/action/brew-guide')
    const action = page.getByRole('region', { name: 'Form of action brew-guide' })
    const yaml = page.getByRole('textbox', { name: /Text of action/ })
    await action.getByRole('button', { name: /more settings/ }).last().click()
    await action.getByRole('button', { name: /^When/ }).click()
    await action.getByRole('combobox', { name: 'Add a part to When' }).selectOption({ label: 'Being in an audience' })
    await action.getByRole('combobox', { name: 'Audience' }).selectOption('regulars')
    await yaml.getByText('when: segments.has("regulars")').waitFor()
    await action.getByRole('combobox', { name: 'Add a part to When' }).selectOption({ label: 'What they did' })
    await action.getByLabel('Number').fill('2')
    await yaml.getByText(/&& performed\("Order Completed"\).within\("30d"\).count\(\) >= 2/).waitFor()
    await action.getByRole('combobox', { name: 'Placements' }).selectOption('cart')
    await yaml.getByText('placements: [home_hero, product_page, inapp, cart]').waitFor()
    await page.getByText('Checked: no errors').waitFor()
    await shoot(page, 'journey-form-condition')
    expect(await violations(page)).toEqual([])
    await yaml.click()
    await page.keyboard.press('Control+End')
    await page.keyboard.insertText('cap: {max: ')
    await action.getByText('The form returns once it can be read').waitFor()
    await page.getByRole('button', { name: 'Drop my changes' }).click()
    await action.getByText('Better in three minutes').or(action.getByRole('textbox', { name: 'title in Content' })).first().waitFor()
    expect(at.faults.filter((fault) => !fault.includes('404'))).toEqual([])
    await at.close()
  })

  it('where an approval asks, a second person publishes', async () => {
    const second = await admin<NewToken>(stage, 'POST', '/v1/tokens', { name: `second ${Date.now()}`, role: 'admin' })
    await admin(stage, 'POST', '/v1/config/apply', { yaml: 'kind: placement\nid: e2e_shelf\nslots: 1\n---\nkind: approval\nid: e2e\nkinds: [placement]\n' })
    const [one, two] = [await visit(stage), await visit(stage, { as: second.secret })]
    try {
      await one.go('/setup/config/placement/e2e_shelf')
      await one.page.getByRole('textbox', { name: /Text of/ }).click()
      await one.page.keyboard.press('Control+a')
      await one.page.keyboard.insertText('kind: placement\nid: e2e_shelf\nslots: 2\n')
      await one.page.getByText('Checked: no errors').waitFor()
      await one.page.getByRole('button', { name: 'Review and apply' }).click()
      await one.page.getByRole('dialog').getByText('Somebody else publishes this').waitFor()
      expect(await violations(one.page)).toEqual([])
      await one.page.getByRole('dialog').getByRole('button', { name: 'Send for review' }).click()
      await one.page.getByText('Sent for review as proposal').waitFor()
      await one.go('/setup/config?view=review')
      await one.page.getByText('Somebody else publishes it').waitFor()
      expect(await one.page.getByRole('button', { name: 'Publish', exact: true }).isDisabled()).toBe(true)
      await two.go('/setup/config?view=review')
      await two.page.getByText('slots: 2').first().waitFor()
      await shoot(two.page, 'journey-second-person')
      expect(await violations(two.page)).toEqual([])
      await two.page.getByRole('button', { name: 'Publish', exact: true }).click()
      await two.page.getByText(/Published as version/).first().waitFor()
      expect([...one.faults, ...two.faults]).toEqual([])
    } finally {
      // Taking a version back waits for nobody. The server itself may have published models meanwhile.
      for (const { version, changed } of (await admin<{ versions: { version: number; changed: { id: string }[] }[] }>(stage, 'GET', '/v1/config/history?limit=20')).versions)
        if (changed.some((ref) => ref.id === 'e2e' || ref.id === 'e2e_shelf')) await admin(stage, 'POST', '/v1/config/undo', { version })
      await one.close()
      await two.close()
    }
  })

  it('a session that is ended in the middle of an edit loses nothing', async () => {
    const mine = await admin<NewToken>(stage, 'POST', '/v1/tokens', { name: `short-lived ${Date.now()}`, role: 'marketer' })
    const at = await visit(stage, { as: mine.secret })
    const { page } = at
    await at.go('/setup/config/action/brew-guide')
    await page.getByRole('textbox', { name: /Text of/ }).click()
    await page.keyboard.press('Control+End')
    await page.keyboard.type('priority: 3\n') // before: the question for a token takes the keys that follow it
    await admin(stage, 'DELETE', `/v1/tokens/${mine.id}`)
    const again = page.getByRole('dialog', { name: 'Sign in again' })
    await again.waitFor()
    await again.getByLabel('Access token').fill(token)
    await again.getByRole('button', { name: 'Sign in' }).click()
    await again.waitFor({ state: 'detached' })
    await page.getByRole('textbox', { name: /Text of/ }).getByText('priority: 3').waitFor()
    await at.close()
  })

  it('texts from outside are text: event names, traits, products, contents', async () => {
    const at = await visit(stage)
    const { page } = at
    let dialogs = 0
    page.on('dialog', (dialog) => (dialogs++, void dialog.dismiss()))
    const source = (await read<{ sources: Source[] }>(page, '/v1/sources')).sources.find((s) => s.enabled)
    const user = `xss-${Date.now()}`
    const evil = '<img src=x onerror=alert(1)><script>alert(2)</script>'
    const send = (path: string, body: object) =>
      fetch(stage.url + path, { method: 'POST', headers: { 'content-type': 'application/json', authorization: `Basic ${btoa(source?.key + ':')}` }, body: JSON.stringify({ userId: user, messageId: crypto.randomUUID(), ...body }) })
    await send('/v1/identify', { traits: { firstName: evil, lastName: '"><svg onload=alert(3)>', city: evil, [`t${evil}`]: evil } })
    await track(stage, source?.key ?? '', { userId: user, event: evil, properties: { name: evil, sku: evil } })
    await track(stage, source?.key ?? '', { userId: user, event: 'Product Viewed', properties: { name: evil, category: evil, sku: 'x', price: 'javascript:alert(4)' } })
    // What colleagues write is text, too: a template, a product's name, an audience's.
    await admin(stage, 'POST', '/v1/config/apply', {
      yaml: `kind: product\nid: xss\ngtin: "09506000134352"\nname: ${JSON.stringify(evil)}\n---\nkind: segment\nid: xss\nname: ${JSON.stringify(evil)}\nwhen: traits.city == ${JSON.stringify(JSON.stringify(evil)).slice(1, -1).replaceAll('\\"', '"')}\n---\nkind: action\nid: xss\ntype: message\nplacements: [home_hero]\ncontent:\n  title: ${JSON.stringify(evil)}\n  body: "{{ traits.firstName }}<script>alert(5)</script>"\n`,
      note: evil,
    })
    for (const path of ['/actions', '/actions/xss', '/actions/xss?tab=preview', '/actions/xss?tab=config', '/setup/config/action/xss', '/setup/config/product/xss', '/setup/config?view=history', '/audiences', '/audiences/xss', '/audiences/xss?tab=definition', '/products/fleet', '/setup/audit']) {
      await at.go(path)
      if (path.includes('/config/') || path.includes('definition')) await page.locator('[data-editor] .cm-content').getByText('alert(1)').first().waitFor()
      expect(await page.locator('#content img, #content script, #content svg[onload]').count(), path).toBe(0)
    }
    await admin(stage, 'POST', '/v1/config/apply', { delete: ['action', 'segment', 'product'].map((kind) => ({ kind, id: 'xss' })), note: 'test' })
    for (const path of [`/people/${encodeURIComponent('userId:' + user)}`, `/people/${encodeURIComponent('userId:' + user)}?tab=identity`, `/people?q=${encodeURIComponent('userId:' + user)}`, '/setup/quarantine', '/']) {
      await at.go(path)
      await page.waitForTimeout(300)
      expect(await page.locator('#content img, #content script, #content svg[onload]').count(), path).toBe(0)
    }
    expect(dialogs).toBe(0)
    expect(at.faults).toEqual([])
    await at.close()
  })

  it('cookies are out of reach of scripts and other sites, and the policy is strict', async () => {
    const at = await visit(stage)
    const cookie = (await at.context.cookies()).find((c) => c.name === 'rapport_session')
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict' })
    const page = await fetch(stage.url + '/')
    const policy = page.headers.get('content-security-policy') ?? ''
    expect(policy).toContain("default-src 'none'")
    expect(policy).not.toMatch(/unsafe|\*|https?:/)
    const forged = await fetch(stage.url + '/v1/config/undo', { method: 'POST', headers: { cookie: `rapport_session=${cookie?.value}`, 'content-type': 'application/json' }, body: '{"version":1}' })
    expect(forged.status).toBe(403)
    await at.close()
  })

  it('a list of a hundred thousand draws only what is seen', async () => {
    const at = await visit(stage)
    const { page } = at
    const person = (i: number) => ({ id: `p_${i.toString(36).padStart(26, '0')}`, name: `Person ${i}`, identifiers: [{ kind: 'userId', value: `u${i}` }], firstSeen: Date.now(), lastSeen: Date.now(), events: i })
    await page.route('**/v1/people?*', (route) => {
      const from = Number(new URL(route.request().url()).searchParams.get('after') ?? 0)
      const people = Array.from({ length: 10_000 }, (_, i) => person(from + i))
      return route.fulfill({ json: { people, total: 100_000, next: from + 10_000 < 100_000 ? String(from + 10_000) : undefined } })
    })
    await at.go('/people')
    const box = page.locator('div:has(> table)')
    await expect
      .poll(async () => (await box.evaluate((element) => element.scrollTo(0, element.scrollHeight)), Number(await page.locator('table').getAttribute('aria-rowcount'))), { timeout: 60_000 })
      .toBe(100_000)
    expect(await page.locator('tbody tr[data-row]').count()).toBeLessThan(80)
    // In the processor's time of the page's own thread: what else the machine does is not on trial.
    const cdp = await at.context.newCDPSession(page)
    await cdp.send('Performance.enable', { timeDomain: 'threadTicks' })
    const busy = async () => (await cdp.send('Performance.getMetrics')).metrics.find((metric) => metric.name === 'TaskDuration')?.value ?? 0
    const before = await busy()
    const millis = await box.evaluate(async (element) => {
      const frame = () => new Promise((done) => requestAnimationFrame(done))
      const took: number[] = []
      for (let i = 0; i < 40; i++) {
        await frame()
        const begun = performance.now()
        element.scrollTo(0, (element.scrollHeight * ((i * 37) % 100)) / 100)
        await frame() // the rows are drawn before the next one
        took.push(performance.now() - begun)
      }
      return took.sort((a, b) => a - b)
    })
    const work = ((await busy()) - before) / 40
    console.log(`jump in a list of 100,000: ${Math.round(work * 1000)} ms of work each; median ${Math.round(millis[20] ?? 0)} ms, 90 % within ${Math.round(millis[36] ?? 0)} ms`)
    // On a machine that counts to fifty million in 125 ms; a slower one has as much longer.
    const counted = await page.evaluate(() => {
      const begun = performance.now()
      let n = 0
      for (let i = 0; i < 50_000_000; i++) n = (n * 31 + i) | 0
      return performance.now() - begun + (n === 1 ? 1 : 0)
    })
    expect(work / Math.max(1, counted / 125)).toBeLessThan(0.05)
    expect(at.faults).toEqual([])
    await at.close()
  })
})

describe.runIf(process.env.RAPPORT_BIN)('on a server of our own', () => {
  it('a restart under an open page mends itself, and the edit in it survives', async () => {
    const data = mkdtempSync(join(tmpdir(), 'rapport-restart-'))
    const stage = await openStage()
    let server: ChildProcess | undefined
    const start = (listen: string) =>
      new Promise<string>((done, fail) => {
        server = spawn(process.env.RAPPORT_BIN ?? '', ['serve', '--data', data, '--listen', listen, '--mqtt', 'off'], { env: { ...process.env, RAPPORT_ADMIN_TOKEN: token }, stdio: ['ignore', 'pipe', 'inherit'] })
        let said = ''
        server.stdout?.setEncoding('utf8').on('data', (text: string) => {
          said += text
          const url = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0]
          if (url) done(url)
        })
        server.once('exit', (code) => fail(new Error(`the server ended with ${code}`)))
      })
    const stop = () => new Promise<void>((done) => (server?.once('exit', () => done()), server?.kill('SIGKILL')))
    try {
      const url = await start('127.0.0.1:0')
      const own = { url, browser: stage.browser }
      await admin(own, 'POST', '/v1/config/apply', { yaml: 'kind: placement\nid: hero\nslots: 1\n' })
      const at = await visit(own)
      await at.go('/setup/config/placement/hero')
      await at.page.getByRole('textbox', { name: /Text of/ }).click()
      await at.page.keyboard.press('Control+End')
      await at.page.keyboard.type('# kept\n')
      await stop()
      await at.page.getByText('The server is not answering').waitFor()
      await start(url.replace('http://', ''))
      await at.page.getByText('The server is not answering').waitFor({ state: 'detached' })
      await at.page.getByRole('textbox', { name: /Text of/ }).getByText('# kept').waitFor()
      await at.page.getByText('Checked: no errors').waitFor()
      const decisions = await read<DecisionsPage>(at.page, '/v1/decisions?limit=1')
      expect(decisions.decisions).toEqual([])
      await at.close()
    } finally {
      await stop()
      await stage.close()
      rmSync(data, { recursive: true, force: true })
    }
  })
})

// Every page, in both themes and both widths: no accessibility violation, no
// console error, no request that leaves our origin. Pictures go to artifacts/.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ConfigDocument, DecisionsPage, ItemsPage, PeoplePage } from '../src/api/types'
import { openStage, read, shoot, violations, visit, type Stage, type Theme, type Visit, type Width } from './stage'

let stage: Stage
beforeAll(async () => void (stage = await openStage({ every: 600 })))
afterAll(() => stage.close())

interface Stop {
  name: string
  path: string
  /** What to do there before looking. */
  then?: (at: Visit) => Promise<unknown>
}

async function stops(at: Visit): Promise<Stop[]> {
  const people = await read<PeoplePage>(at.page, '/v1/people?limit=20')
  const person = people.people.find((p) => p.name && (p.identifiers?.length ?? 0) > 0) ?? people.people[0]
  const decision = (await read<DecisionsPage>(at.page, '/v1/decisions?limit=1')).decisions[0]
  const documents = (await read<{ documents: ConfigDocument[] }>(at.page, '/v1/config')).documents
  const action = documents.find((doc) => doc.kind === 'action')
  const out: Stop[] = [
    { name: 'now', path: '/' },
    { name: 'people', path: '/people' },
    { name: 'people-none', path: '/people?q=nobody-is-called-this' },
    { name: 'audiences', path: '/audiences' },
    { name: 'audience-new', path: '/audiences/brand-new?tab=definition', then: (v) => v.page.locator('[data-editor] .cm-content').waitFor() },
    { name: 'products', path: '/products' },
    { name: 'recalls', path: '/products/recalls' },
    { name: 'recall', path: '/products/recalls?of=01%2F09506000134352%2F10%2FL7' },
    { name: 'supply-chain', path: '/products/supply-chain' },
    { name: 'models', path: '/setup/models' },
    { name: 'decisions', path: '/decisions' },
    { name: 'actions', path: '/actions' },
    { name: 'placements', path: '/placements' },
    { name: 'sources', path: '/setup/sources' },
    { name: 'quarantine', path: '/setup/quarantine' },
    { name: 'config', path: '/setup/config' },
    { name: 'config-history', path: '/setup/config?view=history' },
    { name: 'config-new', path: '/setup/config?add=true', then: (v) => v.page.getByRole('dialog').waitFor() },
    { name: 'deliveries', path: '/setup/deliveries' },
    { name: 'tokens', path: '/setup/tokens' },
    { name: 'audit', path: '/setup/audit' },
    { name: 'system', path: '/setup/system' },
    { name: 'not-found', path: '/there/is/no/such/page' },
    { name: 'palette', path: '/people', then: async ({ page }) => (await page.keyboard.press('Control+k'), await page.getByRole('combobox').waitFor()) },
    { name: 'shortcuts', path: '/people', then: async ({ page }) => (await page.keyboard.press('?'), await page.getByRole('dialog').waitFor()) },
    { name: 'source-add', path: '/setup/sources?add=true', then: (v) => v.page.getByRole('dialog').waitFor() },
  ]
  if (person) {
    for (const tab of ['', 'why', 'scores', 'identity', 'privacy', 'api']) out.push({ name: `person${tab && '-' + tab}`, path: `/people/${person.id}${tab && '?tab=' + tab}` })
    out.push({ name: 'person-system', path: `/people/${person.id}?system=true` })
  }
  if (decision) {
    out.push({ name: 'decision', path: `/decisions/${decision.decisionId}` })
    out.push({ name: 'decision-panel', path: `/decisions?id=${decision.decisionId}`, then: (v) => v.page.getByRole('complementary').waitFor() })
  }
  if (action) {
    out.push({ name: 'action', path: `/actions/${action.id}` })
    out.push({ name: 'action-config', path: `/actions/${action.id}?tab=config` })
    out.push({ name: 'document', path: `/setup/config/action/${action.id}`, then: (v) => v.page.locator('[data-editor] .cm-content').waitFor() })
    out.push({ name: 'document-history', path: `/setup/config/action/${action.id}?view=history` })
  }
  const segment = documents.find((doc) => doc.kind === 'segment')
  if (segment) for (const tab of ['', 'definition', 'api']) out.push({ name: `audience${tab && '-' + tab}`, path: `/audiences/${segment.id}${tab && '?tab=' + tab}` })
  const item = (await read<ItemsPage>(at.page, '/v1/items?limit=1')).items[0]
  if (item) out.push({ name: 'item', path: `/products/items/${item.id}` })
  const source = documents.find((doc) => doc.kind === 'source')
  if (source) out.push({ name: 'source', path: `/setup/sources?id=${source.id}`, then: (v) => v.page.getByRole('complementary').waitFor() })
  return out
}

const settings: [Theme, Width][] = [
  ['light', 'wide'],
  ['dark', 'wide'],
  ['light', 'narrow'],
  ['dark', 'narrow'],
]

describe.each(settings)('in %s, %s', (theme, width) => {
  it('the sign-in page is accessible', async () => {
    const at = await visit(stage, { theme, width, signIn: false })
    await at.go('/people')
    expect(await violations(at.page)).toEqual([])
    await shoot(at.page, `${width}-${theme}-signin`)
    expect(at.faults).toEqual([])
    await at.close()
  })

  it('every page is accessible, quiet and stays at home', { timeout: 900_000 }, async () => {
    const at = await visit(stage, { theme, width })
    const wrong: string[] = []
    for (const stop of await stops(at)) {
      await at.go(stop.path)
      await stop.then?.(at)
      await at.page.waitForTimeout(stop.name === 'now' ? 1500 : 150)
      await shoot(at.page, `${width}-${theme}-${stop.name}`)
      for (const violation of await violations(at.page)) wrong.push(`${stop.name}: ${violation}`)
      const wider = await at.page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
      if (wider > 0) wrong.push(`${stop.name}: ${wider} px wider than its window`)
      wrong.push(...at.faults.splice(0).map((fault) => `${stop.name}: ${fault}`))
    }
    expect(wrong).toEqual([])
    await at.close()
  })
})

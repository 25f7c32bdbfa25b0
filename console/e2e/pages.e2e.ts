// Every page of a running server, in both themes and both widths: no
// accessibility violation, no console error, no request that leaves our origin.
// Pictures go to artifacts/.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ConfigDocument, DecisionsPage, ItemsPage, PeoplePage } from '../src/api/types'
import { live, openStage, paint, read, shoot, violations, visit, type Stage, type Visit, type Width } from './stage'

let stage: Stage
beforeAll(async () => void (live && (stage = await openStage())))
afterAll(() => stage?.close())

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
    { name: 'fleet', path: '/products/fleet' },
    { name: 'recalls', path: '/products/recalls' },
    { name: 'recall', path: '/products/recalls?of=01%2F09506000134352%2F10%2FL7' },
    { name: 'learning', path: '/learning' },
    { name: 'insights', path: '/insights' },
    { name: 'content', path: '/content' },
    { name: 'content-preview', path: '/content?action=brew-guide', then: (v) => v.page.getByText('A preview: nothing was sent').waitFor() },
    { name: 'channels', path: '/content?tab=channels' },
    { name: 'suppressed', path: '/content?tab=suppressed' },
    { name: 'people-audience', path: '/people?audience=regulars' },
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
    { name: 'board', path: '/board', then: (v) => v.page.getByRole('heading', { name: 'Who comes first' }).waitFor() },
    { name: 'board-tried', path: '/board?try=brew-guide:w0.2;gift-guide:off', then: (v) => v.page.getByText(/ of them$/).first().waitFor() },
    { name: 'portfolio', path: '/portfolio' },
    { name: 'import', path: '/setup/import' },
    { name: 'docs', path: '/docs/guide/start' },
    { name: 'docs-reference', path: '/docs/conditions' },
    { name: 'help', path: '/people', then: async ({ page }) => (await page.getByRole('button', { name: 'What is this page?' }).click(), await page.getByRole('link', { name: 'Read more' }).waitFor()) },
    { name: 'rollouts', path: '/products/rollouts' },
    { name: 'identity', path: '/setup/identity' },
    { name: 'identity-values', path: '/setup/identity?view=values' },
    { name: 'identity-rules', path: '/setup/identity?view=rules' },
    { name: 'identity-rule', path: '/setup/config/identifier/email', then: (v) => v.page.getByRole('heading', { name: 'What this rule would change' }).waitFor() },
    { name: 'config-review', path: '/setup/config?view=review' },
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
    out.push({ name: 'action-preview', path: `/actions/${action.id}?tab=preview`, then: (v) => v.page.getByText('A preview: nothing was sent').waitFor() })
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

describe.runIf(live).each(['wide', 'narrow'] as Width[])('%s', (width) => {
  it('every page is accessible, quiet and stays at home, light and dark', { timeout: 900_000 }, async () => {
    const wrong: string[] = []
    const look = async (at: Visit, name: string) => {
      await shoot(at.page, `${width}-light-${name}`)
      for (const violation of await violations(at.page)) wrong.push(`${name}: ${violation}`)
      // The same page in the other theme: only its colours are other.
      await paint(at.page, 'dark')
      await shoot(at.page, `${width}-dark-${name}`)
      for (const violation of await violations(at.page, 'colours')) wrong.push(`${name}, dark: ${violation}`)
      await paint(at.page, 'light')
      const wider = await at.page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
      if (wider > 0) wrong.push(`${name}: ${wider} px wider than its window`)
      wrong.push(...at.faults.splice(0).map((fault) => `${name}: ${fault}`))
    }
    const door = await visit(stage, { width, signIn: false })
    await door.go('/people')
    await look(door, 'signin')
    await door.close()
    const at = await visit(stage, { width })
    for (const stop of await stops(at)) {
      await at.go(stop.path)
      await stop.then?.(at)
      // A document that does not exist yet is asked for, and its refusal noted by the browser.
      if (stop.path.endsWith('/brand-new?tab=definition') || stop.name === 'identity-rule') at.faults.splice(0)
      await look(at, stop.name)
    }
    expect(wrong).toEqual([])
    await at.close()
  })
})

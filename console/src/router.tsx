import type { QueryClient } from '@tanstack/react-query'
import { createRootRouteWithContext, createRoute, createRouter, lazyRouteComponent, redirect } from '@tanstack/react-router'
import { Root } from './shell/shell'
import { NotFound, PageFailure } from './shell/failure'

/** Reads the named query values and drops the rest: addresses are written by hand, too. */
function reads<const K extends string, const F extends string = never>(words: K[], flags: F[] = []) {
  return (search: Record<string, unknown>): { [P in K]?: string } & { [P in F]?: true } => {
    const out: Record<string, unknown> = {}
    for (const key of words) if (search[key] !== undefined && search[key] !== '') out[key] = String(search[key])
    for (const key of flags) if (search[key] === true || search[key] === 'true' || search[key] === '1') out[key] = true
    return out as { [P in K]?: string } & { [P in F]?: true }
  }
}

const root = createRootRouteWithContext<{ client: QueryClient }>()({ component: Root, notFoundComponent: NotFound })
const at = <P extends string>(path: P) => ({ getParentRoute: () => root, path })

const now = createRoute({ ...at('/'), validateSearch: reads(['kind', 'q']), component: lazyRouteComponent(() => import('./pages/now/now'), 'Now') })
const people = createRoute({ ...at('/people'), validateSearch: reads(['q', 'audience']), component: lazyRouteComponent(() => import('./pages/people/people'), 'People') })
const person = createRoute({
  ...at('/people/$ref'),
  validateSearch: reads(['tab', 'placement', 'action'], ['system']),
  component: lazyRouteComponent(() => import('./pages/person/person'), 'PersonPage'),
})
const decisions = createRoute({
  ...at('/decisions'),
  validateSearch: reads(['placement', 'action', 'outcome', 'person', 'id']),
  component: lazyRouteComponent(() => import('./pages/decisions/decisions'), 'Decisions'),
})
const decision = createRoute({ ...at('/decisions/$id'), component: lazyRouteComponent(() => import('./pages/decisions/decision'), 'DecisionPage') })
const actions = createRoute({ ...at('/actions'), validateSearch: reads(['q', 'placement']), component: lazyRouteComponent(() => import('./pages/actions/actions'), 'Actions') })
const action = createRoute({ ...at('/actions/$id'), validateSearch: reads(['tab', 'person']), component: lazyRouteComponent(() => import('./pages/actions/action'), 'ActionPage') })
const placements = createRoute({ ...at('/placements'), component: lazyRouteComponent(() => import('./pages/actions/placements'), 'Placements') })
const learning = createRoute({ ...at('/learning'), validateSearch: reads(['placement']), component: lazyRouteComponent(() => import('./pages/portfolio/learning'), 'LearningPage') })
const board = createRoute({ ...at('/board'), validateSearch: reads(['placement', 'try']), component: lazyRouteComponent(() => import('./pages/portfolio/board'), 'BoardPage') })
const portfolio = createRoute({ ...at('/portfolio'), validateSearch: reads(['placement', 'action', 'state']), component: lazyRouteComponent(() => import('./pages/portfolio/portfolio'), 'PortfolioPage') })

const audiences = createRoute({ ...at('/audiences'), validateSearch: reads(['q'], ['add']), component: lazyRouteComponent(() => import('./pages/audiences/audiences'), 'Audiences') })
const insights = createRoute({ ...at('/insights'), validateSearch: reads(['event', 'within']), component: lazyRouteComponent(() => import('./pages/audiences/insights'), 'InsightsPage') })
const audience = createRoute({ ...at('/audiences/$id'), validateSearch: reads(['tab', 'when']), component: lazyRouteComponent(() => import('./pages/audiences/audience'), 'Audience') })
const products = createRoute({ ...at('/products'), validateSearch: reads(['gtin', 'state']), component: lazyRouteComponent(() => import('./pages/products/products'), 'Products') })
const item = createRoute({ ...at('/products/items/$id'), validateSearch: reads(['tab', 'reading', 'step']), component: lazyRouteComponent(() => import('./pages/products/item'), 'ItemPage') })
const fleet = createRoute({ ...at('/products/fleet'), validateSearch: reads(['days', 'gtin']), component: lazyRouteComponent(() => import('./pages/products/fleet'), 'Fleet') })
const recalls = createRoute({ ...at('/products/recalls'), validateSearch: reads(['of']), component: lazyRouteComponent(() => import('./pages/products/recalls'), 'Recalls') })
const recall = createRoute({ ...at('/products/recalls/$id'), validateSearch: reads(['state']), component: lazyRouteComponent(() => import('./pages/products/recall'), 'RecallPage') })
const rollouts = createRoute({ ...at('/products/rollouts'), validateSearch: reads(['id'], ['add']), component: lazyRouteComponent(() => import('./pages/products/rollouts'), 'Rollouts') })
const captures = createRoute({ ...at('/products/supply-chain'), validateSearch: reads(['id']), component: lazyRouteComponent(() => import('./pages/products/captures'), 'Captures') })
const models = createRoute({ ...at('/setup/models'), component: lazyRouteComponent(() => import('./pages/models/models'), 'Models') })

const content = createRoute({ ...at('/content'), validateSearch: reads(['tab', 'q', 'action', 'person', 'reason']), component: lazyRouteComponent(() => import('./pages/content/content'), 'ContentPage') })

const docs = createRoute({ ...at('/docs/$'), component: lazyRouteComponent(() => import('./pages/docs/docs'), 'Docs') })

const setup = createRoute({
  ...at('/setup'),
  beforeLoad: () => {
    throw redirect({ to: '/setup/sources' })
  },
})
const sources = createRoute({
  ...at('/setup/sources'),
  validateSearch: reads(['id', 'lang'], ['add']),
  component: lazyRouteComponent(() => import('./pages/setup/sources'), 'Sources'),
})
const quarantine = createRoute({ ...at('/setup/quarantine'), validateSearch: reads(['source', 'event', 'id']), component: lazyRouteComponent(() => import('./pages/setup/quarantine'), 'Quarantine') })
const config = createRoute({
  ...at('/setup/config'),
  validateSearch: reads(['q', 'kind', 'view'], ['add']),
  component: lazyRouteComponent(() => import('./pages/setup/config'), 'ConfigPage'),
})
const document = createRoute({ ...at('/setup/config/$kind/$id'), validateSearch: reads(['view']), component: lazyRouteComponent(() => import('./pages/setup/document'), 'DocumentPage') })
const identity = createRoute({ ...at('/setup/identity'), validateSearch: reads(['view']), component: lazyRouteComponent(() => import('./pages/setup/identity'), 'IdentityPage') })
const importing = createRoute({ ...at('/setup/import'), component: lazyRouteComponent(() => import('./pages/import/import'), 'ImportPage') })
const deliveries = createRoute({ ...at('/setup/deliveries'), validateSearch: reads(['status', 'id']), component: lazyRouteComponent(() => import('./pages/setup/deliveries'), 'Deliveries') })
const tokens = createRoute({ ...at('/setup/tokens'), component: lazyRouteComponent(() => import('./pages/setup/tokens'), 'Tokens') })
const audit = createRoute({ ...at('/setup/audit'), validateSearch: reads(['q']), component: lazyRouteComponent(() => import('./pages/setup/audit'), 'Audit') })
const system = createRoute({ ...at('/setup/system'), component: lazyRouteComponent(() => import('./pages/setup/system'), 'SystemPage') })

// The parts in both themes, while developing only.
const components = import.meta.env.DEV ? createRoute({ ...at('/dev/components'), component: lazyRouteComponent(() => import('./pages/dev/components'), 'Components') }) : undefined

const pages = [now, people, person, audiences, audience, products, item, fleet, recalls, recall, rollouts, captures, models, decisions, decision, actions, action, placements, board, portfolio, learning, content, insights, docs, setup, sources, importing, quarantine, identity, config, document, deliveries, tokens, audit, system]

export function makeRouter(client: QueryClient) {
  return createRouter({
    routeTree: root.addChildren(components ? [...pages, components] : pages),
    context: { client },
    defaultPreload: 'intent',
    defaultPreloadDelay: 40,
    scrollRestoration: true,
    scrollToTopSelectors: ['#content'],
    defaultErrorComponent: PageFailure,
    defaultNotFoundComponent: NotFound,
    // Plain addresses: ?outcome=nothing&system=true, no JSON in them.
    parseSearch: (text) => Object.fromEntries([...new URLSearchParams(text)].map(([key, value]) => [key, value === 'true' ? true : value])),
    stringifySearch: (search) => {
      const query = new URLSearchParams()
      for (const [key, value] of Object.entries(search)) if (value !== undefined && value !== '' && value !== false) query.set(key, String(value))
      const text = query.toString()
      return text ? `?${text}` : ''
    },
  })
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof makeRouter>
  }
}

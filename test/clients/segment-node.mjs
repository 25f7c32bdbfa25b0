// Sends one event of every call type with @segment/analytics-node.
import { Analytics } from '@segment/analytics-node'

const [url, writeKey] = process.argv.slice(2)
const analytics = new Analytics({ writeKey, host: url, path: '/v1/batch', flushAt: 4, flushInterval: 200, maxRetries: 10 })
analytics.on('error', (e) => console.error('segment-node:', e.code, e.reason?.message ?? e.reason))

const who = { userId: 'user-1', anonymousId: 'anon-1' }
analytics.identify({ ...who, traits: { email: 'Kari@Example.no', plan: 'pro' } })
analytics.track({ ...who, event: 'Order Completed', properties: { revenue: 20.5, products: [{ sku: 'a' }] }, timestamp: new Date(Date.now() - 60_000) })
analytics.page({ ...who, name: 'Home', properties: { path: '/' } })
analytics.screen({ ...who, name: 'Start' })
analytics.group({ ...who, groupId: 'group-1', traits: { name: 'Northbean' } })
analytics.alias({ userId: 'user-1', previousId: 'anon-1' })
await analytics.closeAndFlush({ timeout: 60_000 })

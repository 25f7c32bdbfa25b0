// The page of a shop that uses @segment/analytics-next.
import { AnalyticsBrowser } from '@segment/analytics-next'

const { url, writeKey, variant } = window.test
const own = variant === 'batching' ? { deliveryStrategy: { strategy: 'batching', config: { size: 6, timeout: 500 } } } : {}
const analytics = AnalyticsBrowser.load({ writeKey, cdnURL: url }, { integrations: { 'Segment.io': own } })
window.sent = (async () => {
  await analytics.setAnonymousId('anon-1')
  await analytics.identify('user-1', { email: 'Kari@Example.no', plan: 'pro' })
  await analytics.track('Order Completed', { revenue: 20.5, products: [{ sku: 'a' }] })
  await analytics.page('Home')
  await analytics.screen('Start')
  await analytics.group('group-1', { name: 'Northbean' })
  await analytics.alias('user-1', 'anon-1')
})()

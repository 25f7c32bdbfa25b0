// The page of a shop that uses @rudderstack/analytics-js.
import { RudderAnalytics } from '@rudderstack/analytics-js/bundled'

const { url, writeKey, variant } = window.test
const options = { configUrl: url, logLevel: 'ERROR', anonymousIdOptions: { autoCapture: { enabled: false } } }
if (variant === 'batching') options.queueOptions = { batch: { enabled: true, maxItems: 5, flushInterval: 500 } }
if (variant === 'beacon') Object.assign(options, { useBeacon: true, beaconQueueOptions: { flushQueueInterval: 500, maxItems: 5 } })
const analytics = new RudderAnalytics()
analytics.load(writeKey, url, options)
window.sent = new Promise((done) =>
  analytics.ready(() => {
    analytics.setAnonymousId('anon-1')
    analytics.identify('user-1', { email: 'Kari@Example.no', plan: 'pro' })
    analytics.track('Order Completed', { revenue: 20.5, products: [{ sku: 'a' }] })
    analytics.page('Home')
    analytics.group('group-1', { name: 'Northbean' })
    analytics.alias('user-1', 'anon-1')
    done()
  }),
)

// Sends one event of every call type with @rudderstack/rudder-sdk-node. By itself
// it tries four times and ends the program then; the test disturbs it that often.
import RudderAnalytics from '@rudderstack/rudder-sdk-node'

const [url, writeKey] = process.argv.slice(2)
const client = new RudderAnalytics(writeKey, { dataPlaneUrl: url, flushAt: 4, flushInterval: 200, retryCount: 10, logLevel: 'error' })

const who = { userId: 'user-1', anonymousId: 'anon-1' }
client.identify({ ...who, traits: { email: 'Kari@Example.no', plan: 'pro' } })
client.track({ ...who, event: 'Order Completed', properties: { revenue: 20.5, products: [{ sku: 'a' }] } })
client.page({ ...who, name: 'Home', properties: { path: '/' } })
client.screen({ ...who, name: 'Start' })
client.group({ ...who, groupId: 'group-1', traits: { name: 'Northbean' } })
client.alias({ userId: 'user-1', previousId: 'anon-1' })
// The client has no call that waits for retries: it lives until it is told to stop.
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))

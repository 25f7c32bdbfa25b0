// Speaks for an item with the npm client: every quality of service, retained
// messages and a last will, in MQTT 3.1.1 and 5. Prints what it hears as JSON.
import mqtt from 'mqtt'

const [url, item, token, stranger, strangerToken] = process.argv.slice(2)
const heard = { desired: [], refused: [], acknowledged: 0 }
const topic = (last, of = item) => `d/${of}/${last}`
for (const protocolVersion of [4, 5]) {
  const c = await mqtt.connectAsync(url, { protocolVersion, username: item, password: token, clientId: 'npm', reconnectPeriod: 0 })
  // A change that is still on its way comes first, and is not marked as retained.
  const told = new Promise((resolve) => c.on('message', (t, payload, packet) => {
    if (!packet.retain) return
    heard.desired.push({ topic: t, payload: JSON.parse(payload) })
    resolve()
  }))
  await c.subscribeAsync(topic('desired'), { qos: 1 })
  await told
  for (const qos of [0, 1, 2]) {
    await c.publishAsync(topic('telemetry'), JSON.stringify({ seq: protocolVersion * 10 + qos, [`v${protocolVersion}q${qos}`]: 1 }), { qos })
    heard.acknowledged++
  }
  await c.publishAsync(topic('reported'), JSON.stringify({ firmware: `3.${protocolVersion}` }), { qos: 1, retain: true })
  await c.endAsync()

  // A last will is the device's own event.
  const w = await mqtt.connectAsync(url, {
    protocolVersion, username: item, password: token, clientId: 'will', reconnectPeriod: 0,
    will: { topic: topic('event'), payload: JSON.stringify({ event: 'Product Fault', seq: protocolVersion }), qos: 1, retain: false },
  })
  w.on('error', () => {})
  w.stream.destroy()

  // A stranger reaches nothing of the item, whatever it tries.
  const s = await mqtt.connectAsync(url, { protocolVersion, username: stranger, password: strangerToken, clientId: 'npm', reconnectPeriod: 0 })
  s.on('error', () => {})
  s.on('message', (t, payload) => heard.desired.push({ stranger: true, topic: t, payload: String(payload) }))
  for (const filter of ['#', 'd/+/desired', topic('#'), topic('desired')]) {
    const granted = await s.subscribeAsync(filter, { qos: 1 }).catch(() => [])
    if (!granted.some((g) => g.qos < 128)) heard.refused.push(filter)
  }
  // 3.1.1 knows no refusal of a message: the connection is closed, and the client keeps what it wanted to say.
  const closed = new Promise((resolve) => s.once('close', resolve))
  await Promise.race([closed, s.publishAsync(topic('telemetry'), JSON.stringify({ stolen: 1 }), { qos: 1 }).catch(() => {})])
  await s.endAsync(true)
  // Signing in with another's token fails.
  const failed = await mqtt.connectAsync(url, { protocolVersion, username: item, password: strangerToken, reconnectPeriod: 0 }).then(() => false, () => true)
  if (failed) heard.refused.push('token')
}
console.log(JSON.stringify(heard))
process.exit(0)

import { useState } from 'react'
import { Code } from '@/ui/parts'
import { Segmented } from '@/ui/tabs'

export type Language = 'curl' | 'browser' | 'node' | 'go'

const names: { value: Language; label: string }[] = [
  { value: 'curl', label: 'curl' },
  { value: 'browser', label: 'Browser' },
  { value: 'node', label: 'Node' },
  { value: 'go', label: 'Go' },
]

/** Code that sends a first event to this very server with this very key. */
export function snippet(language: Language, key: string, origin: string): string {
  switch (language) {
    case 'curl':
      return `curl ${origin}/v1/track \\
  -u ${key}: \\
  -H 'Content-Type: application/json' \\
  -d '{
    "userId": "ingrid",
    "event": "Product Viewed",
    "properties": {
      "name": "Espresso beans", "price": 14.5
    }
  }'`
    case 'browser':
      return `// npm install @segment/analytics-next
import { AnalyticsBrowser } from '@segment/analytics-next'

const analytics = AnalyticsBrowser.load(
  { writeKey: '${key}', cdnURL: '${origin}' },
  { integrations: { 'Segment.io': {
      apiHost: '${origin.replace(/^https?:\/\//, '')}/v1', protocol: '${origin.split(':')[0]}' } } },
)

analytics.page()
analytics.track('Product Viewed', { name: 'Espresso beans', price: 14.5 })`
    case 'node':
      return `// npm install @segment/analytics-node
import { Analytics } from '@segment/analytics-node'

const analytics = new Analytics({ writeKey: '${key}', host: '${origin}' })

analytics.track({
  userId: 'ingrid',
  event: 'Product Viewed',
  properties: { name: 'Espresso beans', price: 14.5 },
})
await analytics.closeAndFlush()`
    case 'go':
      return `// go get github.com/segmentio/analytics-go/v3
client, err := analytics.NewWithConfig("${key}", analytics.Config{
	Endpoint: "${origin}",
})
if err != nil {
	return err
}
defer client.Close()

client.Enqueue(analytics.Track{
	UserId:     "ingrid",
	Event:      "Product Viewed",
	Properties: analytics.NewProperties().SetName("Espresso beans").SetPrice(14.5),
})`
  }
}

export function Snippet({ sourceKey, language: fixed, onLanguage }: { sourceKey: string; language?: Language; onLanguage?: (language: Language) => void }) {
  const [own, setOwn] = useState<Language>('curl')
  const language = fixed ?? own
  return (
    <div className="space-y-2">
      <div className="flex">
        <Segmented label="Language" options={names} value={language} onChange={onLanguage ?? setOwn} />
      </div>
      <Code label={`Snippet for ${language}`} text={snippet(language, sourceKey, location.origin)} />
    </div>
  )
}

export const isLanguage = (text: string | undefined): text is Language => names.some((name) => name.value === text)

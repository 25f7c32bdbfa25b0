// The live stream: server-sent events read with fetch rather than EventSource,
// so that heartbeats are seen (a silent connection is a dead one) and a refusal
// can be told from a broken line.
import { withQuery } from './client'
import type { StreamMessage } from './types'

export interface Frame {
  event: string
  id?: string
  data: string
}

/** Cuts a byte stream's text into server-sent events. Feed it pieces; it keeps the rest. */
export function frameReader(onFrame: (frame: Frame) => void) {
  let rest = ''
  let event = ''
  let id: string | undefined
  let data: string[] = []
  return (piece: string) => {
    rest += piece
    for (;;) {
      const end = rest.search(/\r\n|\n|\r(?!$)/)
      if (end < 0) return
      const line = rest.slice(0, end)
      rest = rest.slice(end + (rest.startsWith('\r\n', end) ? 2 : 1))
      if (line === '') {
        if (data.length > 0 || event) onFrame({ event: event || 'message', id, data: data.join('\n') })
        event = ''
        data = []
        continue
      }
      const colon = line.indexOf(':')
      if (colon === 0) continue
      const field = colon < 0 ? line : line.slice(0, colon)
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
      if (field === 'event') event = value
      else if (field === 'data') data.push(value)
      else if (field === 'id') id = value
    }
  }
}

export type StreamState = 'connecting' | 'open' | 'reconnecting'

export interface StreamHandlers {
  onMessage: (message: StreamMessage) => void
  /** Some messages were dropped between the last one and the next. */
  onGap: () => void
  onState: (state: StreamState) => void
  /** The server no longer knows who is asking. */
  onRefused?: () => void
}

const silenceMillis = 40_000
const waitMillis = [500, 1000, 2000, 4000, 8000]

/**
 * Reads the stream until the signal aborts. It reconnects by itself, resuming
 * after the last message, and never throws.
 */
export async function readStream(handlers: StreamHandlers, signal: AbortSignal): Promise<void> {
  let last: string | undefined
  let failures = 0
  handlers.onState('connecting')
  while (!signal.aborted) {
    const attempt = new AbortController()
    const stop = () => attempt.abort()
    signal.addEventListener('abort', stop)
    let watchdog = setTimeout(stop, silenceMillis)
    try {
      const response = await fetch(withQuery('/v1/stream', { kinds: 'event,decision,delivery' }), {
        headers: { Accept: 'text/event-stream', ...(last ? { 'Last-Event-ID': last } : {}) },
        credentials: 'same-origin',
        signal: attempt.signal,
      })
      if (response.status === 401) handlers.onRefused?.()
      if (!response.ok || !response.body) throw new Error(`stream: ${response.status}`)
      handlers.onState('open')
      failures = 0
      const feed = frameReader((frame) => {
        if (frame.id) last = frame.id
        if (frame.event === 'gap') return handlers.onGap()
        try {
          const message = JSON.parse(frame.data) as StreamMessage
          if (message && typeof message === 'object' && message.kind) handlers.onMessage({ ...message, id: message.id ?? frame.id ?? '' })
        } catch {
          // A frame that is not JSON is not ours; the next one may be.
        }
      })
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
      for (;;) {
        const { done, value } = await reader.read()
        if (done) break
        clearTimeout(watchdog)
        watchdog = setTimeout(stop, silenceMillis)
        feed(value)
      }
    } catch {
      // Every failure has the same remedy: wait and connect again.
    } finally {
      clearTimeout(watchdog)
      signal.removeEventListener('abort', stop)
    }
    if (signal.aborted) return
    handlers.onState('reconnecting')
    await wait(waitMillis[Math.min(failures++, waitMillis.length - 1)] ?? 8000, signal)
  }
}

function wait(millis: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, millis)
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true })
  })
}

// One stream for the whole console: pages subscribe to it.
import { createContext, useContext, useEffect, useRef, useSyncExternalStore, type ReactNode } from 'react'
import { session } from '@/api/client'
import { readStream, type StreamState } from '@/api/stream'
import type { StreamMessage } from '@/api/types'
import { witness } from './clock'

export type LiveSignal = { type: 'message'; message: StreamMessage } | { type: 'gap' } | { type: 'reconnected' }

const keepRecent = 150

/** Holds the one connection and hands its messages to whoever listens. */
export class Live {
  state: StreamState = 'connecting'
  /** When the state last changed, for "Reconnecting, 12 s ago". */
  since = Date.now()
  /** The newest messages, oldest first, for a page that opens after they came. */
  recent: StreamMessage[] = []
  private readonly listeners = new Set<(signal: LiveSignal) => void>()
  private readonly watchers = new Set<() => void>()

  async run(signal: AbortSignal): Promise<void> {
    await readStream(
      {
        onMessage: (message) => {
          witness(message.time)
          this.recent.push(message)
          if (this.recent.length > 2 * keepRecent) this.recent = this.recent.slice(-keepRecent)
          this.tell({ type: 'message', message })
        },
        onGap: () => this.tell({ type: 'gap' }),
        onRefused: () => session.expired(),
        onState: (state) => {
          if (state === this.state) return
          const again = this.state === 'reconnecting' && state === 'open'
          this.state = state
          this.since = Date.now()
          for (const watcher of this.watchers) watcher()
          if (again) this.tell({ type: 'reconnected' })
        },
      },
      signal,
    )
  }

  listen = (listener: (signal: LiveSignal) => void) => {
    this.listeners.add(listener)
    return () => void this.listeners.delete(listener)
  }

  watch = (watcher: () => void) => {
    this.watchers.add(watcher)
    return () => void this.watchers.delete(watcher)
  }

  private tell(signal: LiveSignal) {
    for (const listener of this.listeners) listener(signal)
  }
}

const Context = createContext<Live | null>(null)

/** Opens the stream for as long as it is mounted. */
export function LiveProvider({ live, children }: { live: Live; children: ReactNode }) {
  useEffect(() => {
    const stop = new AbortController()
    void live.run(stop.signal)
    return () => stop.abort()
  }, [live])
  return <Context value={live}>{children}</Context>
}

export function useLive(): Live {
  const live = useContext(Context)
  if (!live) throw new Error('useLive outside LiveProvider')
  return live
}

export function useLiveState(): { state: StreamState; since: number } {
  const live = useLive()
  const state = useSyncExternalStore(live.watch, () => live.state)
  return { state, since: live.since }
}

export function useLiveSignals(listener: (signal: LiveSignal) => void): void {
  const live = useLive()
  const latest = useRef(listener)
  latest.current = listener
  useEffect(() => live.listen((signal) => latest.current(signal)), [live])
}

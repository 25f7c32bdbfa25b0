import { afterEach, describe, expect, it, vi } from 'vitest'
import { ApiError, call, get, session, withQuery } from './client'
import { frameReader, readStream, type Frame, type StreamState } from './stream'

afterEach(() => {
  vi.unstubAllGlobals()
  vi.useRealTimers()
  session.expired = () => {}
})

const answer = (status: number, body: string, headers: Record<string, string> = { 'Content-Type': 'application/json' }) => vi.stubGlobal('fetch', vi.fn(async () => new Response(status === 204 ? null : body, { status, headers })))

describe('a call', () => {
  it('leaves out of the query what is not set', () => {
    expect(withQuery('/v1/people', { q: 'a b&c', after: '', limit: 0, before: undefined })).toBe('/v1/people?q=a+b%26c&limit=0')
  })
  it('marks every change with the header another site cannot send', async () => {
    answer(204, '')
    await call('POST', '/v1/demo')
    await get('/v1/demo')
    const [post, read] = vi.mocked(fetch).mock.calls.map((c) => c[1]?.headers as Record<string, string>)
    expect(post?.['X-Rapport-Console']).toBe('1')
    expect(read?.['X-Rapport-Console']).toBeUndefined()
  })
  it('reads text where the answer is none of JSON', async () => {
    answer(200, 'kind: action\n', { 'Content-Type': 'application/yaml' })
    expect(await get('/v1/config/export')).toBe('kind: action\n')
  })
  it('tells a refusal with its reason and request id', async () => {
    answer(409, JSON.stringify({ title: 'Moved on', detail: 'version 15 is live', requestId: 'rq_1' }))
    const error = await get('/x').catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(ApiError)
    expect((error as ApiError).problem).toMatchObject({ status: 409, detail: 'version 15 is live', requestId: 'rq_1' })
  })
  it('survives a refusal that is no JSON', async () => {
    answer(502, '<html>bad gateway</html>', { 'X-Request-Id': 'rq_2' })
    await expect(get('/x')).rejects.toMatchObject({ status: 502, problem: { requestId: 'rq_2' } })
  })
  it('asks to sign in again when the session is gone, but not when it never was', async () => {
    const expired = vi.fn()
    session.expired = expired
    answer(401, '{}')
    await get('/v1/people').catch(() => {})
    expect(expired).toHaveBeenCalledOnce()
    await get('/v1/session').catch(() => {})
    expect(expired).toHaveBeenCalledOnce()
  })
  it('tells an absent server from a refusing one', async () => {
    vi.stubGlobal('fetch', vi.fn(async () => Promise.reject(new TypeError('failed'))))
    await expect(get('/x')).rejects.toMatchObject({ status: 0 })
  })
})

describe('the frame reader', () => {
  const text = ': hello\n\nid: 7\ndata: {"a":\ndata: 1}\n\nevent: gap\ndata: {}\n\ndata: x\r\n\r\ndata:y\rid: 9\r\rdata: cut'
  const want: Frame[] = [
    { event: 'message', id: '7', data: '{"a":\n1}' },
    { event: 'gap', id: '7', data: '{}' },
    { event: 'message', id: '7', data: 'x' },
    { event: 'message', id: '9', data: 'y' },
  ]
  it('reads every line ending and drops comments and the unfinished', () => {
    const got: Frame[] = []
    frameReader((frame) => got.push(frame))(text)
    expect(got).toEqual(want)
  })
  it('gives the same frames however the text is cut', () => {
    for (let size = 1; size < 9; size++) {
      const got: Frame[] = []
      const feed = frameReader((frame) => got.push(frame))
      for (let at = 0; at < text.length; at += size) feed(text.slice(at, at + size))
      expect(got).toEqual(want)
    }
  })
})

describe('the stream', () => {
  const streamOf = (...pieces: string[]) =>
    new Response(
      new ReadableStream({
        start(controller) {
          for (const piece of pieces) controller.enqueue(new TextEncoder().encode(piece))
          controller.close()
        },
      }),
      { headers: { 'Content-Type': 'text/event-stream' } },
    )

  it('reconnects after the last message it saw, and tells of gaps', async () => {
    vi.useFakeTimers()
    const stop = new AbortController()
    const seen: string[] = []
    const states: StreamState[] = []
    const fetches = vi.fn(async (_url: string, init?: RequestInit) => {
      const last = (init?.headers as Record<string, string>)['Last-Event-ID']
      if (!last) return streamOf('id: 41\ndata: {"kind":"event","name":"a"}\n\n')
      if (fetches.mock.calls.length === 2) throw new TypeError('refused')
      stop.abort()
      return streamOf('event: gap\ndata: {}\n\n', 'id: 50\ndata: {"kind":"decision","name":"b"}\n\ndata: not json\n\n')
    })
    vi.stubGlobal('fetch', fetches)
    const done = readStream({ onMessage: (m) => seen.push(`${m.name} ${m.id}`), onGap: () => seen.push('gap'), onState: (s) => states.push(s) }, stop.signal)
    await vi.advanceTimersByTimeAsync(10_000)
    await done
    expect(seen).toEqual(['a 41', 'gap', 'b 50'])
    expect(states).toEqual(['connecting', 'open', 'reconnecting', 'reconnecting', 'open'])
    expect((fetches.mock.calls[2]?.[1]?.headers as Record<string, string>)['Last-Event-ID']).toBe('41')
  })
})

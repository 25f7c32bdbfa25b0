import type { Problem } from './types'

/** A refusal by the server, or its absence (status 0). */
export class ApiError extends Error {
  readonly status: number
  readonly problem: Problem

  constructor(problem: Problem) {
    super(problem.detail || problem.title)
    this.name = 'ApiError'
    this.status = problem.status
    this.problem = problem
  }
}

type Query = Record<string, string | number | boolean | undefined | null>

/** Builds a path with a query, leaving out what is not set. */
export function withQuery(path: string, query?: Query): string {
  const search = new URLSearchParams()
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value !== undefined && value !== null && value !== '') search.set(key, String(value))
  }
  const text = search.toString()
  return text ? `${path}?${text}` : path
}

export interface Call {
  query?: Query
  body?: unknown
  /** Sent as it is instead of a body of JSON. */
  file?: Blob
  signal?: AbortSignal
}

/** Called when the server no longer knows who we are. The shell asks to sign in again. */
export const session = { expired: () => {} }

/**
 * Makes one call and returns its JSON (or its text, where it is none). It throws an ApiError on any refusal;
 * a server that cannot be reached is an ApiError of status 0.
 */
export async function call<T>(method: string, path: string, { query, body, file, signal }: Call = {}): Promise<T> {
  const headers: Record<string, string> = { Accept: 'application/json' }
  // A browser sends a custom header across origins only after asking: this is
  // what keeps another site from acting with our cookie.
  if (method !== 'GET') headers['X-Rapport-Console'] = '1'
  if (file) headers['Content-Type'] = 'application/octet-stream'
  else if (body !== undefined) headers['Content-Type'] = 'application/json'

  let response: Response
  try {
    response = await fetch(withQuery(path, query), {
      method,
      headers,
      body: file ?? (body === undefined ? undefined : JSON.stringify(body)),
      credentials: 'same-origin',
      signal,
    })
  } catch (cause) {
    if (signal?.aborted) throw cause
    throw new ApiError({ title: 'The server cannot be reached', status: 0, detail: 'Check that Rapport is running. This page tries again by itself.' })
  }

  if (!response.ok) {
    const problem = await readProblem(response)
    if (response.status === 401 && path !== '/v1/session') session.expired()
    throw new ApiError(problem)
  }
  const text = await response.text()
  if (!text) return undefined as T
  return (response.headers.get('Content-Type')?.includes('json') ? JSON.parse(text) : text) as T
}

async function readProblem(response: Response): Promise<Problem> {
  const requestId = response.headers.get('X-Request-Id') ?? undefined
  try {
    const problem = (await response.json()) as Partial<Problem>
    return { requestId, title: response.statusText, ...problem, status: response.status }
  } catch {
    return { title: response.statusText || `Status ${response.status}`, status: response.status, requestId }
  }
}

export const get = <T>(path: string, options?: Call) => call<T>('GET', path, options)
export const post = <T>(path: string, body?: unknown) => call<T>('POST', path, { body })
export const put = <T>(path: string, body?: unknown) => call<T>('PUT', path, { body })
export const del = <T>(path: string) => call<T>('DELETE', path)
export const upload = <T>(path: string, file: Blob, query: Query) => call<T>('POST', path, { file, query })

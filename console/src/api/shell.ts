// What the frame around the pages asks; the entry carries these and no other query.
import { queryOptions } from '@tanstack/react-query'
import { ApiError, get } from './client'
import type { Overview, Session } from './types'

/** Reads a list whether it comes bare or under a name. */
export function list<T>(answer: T[] | Record<string, unknown>, name: string): T[] {
  return Array.isArray(answer) ? answer : ((answer[name] as T[] | undefined) ?? [])
}

// The session's cookie is out of a script's sight, so a mark in storage says
// whether asking is worth a refusal.
const signedInKey = 'rapport.signedIn'

export function markSignedIn(signedIn: boolean) {
  try {
    if (signedIn) localStorage.setItem(signedInKey, '1')
    else localStorage.removeItem(signedInKey)
  } catch {
    // Without storage the reader signs in once a visit.
  }
}

function mayBeSignedIn(): boolean {
  try {
    return localStorage.getItem(signedInKey) !== null
  } catch {
    return true
  }
}

export const sessionQuery = queryOptions({
  queryKey: ['session'],
  queryFn: async () => {
    if (!mayBeSignedIn()) return null
    try {
      return await get<Session>('/v1/session')
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error
      markSignedIn(false)
      return null
    }
  },
  staleTime: Infinity,
})

export const overviewQuery = queryOptions({
  queryKey: ['overview'],
  queryFn: ({ signal }) => get<Overview>('/v1/overview', { signal }),
  refetchInterval: 3000,
})

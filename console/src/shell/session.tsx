import { createContext, useContext } from 'react'
import type { Session } from '@/api/types'

export interface SessionControl {
  session: Session
  signOut: () => void
}

export const SessionContext = createContext<SessionControl | null>(null)

export function useSession(): SessionControl {
  const control = useContext(SessionContext)
  if (!control) throw new Error('useSession outside the shell')
  return control
}

/** What this reader may do; the server decides again on every call. */
export function useMay(): { edit: boolean; admin: boolean } {
  const { role } = useSession().session
  return { edit: role === 'admin' || role === 'marketer', admin: role === 'admin' }
}

import { useQueryClient } from '@tanstack/react-query'
import { KeyRound } from 'lucide-react'
import { useState, type FormEvent } from 'react'
import { ApiError, post } from '@/api/client'
import { markSignedIn, sessionQuery } from '@/api/shell'
import type { Session } from '@/api/types'
import { Button } from '@/ui/button'
import { Logo } from './logo'

/** The way in. With `again`, it stands over the page of a session that ran out, and nothing under it is lost. */
export function SignIn({ again, onDone }: { again?: boolean; onDone?: () => void }) {
  const client = useQueryClient()
  const [token, setToken] = useState('')
  const [error, setError] = useState('')
  const [busy, setBusy] = useState(false)

  const submit = async (event: FormEvent) => {
    event.preventDefault()
    setBusy(true)
    setError('')
    try {
      const session = await post<Session>('/v1/session', { token: token.trim() })
      markSignedIn(true)
      client.setQueryData(sessionQuery.queryKey, session)
      onDone?.()
    } catch (cause) {
      const status = cause instanceof ApiError ? cause.status : -1
      setError(
        status === 401 || status === 403
          ? 'This token is not known here. Check that it is whole, and has not been revoked.'
          : status === 429
            ? 'Too many tries. Wait a minute, then try again.'
            : cause instanceof Error
              ? cause.message
              : String(cause),
      )
      setBusy(false)
    }
  }

  const Frame = again ? 'div' : 'main'
  return (
    <Frame className={`flex items-center justify-center p-4 ${again ? 'fixed inset-0 z-70 bg-veil' : 'min-h-full'}`} role={again ? 'dialog' : undefined} aria-modal={again || undefined} aria-label={again ? 'Sign in again' : undefined}>
      <div className={`rise card w-full max-w-[400px] p-7 ${again ? 'shadow-float' : ''}`}>
        <div className="mb-6 flex flex-col items-center gap-3 text-center">
          <Logo size={36} />
          <div>
            <h1 className="text-page font-semibold">{again ? 'Your session has ended' : 'Sign in to Rapport'}</h1>
            <p className="mt-0.5 text-muted">{again ? 'Sign in to go on where you were. Nothing is lost.' : 'Know every customer. Speak when it helps.'}</p>
          </div>
        </div>
        <form onSubmit={(event) => void submit(event)} className="space-y-3">
          <label className="block">
            <span className="mb-1 block font-medium">Access token</span>
            <input
              type="password"
              name="token"
              autoComplete="current-password"
              autoFocus
              required
              value={token}
              onChange={(event) => setToken(event.target.value)}
              aria-invalid={error ? true : undefined}
              aria-describedby="token-help"
              className="control h-9 w-full font-mono"
            />
          </label>
          {error && (
            <p role="alert" className="rounded-control bg-bad-soft px-3 py-2 text-bad">
              {error}
            </p>
          )}
          <Button type="submit" look="solid" busy={busy} disabled={!token.trim()} icon={<KeyRound size={14} />} className="h-9 w-full">
            Sign in
          </Button>
          <p id="token-help" className="text-center text-meta text-muted">
            Rapport printed an admin token when it first started. Lost it? Set <code className="font-mono">RAPPORT_ADMIN_TOKEN</code> and restart.
          </p>
        </form>
      </div>
    </Frame>
  )
}

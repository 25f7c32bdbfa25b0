import { Link, type ErrorComponentProps } from '@tanstack/react-router'
import { CircleAlert, Compass } from 'lucide-react'

export function NotFound() {
  return (
    <div className="flex flex-col items-center px-6 py-24 text-center">
      <Compass size={28} aria-hidden className="mb-3 text-accent" />
      <h1 className="text-page font-semibold">There is no page here</h1>
      <p className="mt-1 text-muted">The address may be mistyped, or the page has moved.</p>
      <Link to="/" className="mt-4 font-medium text-accent hover:underline">
        Go to Now
      </Link>
    </div>
  )
}

/** A page that broke: the frame around it still works. */
export function PageFailure({ error, reset }: ErrorComponentProps) {
  return (
    <div role="alert" className="flex flex-col items-center px-6 py-24 text-center">
      <CircleAlert size={28} aria-hidden className="mb-3 text-bad" />
      <h1 className="text-page font-semibold">This page broke</h1>
      <p className="mt-1 max-w-[480px] text-muted">{error instanceof Error ? error.message : String(error)}</p>
      <button type="button" onClick={reset} className="mt-4 font-medium text-accent hover:underline">
        Try again
      </button>
    </div>
  )
}

import { useQuery, useQueryClient } from '@tanstack/react-query'
import { Link, Outlet, useLocation, useRouter } from '@tanstack/react-router'
import { Ellipsis, LogOut, Moon, Search, Sun, WifiOff } from 'lucide-react'
import { lazy, Suspense, useCallback, useEffect, useMemo, useState } from 'react'
import { del, session as sessionEvents } from '@/api/client'
import { markSignedIn, overviewQuery, sessionQuery } from '@/api/shell'
import { ToastProvider } from '@/ui/toast'
import { cx } from '@/ui/cx'
import { Kbd } from '@/ui/kbd'
import { useGlobalKeys } from './keys'
import { Live, LiveProvider, useLiveSignals, useLiveState } from './live'
import { Logo } from './logo'
import { rail, setup, setupPages, type Place } from './places'
import { SessionContext, useSession } from './session'
import { SignIn } from './signin'
import { setTheme, useSystemTheme, useTheme } from './theme'

const Palette = lazy(() => import('./palette'))
const Shortcuts = lazy(() => import('./shortcuts'))

/** The root: who are you, and then the frame around every page. */
export function Root() {
  useSystemTheme()
  const client = useQueryClient()
  const session = useQuery(sessionQuery)
  const [expired, setExpired] = useState(false)
  const [live] = useState(() => new Live())

  useEffect(() => {
    sessionEvents.expired = () => setExpired(true)
  }, [])

  const control = useMemo(
    () =>
      session.data && {
        session: session.data,
        signOut: () => {
          void del('/v1/session').finally(() => {
            markSignedIn(false)
            client.clear()
            client.setQueryData(sessionQuery.queryKey, null)
          })
        },
      },
    [session.data, client],
  )

  if (session.isPending) return null
  if (session.error && !session.data) return <Unreachable />
  if (!control) return <SignIn />
  return (
    <SessionContext value={control}>
      <ToastProvider>
        <LiveProvider live={live} key={control.session.name}>
          <Frame inert={expired} />
        </LiveProvider>
        {expired && (
          <SignIn
            again
            onDone={() => {
              setExpired(false)
              void client.invalidateQueries({ predicate: (query) => query.queryKey[0] !== 'session' })
            }}
          />
        )}
      </ToastProvider>
    </SessionContext>
  )
}

function Unreachable() {
  const client = useQueryClient()
  useEffect(() => {
    const timer = setInterval(() => void client.refetchQueries({ queryKey: sessionQuery.queryKey }), 2000)
    return () => clearInterval(timer)
  }, [client])
  return (
    <main role="alert" className="rise flex min-h-full flex-col items-center justify-center gap-3 p-6 text-center">
      <Logo size={36} />
      <h1 className="text-page font-semibold">Rapport is not answering</h1>
      <p className="max-w-[420px] text-muted">It may still be starting, or replaying its log. This page tries again every two seconds.</p>
    </main>
  )
}

function Frame({ inert }: { inert: boolean }) {
  const client = useQueryClient()
  const router = useRouter()
  const theme = useTheme()
  const [palette, setPalette] = useState(false)
  const [help, setHelp] = useState(false)
  const openPalette = useCallback(() => setPalette(true), [])
  const openHelp = useCallback(() => setHelp(true), [])
  const flipTheme = useCallback(() => setTheme(theme === 'dark' ? 'light' : 'dark'), [theme])
  useGlobalKeys({ onPalette: openPalette, onHelp: openHelp, onTheme: flipTheme })

  // After a lost connection everything on screen may be old.
  useLiveSignals((signal) => {
    if (signal.type === 'reconnected') void client.invalidateQueries({ predicate: (query) => query.queryKey[0] !== 'session' })
  })

  // Focus follows a change of page, so that the keyboard starts at its top.
  const path = useLocation({ select: (location) => location.pathname })
  useEffect(
    () =>
      router.subscribe('onResolved', ({ fromLocation, pathChanged }) => {
        // A dialog that the new page opened at once keeps it.
        if (fromLocation && pathChanged && !document.querySelector('[role=dialog]')) document.getElementById('content')?.focus({ preventScroll: true })
      }),
    [router],
  )

  return (
    <div inert={inert} className="flex h-full">
      <a href="#content" className="sr-only focus:not-sr-only focus:fixed focus:top-2 focus:left-2 focus:z-60 focus:rounded-control focus:bg-solid focus:px-3 focus:py-1.5 focus:text-on-solid">
        Skip to content
      </a>
      <Rail onPalette={openPalette} onHelp={openHelp} onTheme={flipTheme} inSetup={path.startsWith('/setup')} />
      <div className="flex min-w-0 flex-1 flex-col">
        <TopBar onPalette={openPalette} onTheme={flipTheme} />
        <ConnectionNotice />
        <main id="content" tabIndex={-1} className="min-h-0 flex-1 overflow-y-auto outline-none max-md:pb-16">
          <Outlet />
        </main>
        <BottomBar onMore={openPalette} />
      </div>
      <Suspense>
        {palette && <Palette onClose={() => setPalette(false)} onHelp={openHelp} />}
        {help && <Shortcuts onClose={() => setHelp(false)} />}
      </Suspense>
    </div>
  )
}

function RailLink({ place, count, sub }: { place: Place; count?: number; sub?: boolean }) {
  const Icon = place.icon
  return (
    <Link
      to={place.to}
      activeOptions={{ exact: place.to === '/' }}
      className={cx(
        'flex items-center gap-2.5 rounded-control font-medium text-muted transition-colors hover:bg-sunken hover:text-text data-[status=active]:bg-accent-soft data-[status=active]:text-accent',
        sub ? 'h-7 pr-2 pl-[34px] data-[status=active]:bg-transparent' : 'h-[30px] px-2',
      )}
    >
      {!sub && Icon && <Icon size={16} aria-hidden />}
      <span className="flex-1">{place.label}</span>
      {count ? <span className="rounded-full bg-warn-soft px-1.5 text-meta text-warn tabular-nums">{count > 999 ? '999+' : count}</span> : null}
    </Link>
  )
}

function Rail({ onPalette, onHelp, onTheme, inSetup }: { onPalette: () => void; onHelp: () => void; onTheme: () => void; inSetup: boolean }) {
  const { session, signOut } = useSession()
  const overview = useQuery({ ...overviewQuery, select: ({ demo, version, quarantine, deadLetters }) => ({ demo, version, quarantine, deadLetters }) }).data
  return (
    <header className="hidden w-[216px] shrink-0 flex-col border-r border-line bg-surface p-2.5 md:flex">
      <div className="flex h-9 items-center gap-2 px-2">
        <Logo />
        <span className="flex-1 text-card font-semibold">Rapport</span>
        {overview?.demo && (
          <span title="This server runs the demo world" className="rounded-full border border-line px-2 text-meta leading-[18px] text-muted">
            demo
          </span>
        )}
      </div>
      <SearchButton onClick={onPalette} />
      <nav aria-label="Main" className="flex flex-1 flex-col gap-0.5">
        {rail.map((place) => (
          <RailLink key={place.label} place={place} />
        ))}
        <div className="flex-1" />
        <RailLink place={setup} count={inSetup ? undefined : (overview?.quarantine.open ?? 0) + (overview?.deadLetters ?? 0)} />
        {inSetup && (
          <div className="rise flex flex-col pb-1">
            {setupPages.map((place) => (
              <RailLink key={place.label} place={place} sub count={place.label === 'Quarantine' ? overview?.quarantine.open : place.label === 'Deliveries' ? overview?.deadLetters : 0} />
            ))}
          </div>
        )}
      </nav>
      <div className="mt-1.5 flex h-9 items-center gap-0.5 border-t border-line pt-1.5 pl-2 text-meta text-muted">
        <span className="clip flex-1" title={`Signed in as ${session.name} (${session.role})${overview ? `, Rapport ${overview.version}` : ''}`}>
          {session.name}
        </span>
        <IconButton label="Keyboard shortcuts" onClick={onHelp}>
          <span className="font-semibold">?</span>
        </IconButton>
        <ThemeButton onTheme={onTheme} />
        <IconButton label="Sign out" onClick={signOut}>
          <LogOut size={15} />
        </IconButton>
      </div>
    </header>
  )
}

function SearchButton({ onClick }: { onClick: () => void }) {
  const mac = /Mac|iP(hone|ad)/.test(navigator.userAgent)
  return (
    <button type="button" onClick={onClick} className="my-1.5 flex h-8 items-center gap-2 rounded-control border border-line px-2 text-muted transition-colors hover:border-line-strong">
      <Search size={15} aria-hidden />
      <span className="clip flex-1 text-left">Search or jump…</span>
      <Kbd>{mac ? '⌘K' : 'Ctrl K'}</Kbd>
    </button>
  )
}

function IconButton({ label, onClick, children }: { label: string; onClick: () => void; children: React.ReactNode }) {
  return (
    <button type="button" aria-label={label} title={label} onClick={onClick} className="flex size-7 items-center justify-center rounded-control text-muted transition-colors hover:bg-sunken hover:text-text max-md:size-10">
      {children}
    </button>
  )
}

function ThemeButton({ onTheme }: { onTheme: () => void }) {
  const theme = useTheme()
  return (
    <IconButton label={theme === 'dark' ? 'Switch to light' : 'Switch to dark'} onClick={onTheme}>
      {theme === 'dark' ? <Sun size={15} /> : <Moon size={15} />}
    </IconButton>
  )
}

function TopBar({ onPalette, onTheme }: { onPalette: () => void; onTheme: () => void }) {
  const { signOut } = useSession()
  return (
    <header className="flex h-12 items-center border-b border-line bg-surface pr-1.5 pl-4 md:hidden">
      <Logo />
      <span className="ml-2 flex-1 text-card font-semibold">Rapport</span>
      <IconButton label="Search" onClick={onPalette}>
        <Search size={17} />
      </IconButton>
      <ThemeButton onTheme={onTheme} />
      <IconButton label="Sign out" onClick={signOut}>
        <LogOut size={16} />
      </IconButton>
    </header>
  )
}

/** The pages people open on the way; the others are one press further. */
const carried = new Set(['Now', 'People', 'Audiences', 'Decisions', 'Actions'])

function BottomBar({ onMore }: { onMore: () => void }) {
  const look = 'flex h-14 flex-1 flex-col items-center justify-center gap-1 text-meta font-medium text-muted data-[status=active]:text-accent'
  return (
    <nav aria-label="Main" className="fixed inset-x-0 bottom-0 z-20 flex border-t border-line bg-surface pb-[env(safe-area-inset-bottom)] md:hidden">
      {rail.map((place) => {
        const Icon = place.icon
        if (!Icon || !carried.has(place.label)) return null
        return (
          <Link key={place.label} to={place.to} activeOptions={{ exact: place.to === '/' }} className={look}>
            <Icon size={18} aria-hidden />
            {place.label}
          </Link>
        )
      })}
      <button type="button" onClick={onMore} className={look}>
        <Ellipsis size={18} aria-hidden />
        More
      </button>
    </nav>
  )
}

/** Shown when the line has been down for a while; pages keep their last data. */
function ConnectionNotice() {
  const { state, since } = useLiveState()
  const [shown, setShown] = useState(false)
  useEffect(() => {
    setShown(false)
    if (state !== 'reconnecting') return
    const timer = setTimeout(() => setShown(true), 2500)
    return () => clearTimeout(timer)
  }, [state, since])
  if (!shown) return null
  return (
    <div role="status" className="rise flex items-center justify-center gap-2 border-b border-line bg-warn-soft px-4 py-1.5 text-warn">
      <WifiOff size={14} aria-hidden />
      The server is not answering. What you see may be old; reconnecting by itself.
    </div>
  )
}

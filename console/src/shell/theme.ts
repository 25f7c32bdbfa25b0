import { useEffect, useSyncExternalStore } from 'react'

export type Theme = 'system' | 'light' | 'dark'

const key = 'rapport.theme'
const dark = matchMedia('(prefers-color-scheme: dark)')
const watchers = new Set<() => void>()

function read(): Theme {
  try {
    const kept = localStorage.getItem(key)
    return kept === 'light' || kept === 'dark' ? kept : 'system'
  } catch {
    return 'system'
  }
}

function apply() {
  const theme = read()
  document.documentElement.dataset.theme = theme === 'dark' || (theme === 'system' && dark.matches) ? 'dark' : 'light'
  for (const watcher of watchers) watcher()
}

export function setTheme(theme: Theme) {
  try {
    if (theme === 'system') localStorage.removeItem(key)
    else localStorage.setItem(key, theme)
  } catch {
    // Without storage the choice lasts as long as the page.
  }
  apply()
}

const watch = (watcher: () => void) => {
  watchers.add(watcher)
  return () => void watchers.delete(watcher)
}

export const useTheme = () => useSyncExternalStore(watch, () => document.documentElement.dataset.theme as 'light' | 'dark')

/** Follows the system while the reader has not chosen. */
export function useSystemTheme() {
  useEffect(() => {
    dark.addEventListener('change', apply)
    return () => dark.removeEventListener('change', apply)
  }, [])
}

import { useNavigate } from '@tanstack/react-router'
import { useEffect, useRef } from 'react'
import { isTyping } from '@/ui/typing'
import { allPlaces, setup } from './places'

export const shortcuts: { keys: string[]; does: string }[] = [
  { keys: ['⌘', 'K'], does: 'Search people, decisions, actions, pages' },
  { keys: ['/'], does: 'Search this page' },
  { keys: ['J'], does: 'Next row' },
  { keys: ['K'], does: 'Previous row' },
  { keys: ['Enter'], does: 'Open the row' },
  { keys: ['Esc'], does: 'Close panel or dialog' },
  ...[...allPlaces, setup].filter((place) => place.key).map((place) => ({ keys: ['G', (place.key ?? '').toUpperCase()], does: `Go to ${place.label}` })),
  { keys: ['P'], does: 'Pause or resume the live stream' },
  { keys: ['T'], does: 'Switch light and dark' },
  { keys: ['?'], does: 'Show this list' },
]

/** The keys that work on every page. */
export function useGlobalKeys({ onPalette, onHelp, onTheme }: { onPalette: () => void; onHelp: () => void; onTheme: () => void }) {
  const navigate = useNavigate()
  const going = useRef(0)
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === 'k') {
        event.preventDefault()
        onPalette()
        return
      }
      if (event.metaKey || event.ctrlKey || event.altKey || isTyping(event.target)) return
      const key = event.key.toLowerCase()
      if (Date.now() - going.current < 1200) {
        going.current = 0
        const place = [...allPlaces, setup].find((candidate) => candidate.key === key)
        if (place) {
          event.preventDefault()
          void navigate({ to: place.to })
        }
        return
      }
      if (key === 'g') going.current = Date.now()
      else if (event.key === '?') onHelp()
      else if (key === 't') onTheme()
      else if (key === '/') {
        const field = document.querySelector<HTMLInputElement>('input[data-search]')
        if (!field) return
        event.preventDefault()
        field.focus()
      }
    }
    document.addEventListener('keydown', onKey)
    return () => document.removeEventListener('keydown', onKey)
  }, [navigate, onPalette, onHelp, onTheme])
}

// Every page of the console, once: the rail, the palette and the keyboard read this list.
import { Activity, Boxes, BrainCircuit, FileUp, Fingerprint, GitFork, HeartPulse, Inbox, KeyRound, Radio, Rocket, Scale, ScrollText, Server, SlidersHorizontal, Sparkles, Split, Square, Telescope, TriangleAlert, User, Users, type LucideIcon } from 'lucide-react'
import type { LinkProps } from '@tanstack/react-router'

export interface Place {
  label: string
  to: LinkProps['to']
  icon: LucideIcon
  /** The second key after G. */
  key?: string
  words?: string
}

export const rail: Place[] = [
  { label: 'Now', to: '/', icon: Activity, key: 'n', words: 'live stream home' },
  { label: 'People', to: '/people', icon: User, key: 'p', words: 'customers profiles' },
  { label: 'Products', to: '/products', icon: Boxes, key: 'i', words: 'items twins devices telemetry recall supply chain' },
  { label: 'Audiences', to: '/audiences', icon: Users, key: 'u', words: 'segments groups who' },
  { label: 'Decisions', to: '/decisions', icon: Split, key: 'd', words: 'why explain next best action' },
  { label: 'Actions', to: '/actions', icon: Sparkles, key: 'a', words: 'offers messages content lift' },
]

export const setup: Place = { label: 'Setup', to: '/setup', icon: SlidersHorizontal, key: 's' }

export const setupPages: Place[] = [
  { label: 'Sources', to: '/setup/sources', icon: Radio, words: 'keys snippet write key connect' },
  { label: 'Import', to: '/setup/import', icon: FileUp, words: 'csv file history customers orders upload' },
  { label: 'Quarantine', to: '/setup/quarantine', icon: TriangleAlert, words: 'schema tracking plan refused events replay' },
  { label: 'Identity', to: '/setup/identity', icon: Fingerprint, key: 'y', words: 'who is who review merge quarantine values rules' },
  { label: 'Config', to: '/setup/config', icon: GitFork, key: 'c', words: 'yaml documents history undo export' },
  { label: 'Models', to: '/setup/models', icon: BrainCircuit, words: 'predictions scores clv churn health calibration' },
  { label: 'Deliveries', to: '/setup/deliveries', icon: Inbox, words: 'webhooks dead letters replay' },
  { label: 'Tokens', to: '/setup/tokens', icon: KeyRound, words: 'api keys roles access' },
  { label: 'Audit', to: '/setup/audit', icon: ScrollText, words: 'log of changes who' },
  { label: 'System', to: '/setup/system', icon: Server, words: 'health partitions lag memory version' },
]

/** Pages that have no line of their own in the rail. */
export const morePages: Place[] = [
  { label: 'Placements', to: '/placements', icon: Square, words: 'slots where' },
  { label: 'Board', to: '/board', icon: Scale, key: 'b', words: 'arbitration levers weights what if rank' },
  { label: 'Portfolio', to: '/portfolio', icon: Telescope, key: 'o', words: 'opportunities micro working losing learning' },
  { label: 'Fleet', to: '/products/fleet', icon: HeartPulse, words: 'faults anomalies firmware remaining life low stock' },
  { label: 'Rollouts', to: '/products/rollouts', icon: Rocket, words: 'firmware software update ota stages' },
  { label: 'Recalls', to: '/products/recalls', icon: TriangleAlert, words: 'lot call back' },
  { label: 'Supply chain', to: '/products/supply-chain', icon: Boxes, words: 'epcis captures events' },
]

export const allPlaces: Place[] = [...rail, ...morePages, ...setupPages]

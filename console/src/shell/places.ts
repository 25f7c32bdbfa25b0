// Every page of the console, once: the rail, the palette and the keyboard read this list.
import { Activity, Boxes, Mails, SlidersHorizontal, Sparkles, Split, User, Users, type LucideIcon } from 'lucide-react'
import type { LinkProps } from '@tanstack/react-router'

export interface Place {
  label: string
  to: LinkProps['to']
  /** Of those that stand in the rail. */
  icon?: LucideIcon
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
  { label: 'Actions', to: '/actions', icon: Sparkles, key: 'a', words: 'offers messages lift' },
  { label: 'Content', to: '/content', icon: Mails, key: 'e', words: 'templates preview channels email sms push suppressed' },
]

export const setup: Place = { label: 'Setup', to: '/setup', icon: SlidersHorizontal, key: 's' }

export const setupPages: Place[] = [
  { label: 'Sources', to: '/setup/sources', words: 'keys snippet write key connect' },
  { label: 'Import', to: '/setup/import', words: 'csv file history customers orders upload' },
  { label: 'Quarantine', to: '/setup/quarantine', words: 'schema tracking plan refused events replay' },
  { label: 'Identity', to: '/setup/identity', key: 'y', words: 'who is who review merge quarantine values rules' },
  { label: 'Config', to: '/setup/config', key: 'c', words: 'yaml documents history undo export' },
  { label: 'Models', to: '/setup/models', words: 'predictions scores clv churn health calibration' },
  { label: 'Deliveries', to: '/setup/deliveries', words: 'webhooks dead letters replay' },
  { label: 'Tokens', to: '/setup/tokens', words: 'api keys roles access' },
  { label: 'Audit', to: '/setup/audit', words: 'log of changes who' },
  { label: 'System', to: '/setup/system', words: 'health partitions lag memory version' },
]

/** Pages that have no line of their own in the rail. */
export const morePages: Place[] = [
  { label: 'Placements', to: '/placements', words: 'slots where' },
  { label: 'Board', to: '/board', key: 'b', words: 'arbitration levers weights what if rank' },
  { label: 'Portfolio', to: '/portfolio', key: 'o', words: 'opportunities micro working losing learning' },
  { label: 'Learning', to: '/learning', words: 'calibration regret exploration health decisions' },
  { label: 'Insights', to: '/insights', words: 'what drives outcome groups discoveries' },
  { label: 'Fleet', to: '/products/fleet', words: 'faults anomalies firmware remaining life low stock' },
  { label: 'Rollouts', to: '/products/rollouts', words: 'firmware software update ota stages' },
  { label: 'Recalls', to: '/products/recalls', words: 'lot call back' },
  { label: 'Supply chain', to: '/products/supply-chain', words: 'epcis captures events' },
]

export const allPlaces: Place[] = [...rail, ...morePages, ...setupPages]

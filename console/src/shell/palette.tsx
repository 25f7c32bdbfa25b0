import { Dialog } from '@base-ui/react/dialog'
import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { useNavigate, type NavigateOptions } from '@tanstack/react-router'
import { BookOpen, Box, Boxes, BrainCircuit, FilePlus2, FileText, FileUp, Fingerprint, FlaskConical, GitFork, GraduationCap, HeartPulse, Inbox, KeyRound, Keyboard, Lightbulb, LogOut, type LucideIcon, Moon, Plus, Radio, Rocket, Scale, ScrollText, Search, Server, Sparkles, Split, Square, Sun, Telescope, TriangleAlert, User, Users } from 'lucide-react'
import { useEffect, useId, useMemo, useRef, useState, type KeyboardEvent, type ReactNode } from 'react'
import { get } from '@/api/client'
import { actionsQuery, segmentsQuery, sourcesQuery } from '@/api/queries'
import type { Item, PeoplePage } from '@/api/types'
import { called, mainIdentifier } from '@/format/person'
import { cx } from '@/ui/cx'
import { Kbd } from '@/ui/kbd'
import { Avatar } from '@/ui/parts'
import { best } from './match'
import { allPlaces } from './places'
import { useMay, useSession } from './session'
import { setTheme, useTheme } from './theme'

/** Of pages that do not stand in the rail. */
const icons: Record<string, LucideIcon> = {
  '/setup/sources': Radio,
  '/setup/import': FileUp,
  '/setup/quarantine': TriangleAlert,
  '/setup/identity': Fingerprint,
  '/setup/config': GitFork,
  '/setup/models': BrainCircuit,
  '/setup/deliveries': Inbox,
  '/setup/tokens': KeyRound,
  '/setup/audit': ScrollText,
  '/setup/system': Server,
  '/placements': Square,
  '/board': Scale,
  '/portfolio': Telescope,
  '/learning': GraduationCap,
  '/insights': Lightbulb,
  '/products/fleet': HeartPulse,
  '/products/rollouts': Rocket,
  '/products/recalls': TriangleAlert,
  '/products/supply-chain': Boxes,
}

interface Entry {
  key: string
  group: string
  label: string
  note?: string
  icon: ReactNode
  run: () => void
}

const items = /^01_\d{14}_21_.+$/
const itemId = (text: string) => text.replace(/^.*?\(?01[\/)_](\d{14})[\/_]?\(?21[\/)_](.+)$/, '01_$1_21_$2')
const references = /^(p_[0-9a-z]+|(userId|anonymousId|email|phone):.+)$/

/** Cmd-K: goes anywhere, finds anyone, runs actions. */
export default function Palette({ onClose, onHelp }: { onClose: () => void; onHelp: () => void }) {
  const [query, setQuery] = useState('')
  const [active, setActive] = useState(0)
  const list = useRef<HTMLDivElement>(null)
  // What was chosen takes the focus; closing gives it back only if nothing was.
  const ran = useRef(false)
  const id = useId()
  const { entries, busy } = useEntries(query, onHelp)
  const at = Math.min(active, Math.max(0, entries.length - 1))

  useEffect(() => setActive(0), [query])
  useEffect(() => {
    list.current?.querySelector(`[data-entry="${at}"]`)?.scrollIntoView({ block: 'nearest' })
  }, [at])

  const run = (entry: Entry | undefined) => {
    if (!entry) return
    ran.current = true
    onClose()
    entry.run()
  }
  const onKey = (event: KeyboardEvent) => {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0
    if (step) {
      event.preventDefault()
      setActive((at + step + entries.length) % Math.max(1, entries.length))
    } else if (event.key === 'Enter') {
      event.preventDefault()
      run(entries[at])
    }
  }

  let group = ''
  return (
    <Dialog.Root open onOpenChange={(open) => !open && onClose()}>
      <Dialog.Portal>
        <Dialog.Backdrop className="fixed inset-0 z-40 bg-veil" />
        <Dialog.Popup aria-label="Search or jump to" finalFocus={() => !ran.current} className="rise fixed top-[10vh] left-1/2 z-50 w-[calc(100vw-24px)] max-w-[600px] -translate-x-1/2 overflow-hidden rounded-card border border-line bg-surface shadow-float outline-none">
          <div className="flex items-center gap-2.5 border-b border-line px-4">
            <Search size={16} aria-hidden className={cx('shrink-0 text-muted', busy && 'breathe')} />
            <input
              role="combobox"
              aria-expanded="true"
              aria-controls={`${id}-list`}
              aria-activedescendant={entries[at] ? `${id}-${at}` : undefined}
              aria-label="Search people, decisions, actions, sources and pages"
              autoFocus
              value={query}
              onChange={(event) => setQuery(event.target.value)}
              onKeyDown={onKey}
              placeholder="An e-mail, id, page or action"
              autoComplete="off"
              spellCheck={false}
              className="h-12 w-full bg-transparent text-[15px] outline-none"
            />
            <Kbd>esc</Kbd>
          </div>
          <div ref={list} id={`${id}-list`} role="listbox" aria-label="Results" className="max-h-[min(420px,60vh)] overflow-y-auto p-1.5">
            {entries.map((entry, i) => {
              const head = entry.group !== group
              group = entry.group
              return (
                <div key={entry.key} role="presentation">
                  {head && (
                    <div role="presentation" className="px-2.5 pt-2 pb-1 text-meta font-medium text-muted">
                      {entry.group}
                    </div>
                  )}
                  <div
                    role="option"
                    id={`${id}-${i}`}
                    data-entry={i}
                    aria-selected={i === at}
                    onClick={() => run(entry)}
                    onMouseMove={() => setActive(i)}
                    className={cx('flex h-9 cursor-pointer items-center gap-2.5 rounded-control px-2.5', i === at && 'bg-accent-soft')}
                  >
                    <span className={cx('flex w-[22px] shrink-0 justify-center', i === at ? 'text-accent' : 'text-muted')}>{entry.icon}</span>
                    <span className="shrink-0 font-medium">{entry.label}</span>
                    {entry.note && <span className="clip min-w-0 flex-1 text-right text-meta text-muted">{entry.note}</span>}
                  </div>
                </div>
              )
            })}
            {entries.length === 0 && !busy && <p className="px-4 py-8 text-center text-muted">Nothing is called “{query}”. Try an e-mail, a user id or a decision id.</p>}
          </div>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  )
}

function useEntries(query: string, onHelp: () => void): { entries: Entry[]; busy: boolean } {
  const navigate = useNavigate()
  const theme = useTheme()
  const may = useMay()
  const { signOut } = useSession()
  const text = query.trim()
  const late = useLate(text, 120)
  const people = useQuery({
    queryKey: ['palette', 'people', late],
    queryFn: ({ signal }) => get<PeoplePage>('/v1/people', { query: { q: late, limit: 6 }, signal }),
    enabled: late.length > 1,
    placeholderData: keepPreviousData,
  })
  // 01_GTIN_21_SERIAL, as its pages and links call it; 01/GTIN/21/SERIAL of a label is the same.
  const item = useQuery({
    queryKey: ['palette', 'item', late],
    queryFn: ({ signal }) => get<Item>(`/v1/items/${encodeURIComponent(itemId(late))}`, { signal }),
    enabled: items.test(itemId(late)),
    retry: false,
  }).data
  const actions = useQuery(actionsQuery).data
  const segments = useQuery(segmentsQuery).data
  const sources = useQuery(sourcesQuery).data

  const entries = useMemo(() => {
    const go = (options: NavigateOptions) => () => void navigate(options)
    const out: Entry[] = []
    if (/^d_[0-9a-z]+$/.test(text)) {
      out.push({ key: text, group: 'Decisions', label: 'Open decision', note: text, icon: <Split size={15} />, run: go({ to: '/decisions/$id', params: { id: text } }) })
    }
    if (references.test(text)) {
      out.push({ key: text, group: 'People', label: 'Open person', note: text, icon: <User size={15} />, run: go({ to: '/people/$ref', params: { ref: text } }) })
    }
    if (text.length > 1) {
      for (const person of people.data?.people ?? []) {
        out.push({
          key: person.id,
          group: 'People',
          label: called(person.name, person.id),
          note: mainIdentifier(person.identifiers)?.value,
          icon: <Avatar name={person.name} />,
          run: go({ to: '/people/$ref', params: { ref: person.id } }),
        })
      }
      for (const action of best(actions ?? [], text, (a) => `${a.id} ${a.type}`, 5)) {
        out.push({ key: `action ${action.id}`, group: 'Actions', label: action.id, note: action.type, icon: <Sparkles size={15} />, run: go({ to: '/actions/$id', params: { id: action.id } }) })
      }
      if (item) out.push({ key: `item ${item.id}`, group: 'Items', label: item.product?.name ?? item.gtin, note: item.serial || item.id, icon: <Box size={15} />, run: go({ to: '/products/items/$id', params: { id: item.id } }) })
      for (const segment of best(segments ?? [], text, (s) => `${s.name ?? ''} ${s.id}`, 5)) {
        out.push({ key: `segment ${segment.id}`, group: 'Audiences', label: segment.name || segment.id, note: `${segment.size} people`, icon: <Users size={15} />, run: go({ to: '/audiences/$id', params: { id: segment.id } }) })
      }
      for (const source of best(sources ?? [], text, (s) => `${s.id} ${s.name}`, 4)) {
        out.push({ key: `source ${source.id}`, group: 'Sources', label: source.name || source.id, note: source.id, icon: <Radio size={15} />, run: go({ to: '/setup/sources', search: { id: source.id } }) })
      }
    }
    for (const place of best(allPlaces, text, (p) => `${p.label} ${p.words ?? ''}`, 20)) {
      const Icon = place.icon ?? icons[place.to ?? ''] ?? FileText
      out.push({ key: `page ${place.label}`, group: 'Go to', label: place.label, icon: <Icon size={15} />, run: go({ to: place.to }) })
    }
    const commands: (Omit<Entry, 'group'> & { words: string })[] = [
      { key: 'theme', label: theme === 'dark' ? 'Switch to light' : 'Switch to dark', words: 'theme mode colour', icon: theme === 'dark' ? <Sun size={15} /> : <Moon size={15} />, run: () => setTheme(theme === 'dark' ? 'light' : 'dark') },
      { key: 'system theme', label: 'Use the system theme', words: 'light dark', icon: <Sun size={15} />, run: () => setTheme('system') },
      ...(may.edit
        ? [
            { key: 'add source', label: 'Add a source', words: 'connect new key', icon: <Plus size={15} />, run: () => void navigate({ to: '/setup/sources', search: { add: true } }) },
            { key: 'new audience', label: 'New audience', words: 'create segment', icon: <Users size={15} />, run: () => void navigate({ to: '/audiences', search: { add: true } }) },
            { key: 'new action', label: 'New action', words: 'create offer message', icon: <Sparkles size={15} />, run: () => void navigate({ to: '/setup/config', search: { add: true } }) },
            { key: 'try levers', label: 'Try levers on past moments', words: 'board weights what if', icon: <FlaskConical size={15} />, run: () => void navigate({ to: '/board' }) },
            { key: 'new document', label: 'New config document', words: 'create yaml action placement policy', icon: <FilePlus2 size={15} />, run: () => void navigate({ to: '/setup/config', search: { add: true } }) },
          ]
        : []),
      { key: 'docs', label: 'Documentation', words: 'docs guide manual how', icon: <BookOpen size={15} />, run: () => void navigate({ to: '/docs/$', params: { _splat: 'guide/start' } }) },
      { key: 'help', label: 'Keyboard shortcuts', words: 'help keys', icon: <Keyboard size={15} />, run: onHelp },
      { key: 'out', label: 'Sign out', words: 'leave log out', icon: <LogOut size={15} />, run: signOut },
    ]
    for (const command of best(commands, text, (c) => `${c.label} ${c.words}`, 12)) out.push({ ...command, group: 'Do' })
    return out
  }, [text, people.data, item, actions, segments, sources, navigate, theme, may.edit, signOut, onHelp])

  return { entries, busy: people.isFetching || late !== text }
}

function useLate<T>(value: T, millis: number): T {
  const [late, setLate] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setLate(value), millis)
    return () => clearTimeout(timer)
  }, [value, millis])
  return late
}

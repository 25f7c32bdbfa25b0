import { useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { ChevronRight, Download, FilePlus2, Files, History, Undo2 } from 'lucide-react'
import { useMemo, useState, type FormEvent } from 'react'
import { get } from '@/api/client'
import { configHistoryQuery, configKindsQuery, configQuery, proposalsQuery, versionQuery } from '@/api/queries'
import type { ConfigDocument, ConfigVersion } from '@/api/types'
import { download } from '@/format/csv'
import { plural } from '@/format/number'
import { moment } from '@/format/time'
import { useMay } from '@/shell/session'
import { Button } from '@/ui/button'
import { cx } from '@/ui/cx'
import { Confirm, Dialog, DialogButtons } from '@/ui/dialog'
import { Field, Input, SearchField, Select } from '@/ui/field'
import { Ago, Badge } from '@/ui/parts'
import { Empty, Loaded } from '@/ui/states'
import { Table, TableCard, type Column } from '@/ui/table'
import { Tabs } from '@/ui/tabs'
import { useToast } from '@/ui/toast'
import { SetupPage } from './frame'
import { Proposals } from './proposals'
import { Change, useUndo } from './publish'

const route = getRouteApi('/setup/config')

const columns: Column<ConfigDocument>[] = [
  {
    id: 'id',
    head: 'Document',
    cell: (doc) => (
      <span className="flex items-center gap-2">
        <span className="clip font-medium">{doc.id}</span>
        {doc.demo && <Badge>demo</Badge>}
      </span>
    ),
  },
  { id: 'kind', head: 'Kind', width: 'w-[110px]', cell: (doc) => <span className="text-muted">{doc.kind}</span> },
  { id: 'author', head: 'Last by', from: 'md', width: 'w-[140px]', cell: (doc) => <span className="text-muted">{doc.author}</span> },
  { id: 'version', head: 'Version', right: true, from: 'md', width: 'w-[84px]', cell: (doc) => <span className="text-muted">{doc.version}</span> },
  { id: 'updated', head: 'Changed', right: true, width: 'w-[110px]', cell: (doc) => <Ago time={doc.updatedAt} suffix="ago" className="text-muted" /> },
]

/** Every document the engine runs on, the same ones that live in git. */
export function ConfigPage() {
  const { q = '', kind, view, add } = route.useSearch()
  const navigate = route.useNavigate()
  const query = useQuery(configQuery)
  const waiting = useQuery(proposalsQuery).data?.filter((p) => p.state === 'open').length
  const may = useMay()
  const toast = useToast()
  const documents = useMemo(() => {
    const needle = q.toLowerCase()
    return (query.data?.documents ?? [])
      .filter((doc) => (!kind || doc.kind === kind) && (!needle || `${doc.kind} ${doc.id} ${doc.yaml}`.toLowerCase().includes(needle)))
      .sort((a, b) => a.kind.localeCompare(b.kind) || a.id.localeCompare(b.id))
  }, [query.data, q, kind])
  const kinds = [...new Set(query.data?.documents.map((doc) => doc.kind))].sort()

  const save = () =>
    void get<{ files: Record<string, string> }>('/v1/config/export')
      .then(({ files }) => {
        const parts = Object.entries(files).sort(([a], [b]) => a.localeCompare(b))
        download('rapport.yaml', 'application/yaml', parts.map(([name, text]) => `# ${name}\n${text.replace(/\n*$/, '\n')}`).join('---\n'))
      })
      .catch(toast.fail)

  return (
    <SetupPage
      title="Config"
      fill
      status={query.data && `${plural(query.data.documents.length, 'document')} · version ${query.data.version}`}
      actions={
        <>
          <Button onClick={save} icon={<Download size={14} aria-hidden />}>
            Export
          </Button>
          {may.edit && (
            <Button look="solid" onClick={() => void navigate({ search: (before) => ({ ...before, add: true }) })} icon={<FilePlus2 size={14} aria-hidden />}>
              New document
            </Button>
          )}
        </>
      }
    >
      <Tabs
        label="Config"
        tabs={[
          { label: 'Documents', bySearch: true, link: { to: '/setup/config', search: { q: q || undefined, kind } } },
          { label: 'Review', bySearch: true, count: waiting, link: { to: '/setup/config', search: { view: 'review' } } },
          { label: 'History', bySearch: true, link: { to: '/setup/config', search: { view: 'history' } } },
        ]}
      />
      {view === 'review' ? (
        <Proposals />
      ) : view === 'history' ? (
        <Versions />
      ) : (
        <>
          <div className="flex flex-wrap gap-2">
            <SearchField label="Search names and text" value={q} onChange={(text) => void navigate({ search: (before) => ({ ...before, q: text || undefined }), replace: true })} className="w-full md:w-[280px]" />
            <Select aria-label="Kind" value={kind ?? ''} onChange={(event) => void navigate({ search: (before) => ({ ...before, kind: event.target.value || undefined }), replace: true })}>
              <option value="">All kinds</option>
              {kinds.map((name) => (
                <option key={name}>{name}</option>
              ))}
            </Select>
          </div>
          <TableCard className="flex-1">
            <Loaded query={query}>
              {() => (
                <Table
                  label="Documents"
                  columns={columns}
                  rows={documents}
                  rowKey={(doc) => `${doc.kind}/${doc.id}`}
                  link={(doc) => ({ to: '/setup/config/$kind/$id', params: { kind: doc.kind, id: doc.id } })}
                  empty={
                    <Empty icon={<Files size={18} />} title={q || kind ? 'No document fits' : 'No documents yet'}>
                      {q || kind ? 'Search looks into names and texts.' : 'Apply a folder with rapport apply, or write the first one here.'}
                    </Empty>
                  }
                />
              )}
            </Loaded>
          </TableCard>
        </>
      )}
      {add && may.edit && <NewDocument onClose={() => void navigate({ search: (before) => ({ ...before, add: undefined }), replace: true })} />}
    </SetupPage>
  )
}

function NewDocument({ onClose }: { onClose: () => void }) {
  const kinds = useQuery(configKindsQuery).data ?? []
  const documents = useQuery(configQuery).data?.documents ?? []
  const navigate = route.useNavigate()
  const [kind, setKind] = useState('action')
  const [id, setId] = useState('')
  const taken = documents.some((doc) => doc.kind === kind && doc.id === id)
  const submit = (event: FormEvent) => {
    event.preventDefault()
    void navigate({ to: '/setup/config/$kind/$id', params: { kind, id }, search: {} })
  }
  return (
    <Dialog open onClose={onClose} title="New document" note={kinds.find((k) => k.name === kind)?.doc}>
      <form onSubmit={submit} className="space-y-3">
        <Field label="Kind">
          {(field) => (
            <Select id={field} value={kind} onChange={(event) => setKind(event.target.value)} className="w-full">
              {(kinds.length ? kinds.map((k) => k.name) : ['action']).map((name) => (
                <option key={name}>{name}</option>
              ))}
            </Select>
          )}
        </Field>
        <Field label="Id" hint="Small letters, digits, - and _. Other documents name it by this." error={taken ? `There is already a ${kind} called ${id}.` : undefined}>
          {(field) => <Input id={field} required pattern="[a-z0-9][a-z0-9_\-]*" value={id} onChange={(event) => setId(event.target.value.trim())} autoComplete="off" spellCheck={false} className="w-full" />}
        </Field>
        <DialogButtons>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="solid" disabled={!id || taken}>
            Write it
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  )
}

function Versions() {
  const query = useQuery(configHistoryQuery)
  const may = useMay()
  const undo = useUndo()
  const [undoing, setUndoing] = useState<ConfigVersion>()
  return (
    <>
      <Loaded query={query}>
        {(versions) =>
          versions.length === 0 ? (
            <Empty icon={<History size={18} />} title="Nothing has changed yet" />
          ) : (
            <ol className="card min-h-0 divide-y divide-line overflow-y-auto">
              {versions.map((version) => (
                <Version key={version.version} version={version} onUndo={may.edit ? () => setUndoing(version) : undefined} />
              ))}
            </ol>
          )
        }
      </Loaded>
      <Confirm open={undoing !== undefined} onClose={() => setUndoing(undefined)} title={`Take version ${undoing?.version} back?`} verb="Take back" onConfirm={async () => undoing && undo(undoing.version)}>
        Its documents return to what they were before, as a new version. Later changes to the same documents are a conflict, and you will be told.
      </Confirm>
    </>
  )
}

function Version({ version, onUndo }: { version: ConfigVersion; onUndo?: () => void }) {
  const [open, setOpen] = useState(false)
  const refs = [...(version.changed ?? []).map((ref) => `${ref.kind} ${ref.id}`), ...(version.deleted ?? []).map((ref) => `− ${ref.kind} ${ref.id}`)]
  return (
    <li className="px-4 py-2.5">
      <div className="flex flex-wrap items-center gap-x-4 gap-y-1">
        <button type="button" aria-expanded={open} onClick={() => setOpen(!open)} className="flex min-w-0 flex-1 items-center gap-3 text-left">
          <ChevronRight size={13} aria-hidden className={cx('shrink-0 text-muted transition-transform', open && 'rotate-90')} />
          <span className="w-8 shrink-0 font-medium tabular-nums">{version.version}</span>
          <span className="min-w-0">
            <span className="block">{version.undoes ? `Takes back version ${version.undoes}` : version.note || <span className="text-muted">No note</span>}</span>
            <span className="clip block text-meta text-muted">
              {refs.slice(0, 5).join(', ')}
              {refs.length > 5 ? ` and ${refs.length - 5} more` : ''}
            </span>
          </span>
        </button>
        <span className="text-muted" title={version.proposer && `Written by ${version.proposer}, published by ${version.author}`}>
          {version.proposer && version.proposer !== version.author ? `${version.proposer} + ${version.author}` : version.author}
        </span>
        <span className="w-16 text-right" title={moment(version.time)}>
          <Ago time={version.time} className="text-muted" />
        </span>
        {onUndo && (
          <Button size="small" icon={<Undo2 size={13} aria-hidden />} aria-label={`Undo version ${version.version}`} onClick={onUndo}>
            Undo
          </Button>
        )}
      </div>
      {open && <VersionChanges version={version.version} />}
    </li>
  )
}

function VersionChanges({ version }: { version: number }) {
  const query = useQuery(versionQuery(version))
  return (
    <div className="space-y-3 pt-3 pb-1 pl-6">
      <Loaded query={query}>{({ changes }) => <>{changes?.map((change) => <Change key={`${change.kind} ${change.id}`} change={change} />)}</>}</Loaded>
    </div>
  )
}

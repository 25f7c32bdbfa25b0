import { useQuery, useQueryClient } from '@tanstack/react-query'
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router'
import { ArrowLeft, CircleAlert, CircleCheck, Trash2 } from 'lucide-react'
import { lazy, Suspense, useCallback, useEffect, useMemo, useState, type ReactNode } from 'react'
import { ApiError, post } from '@/api/client'
import { configKindsQuery, configQuery, documentHistoryQuery, documentQuery } from '@/api/queries'
import type { ConfigApplied, ConfigDocument, ConfigError } from '@/api/types'
import { lineDiff } from '@/format/diff'
import { moment } from '@/format/time'
import { useCurrency } from '@/shell/currency'
import { useMay } from '@/shell/session'
import { Button } from '@/ui/button'
import { Diff } from '@/ui/diff'
import { Confirm } from '@/ui/dialog'
import { Page } from '@/ui/page'
import { Badge } from '@/ui/parts'
import { Empty, Failure, Loaded, Skeleton } from '@/ui/states'
import { Tabs } from '@/ui/tabs'
import { useToast } from '@/ui/toast'
import { YamlEditor } from '@/ui/yaml'
import { useDraft } from './draft'
import { PublishDialog, useUndo } from './publish'
import { RulesPreviewCard } from './rulespreview'
import { template } from './template'

const Form = lazy(() => import('./form/form'))

const route = getRouteApi('/setup/config/$kind/$id')

/** One document: its text, checked while it is written, its history, and the way to publish it. */
export function DocumentPage() {
  const { kind, id } = route.useParams()
  const { view } = route.useSearch()
  const config = useQuery(configQuery)
  const query = useQuery(documentQuery(kind, id))
  const isNew = query.error instanceof ApiError && query.error.status === 404
  const doc = query.data
  if (query.error && !isNew && !doc) return <Failure error={query.error} retry={() => void query.refetch()} className="min-h-full" />

  return (
    <Page
      title={`${kind} ${id}`}
      fill
      heading={
        <div className="min-w-0">
          <Link to="/setup/config" className="mb-0.5 inline-flex items-center gap-1 text-meta text-muted hover:text-text">
            <ArrowLeft size={12} aria-hidden /> Config
          </Link>
          <h1 className="flex items-center gap-2 text-page font-semibold">
            <span className="clip">{id}</span>
            <Badge>{kind}</Badge>
            {isNew && <Badge look="good">new</Badge>}
            {doc?.demo && <Badge>demo</Badge>}
          </h1>
          {doc && (
            <p className="text-meta text-muted" title={moment(doc.updatedAt)}>
              version {doc.version}, by {doc.author}
            </p>
          )}
        </div>
      }
    >
      <Tabs
        label="Document"
        tabs={[
          { label: 'Edit', bySearch: true, link: { to: '/setup/config/$kind/$id', params: { kind, id }, search: {} } },
          { label: 'History', bySearch: true, link: { to: '/setup/config/$kind/$id', params: { kind, id }, search: { view: 'history' } } },
        ]}
      />
      {view === 'history' ? <DocumentHistory kind={kind} id={id} /> : config.data && (doc || isNew) ? <Editing key={`${kind}/${id}`} kind={kind} id={id} doc={doc} version={config.data.version} beside={kind === 'identifier' ? (text) => <RulesPreviewCard text={text} live={doc?.yaml} /> : undefined} /> : <Skeleton className="h-[420px] rounded-card!" />}
    </Page>
  )
}

/** Checks a text a moment after the typing stops. */
function useCheck(yaml: string): { errors: ConfigError[]; checked: boolean } {
  const [result, setResult] = useState<{ errors: ConfigError[]; yaml: string }>({ errors: [], yaml: '' })
  useEffect(() => {
    let over = false
    const check = () => {
      post<{ errors: ConfigError[] | null }>('/v1/config/check', { yaml })
        .then((answer) => !over && setResult({ errors: answer.errors ?? [], yaml }))
        // The server is away, or the session has ended: again in a moment.
        .catch(() => void (!over && (timer = setTimeout(check, 2000))))
    }
    let timer = setTimeout(check, 250)
    return () => {
      over = true
      clearTimeout(timer)
    }
  }, [yaml])
  return { errors: result.errors, checked: result.yaml === yaml }
}

export function Editing({ kind, id, doc, version, beside, first }: { kind: string; id: string; doc?: ConfigDocument; version: number; beside?: (text: string) => ReactNode; /** The text a new document begins with. */ first?: string }) {
  const kinds = useQuery(configKindsQuery).data
  const about = kinds?.find((k) => k.name === kind)
  const documents = useQuery(configQuery).data?.documents
  const currency = useCurrency()
  const may = useMay()
  const navigate = useNavigate()
  const [draft, keep] = useDraft(kind, id)
  const fresh = useMemo(() => first ?? template(kind, id, about), [first, kind, id, about])
  const live = doc?.yaml ?? ''
  const text = draft?.yaml ?? (doc ? live : fresh)
  const dirty = doc ? draft !== undefined && draft.yaml !== live : true
  const { errors, checked } = useCheck(text)
  const client = useQueryClient()
  const toast = useToast()
  const undo = useUndo()
  const [review, setReview] = useState(false)
  const [deleting, setDeleting] = useState(false)
  const [spot, setSpot] = useState<{ from: number; to: number }>()
  const [cursor, setCursor] = useState<number>()
  const base = draft?.base ?? version
  const write = useCallback((yaml: string) => keep({ yaml, base }), [keep, base])
  const change = may.edit ? write : undefined

  return (
    <div className="flex min-h-0 flex-1 flex-col gap-3">
      <div className="grid min-h-0 flex-1 items-stretch gap-3 lg:grid-cols-2">
        <div className="flex min-h-0 flex-col gap-3 lg:overflow-y-auto">
          {beside?.(text)}
          <div role="region" aria-label={`Form of ${kind} ${id}`} tabIndex={-1} className="card p-4">
            <Suspense fallback={<Skeleton className="h-72" />}>
              {about && documents && kinds ? <Form kind={about} kinds={kinds.map((k) => k.name)} text={text} onChange={change} errors={errors} documents={documents} currency={currency} cursor={cursor} onEnter={setSpot} /> : kinds && !about ? <Empty title={`There is no kind ${kind}`}>Its text can still be edited beside.</Empty> : <Skeleton className="h-72" />}
            </Suspense>
          </div>
        </div>
        <div className="card flex min-h-[420px] flex-col overflow-hidden focus-within:border-line-strong md:min-h-0">
          <YamlEditor label={`Text of ${kind} ${id}`} value={text} onChange={change} errors={errors} spot={spot} onCursor={setCursor} className="min-h-[300px] flex-1 overflow-hidden" />
          <Problems errors={errors} checked={checked} />
        </div>
      </div>
      {may.edit && (
          <div className="flex flex-wrap items-center gap-2">
            <Button look="solid" disabled={!dirty || !checked || errors.length > 0} onClick={() => setReview(true)}>
              Review and apply
            </Button>
            {draft && (
              <Button look="ghost" onClick={() => keep(undefined)}>
                Drop my changes
              </Button>
            )}
            {dirty && doc && <span className="text-meta text-muted">Not published. It is kept in this tab, through reloads and sign-ins.</span>}
            <span className="flex-1" />
            {doc && (
              <Button look="ghost" icon={<Trash2 size={14} aria-hidden />} onClick={() => setDeleting(true)}>
                Delete…
              </Button>
            )}
          </div>
      )}
      <PublishDialog open={review} onClose={() => setReview(false)} yaml={text} base={draft?.base ?? version} onApplied={() => keep(undefined)} />
      <Confirm
        open={deleting}
        onClose={() => setDeleting(false)}
        title={`Delete ${kind} ${id}?`}
        verb="Delete"
        typed={id}
        onConfirm={async () => {
          const change = { delete: [{ kind, id }], expectVersion: version, note: `Delete ${kind} ${id}` }
          const done = await post<ConfigApplied>('/v1/config/apply', change).catch(async (cause: unknown) => {
            // Denied to one who may edit: a second person is asked for.
            if (!(cause instanceof ApiError) || cause.status !== 403 || !cause.problem.hint?.includes('propose')) throw cause
            await post('/v1/config/proposals', change)
            return undefined
          })
          keep(undefined)
          if (!done) {
            toast.say(`The deletion of ${id} is sent for review`)
            await client.invalidateQueries({ queryKey: ['config'] })
            return
          }
          toast.say(`${id} is deleted, in version ${done.version}`, { label: 'Undo', run: () => undo(done.version) })
          await client.invalidateQueries()
          await navigate({ to: '/setup/config', search: {} })
        }}
      >
        It stops at once. Its history stays, and the deletion can be taken back. A document that others still name is not deleted; you are told which do.
      </Confirm>
    </div>
  )
}

function Problems({ errors, checked }: { errors: ConfigError[]; checked: boolean }) {
  return (
    <div role="status" className="max-h-[132px] overflow-y-auto border-t border-line px-3 py-2">
      {errors.length === 0 ? (
        <p className="flex items-center gap-1.5 text-meta text-muted">
          <CircleCheck size={13} aria-hidden className={checked ? 'text-good' : 'opacity-40'} />
          {checked ? 'Checked: no errors' : 'Checking…'}
        </p>
      ) : (
        <ul className="space-y-1">
          {errors.map((error, i) => (
            <li key={i} className="flex gap-1.5 text-meta">
              <CircleAlert size={13} aria-hidden className="mt-[1.5px] shrink-0 text-bad" />
              <span>
                <span className="font-mono text-muted">
                  {error.line}:{error.column}
                </span>{' '}
                {error.message}
                {error.hint && <span className="text-muted"> · {error.hint}</span>}
              </span>
            </li>
          ))}
        </ul>
      )}
    </div>
  )
}

function DocumentHistory({ kind, id }: { kind: string; id: string }) {
  const query = useQuery(documentHistoryQuery(kind, id))
  return (
    <Loaded query={query}>
      {(versions) =>
        versions.length === 0 ? (
          <Empty title="No history yet" />
        ) : (
          <ol className="space-y-3 overflow-y-auto">
            {versions.map((version, i) => (
              <li key={version.version} className="card p-4">
                <h2 className="flex flex-wrap items-baseline gap-x-2 font-medium">
                  Version {version.version}
                  <span className="font-normal text-muted">
                    by {version.author}, {moment(version.time)}
                  </span>
                </h2>
                {version.note && <p className="text-muted">{version.note}</p>}
                {version.yaml !== undefined && <Diff label={`Change in version ${version.version}`} lines={lineDiff(versions[i + 1]?.yaml ?? '', version.yaml)} className="mt-2 max-h-[360px]" />}
              </li>
            ))}
          </ol>
        )
      }
    </Loaded>
  )
}

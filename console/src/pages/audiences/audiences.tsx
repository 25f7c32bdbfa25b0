import { useQuery } from '@tanstack/react-query'
import { getRouteApi, useNavigate } from '@tanstack/react-router'
import { Plus, Users } from 'lucide-react'
import { useMemo, useState, type FormEvent } from 'react'
import { segmentsQuery } from '@/api/queries'
import { overviewQuery } from '@/api/shell'
import type { Segment } from '@/api/types'
import { count, percent, plural } from '@/format/number'
import { said } from '@/format/said'
import { useMay } from '@/shell/session'
import { Button } from '@/ui/button'
import { Dialog, DialogButtons } from '@/ui/dialog'
import { Explained } from '@/ui/explain'
import { Field, Input, SearchField } from '@/ui/field'
import { Page } from '@/ui/page'
import { Badge, Bar } from '@/ui/parts'
import { Empty, Loaded } from '@/ui/states'
import { Table, TableCard, type Column } from '@/ui/table'
import { AudienceTabs } from './tabs'

const route = getRouteApi('/audiences')

const columnsOf = (people: number, names: ReadonlyMap<string, string | undefined>): Column<Segment>[] => [
  {
    id: 'name',
    head: 'Audience',
    cell: (segment) => (
      <span className="flex items-center gap-2">
        <span className="clip font-medium">{segment.name || segment.id}</span>
        <StateBadge segment={segment} />
      </span>
    ),
  },
  { id: 'when', head: 'Who is in it', from: 'lg', cell: (segment) => <span className="text-muted" title={segment.when}>{said(segment.when, names)}</span> },
  {
    id: 'share',
    head: 'Share',
    from: 'md',
    width: 'w-[150px]',
    cell: (segment) => (
      <span className="flex items-center gap-2">
        <Bar share={segment.size / Math.max(people, 1)} label={`${percent(segment.size / Math.max(people, 1))} of everybody`} className="flex-1" />
        <span className="w-11 text-right text-muted tabular-nums">{percent(segment.size / Math.max(people, 1))}</span>
      </span>
    ),
  },
  {
    id: 'size',
    head: (
      <Explained title="People now" trigger="People now">
        Counted with every event: this is who is in it at this moment.
      </Explained>
    ),
    right: true,
    width: 'w-[100px]',
    cell: (segment) => (segment.state === 'building' && segment.size === 0 ? '–' : count(segment.size)),
  },
]

export function StateBadge({ segment }: { segment: Pick<Segment, 'state'> }) {
  if (segment.state === 'filling') return <Badge look="warn" title="Everybody is looked at once for the new definition">filling</Badge>
  if (segment.state === 'building') return <Badge look="warn" title="What it asks of the past is read from history first">reading history</Badge>
  return null
}

/** Every segment with its size at this moment. */
export function Audiences() {
  const { q = '', add: adding = false } = route.useSearch()
  const go = route.useNavigate()
  const query = useQuery(segmentsQuery)
  const people = useQuery(overviewQuery).data?.people ?? 0
  const columns = useMemo(() => columnsOf(people, new Map((query.data ?? []).map((s) => [s.id, s.name]))), [people, query.data])
  const may = useMay()
  const setAdding = (open: boolean) => void go({ search: (before) => ({ ...before, add: open || undefined }), replace: true })
  const rows = useMemo(() => {
    const needle = q.toLowerCase()
    return (query.data ?? []).filter((s) => `${s.id} ${s.name ?? ''} ${s.when}`.toLowerCase().includes(needle)).sort((a, b) => b.size - a.size)
  }, [query.data, q])
  const add = (look: 'solid' | 'outline') => (
    <Button look={look} icon={<Plus size={14} aria-hidden />} onClick={() => setAdding(true)}>
      New audience
    </Button>
  )
  return (
    <Page
      title="Audiences"
      fill
      status={query.data && plural(query.data.length, 'audience')}
      purpose="Groups of people, kept up to date with every event."
      actions={
        <>
          <SearchField label="Find an audience" value={q} onChange={(text) => void go({ search: { q: text || undefined }, replace: true })} className="w-full md:w-[240px]" />
          {may.edit && add('solid')}
        </>
      }
    >
      <AudienceTabs />
      <TableCard className="md:flex-1">
        <Loaded query={query}>
          {() => (
            <Table
              label="Audiences"
              columns={columns}
              rows={rows}
              rowKey={(segment) => segment.id}
              link={(segment) => ({ to: '/audiences/$id', params: { id: segment.id } })}
              empty={
                q ? (
                  <Empty icon={<Users size={18} />} title={`No audience matches “${q}”`} />
                ) : (
                  <Empty icon={<Users size={18} />} title="No audience yet" action={may.edit && add('outline')}>
                    An audience is everybody a condition holds for, such as who bought twice in 90 days. People come and go by themselves.
                  </Empty>
                )
              }
            />
          )}
        </Loaded>
      </TableCard>
      <AddDialog open={adding} onClose={() => setAdding(false)} taken={(query.data ?? []).map((s) => s.id)} />
    </Page>
  )
}

function AddDialog({ open, onClose, taken }: { open: boolean; onClose: () => void; taken: string[] }) {
  const [name, setName] = useState('')
  const navigate = useNavigate()
  const id = name.normalize('NFD').replace(/[\u0300-\u036f]/g, '').toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-+|-+$/g, '')
  const error = id && taken.includes(id) ? `There is an audience ${id} already` : undefined
  const submit = (event: FormEvent) => {
    event.preventDefault()
    if (!id || error) return
    void navigate({ to: '/audiences/$id', params: { id }, search: { tab: 'definition' } })
  }
  return (
    <Dialog open={open} onClose={onClose} title="New audience" note="Name it; the next page says who is in it, with a count while you type.">
      <form onSubmit={submit}>
        <Field label="Name" hint={id ? `id: ${id}` : 'Such as “Second order soon”'} error={error}>
          {(field) => <Input id={field} value={name} onChange={(event) => setName(event.target.value)} autoFocus className="w-full" />}
        </Field>
        <DialogButtons>
          <Button onClick={onClose}>Cancel</Button>
          <Button look="solid" type="submit" disabled={!id || Boolean(error)}>
            Write its definition
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  )
}

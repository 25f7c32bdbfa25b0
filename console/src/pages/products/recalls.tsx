import { useQuery, useQueryClient } from '@tanstack/react-query'
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router'
import { Megaphone, PackageSearch } from 'lucide-react'
import { useState, type FormEvent } from 'react'
import { post } from '@/api/client'
import { affectedQuery, recallsQuery } from '@/api/queries'
import type { Affected, Recall } from '@/api/types'
import { count, plural } from '@/format/number'
import { moment } from '@/format/time'
import { useMay } from '@/shell/session'
import { Button, button } from '@/ui/button'
import { Dialog, DialogButtons } from '@/ui/dialog'
import { Field, Input } from '@/ui/field'
import { SearchField } from '@/ui/field'
import { Page } from '@/ui/page'
import { Ago, Badge, Card } from '@/ui/parts'
import { Empty, Loaded, Refusal } from '@/ui/states'
import { Table, TableCard, type Column } from '@/ui/table'
import { useToast } from '@/ui/toast'
import { ProductTabs } from './tabs'

const route = getRouteApi('/products/recalls')

const columns: Column<Affected['items'][number]>[] = [
  { id: 'item', head: 'Item', cell: (row) => <span className="font-mono text-meta">{row.item}</span> },
  { id: 'state', head: 'Stage', from: 'md', width: 'w-[120px]', cell: (row) => row.state ?? <span className="text-muted">no twin</span> },
  { id: 'recall', head: 'Recall', from: 'md', width: 'w-[110px]', cell: (row) => (row.recall ? <Badge look="bad">recalled</Badge> : '–') },
  { id: 'owner', head: 'Owner', width: 'w-[110px] md:w-[260px]', cell: (row) => (row.owner ? <span className="font-mono text-meta">{row.owner}</span> : <span className="text-muted">nobody’s</span>) },
]

export const RecallBadge = ({ recall }: { recall: Pick<Recall, 'lifted' | 'told'> }) => (recall.lifted ? <Badge>lifted</Badge> : recall.told ? <Badge look="good">everybody told</Badge> : <Badge look="warn">telling</Badge>)

/** From a lot to its items and whoever has them, and the way to call them back. */
export function Recalls() {
  const { of = '' } = route.useSearch()
  const navigate = route.useNavigate()
  const may = useMay()
  const list = useQuery(recallsQuery)
  const affected = useQuery(affectedQuery(of))
  const [starting, setStarting] = useState(false)
  return (
    <Page
      title="Recalls"
      purpose="From a lot to every item of it and whoever has it."
      actions={
        <>
          <SearchField label="Lot, class or item" value={of} onChange={(text) => void navigate({ search: { of: text.trim() || undefined }, replace: true })} className="w-full md:w-[320px]" />
          {may.edit && (
            <Button look="solid" icon={<Megaphone size={14} aria-hidden />} disabled={!affected.data || affected.data.items.length === 0} onClick={() => setStarting(true)}>
              Call back
            </Button>
          )}
        </>
      }
    >
      <ProductTabs />
      {of !== '' && (
        <TableCard className="max-h-[420px]">
          <Loaded query={affected}>
            {(found) => (
              <>
                <p className="border-b border-line px-3 py-2 text-muted">
                  <strong className="font-medium text-text">{plural(found.items.length, 'item')}</strong> of {found.of}, {plural(found.owners, 'owner')} to tell{found.truncated && '; there are more than are shown'}
                </p>
                <Table label="Affected items" columns={columns} rows={found.items} rowKey={(row) => row.item} link={(row) => (row.known ? { to: '/products/items/$id', params: { id: row.item } } : { to: '/products/recalls', search: { of } })} empty={<Empty icon={<PackageSearch size={18} />} title="No item of it is known">Give a lot as 01/GTIN/10/LOT, a Digital Link, or an EPC URN.</Empty>} />
              </>
            )}
          </Loaded>
        </TableCard>
      )}
      <Card title="Recalls">
        <Loaded query={list}>
          {(recalls) =>
            recalls.length === 0 ? (
              <Empty icon={<Megaphone size={18} />} title="Nothing was ever called back">
                Type a lot above to see every item of it, what was made from it, and its owners. Then call it back: items are marked and owners told.
              </Empty>
            ) : (
              <ul>
                {recalls.map((recall) => (
                  <li key={recall.id} className="flex flex-wrap items-center gap-x-4 gap-y-1 border-b border-line py-3 last:border-0">
                    <div className="min-w-0 flex-1">
                      <p className="font-medium">
                        <Link to="/products/recalls/$id" params={{ id: recall.id }} className="hover:underline">
                          {recall.reason}
                        </Link>
                      </p>
                      <p className="text-meta break-all text-muted" title={moment(recall.createdAt)}>
                        <Link to="/products/recalls" search={{ of: recall.of }} className="link">
                          {recall.of}
                        </Link>{' '}
                        · by {recall.by}, <Ago time={recall.createdAt} suffix="ago" />
                      </p>
                    </div>
                    <span className="text-muted tabular-nums">{plural(recall.items, 'item')}</span>
                    <RecallBadge recall={recall} />
                    <Link to="/products/recalls/$id" params={{ id: recall.id }} className={button({ size: 'small' })}>
                      Who was told
                    </Link>
                  </li>
                ))}
              </ul>
            )
          }
        </Loaded>
      </Card>
      <StartDialog open={starting} onClose={() => setStarting(false)} of={of} found={affected.data} />
    </Page>
  )
}

function StartDialog({ open, onClose, of, found }: { open: boolean; onClose: () => void; of: string; found?: Affected }) {
  const [reason, setReason] = useState('')
  const [instructions, setInstructions] = useState('')
  const [typed, setTyped] = useState('')
  const [error, setError] = useState<unknown>()
  const client = useQueryClient()
  const navigate = useNavigate()
  const toast = useToast()
  const number = String(found?.items.length ?? 0)
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    setError(undefined)
    try {
      const { id } = await post<Recall>('/v1/recalls', { of, reason, instructions })
      toast.say('Called back: items are marked and owners told')
      onClose()
      await client.invalidateQueries({ queryKey: ['recalls'] })
      await navigate({ to: '/products/recalls/$id', params: { id } })
    } catch (cause) {
      setError(cause)
    }
  }
  return (
    <Dialog open={open} onClose={onClose} title={`Call back ${plural(found?.items.length ?? 0, 'item')}?`} note={`Of ${of}. ${plural(found?.owners ?? 0, 'owner')} will be told.`}>
      <form onSubmit={(event) => void submit(event)} className="space-y-3">
        <Field label="Reason" hint="Owners read it">{(id) => <Input id={id} value={reason} onChange={(e) => setReason(e.target.value)} required className="w-full" />}</Field>
        <Field label="What owners should do">{(id) => <Input id={id} value={instructions} onChange={(e) => setInstructions(e.target.value)} className="w-full" />}</Field>
        <Field label={`Type ${number} to confirm`}>{(id) => <Input id={id} value={typed} onChange={(e) => setTyped(e.target.value)} inputMode="numeric" className="w-28" />}</Field>
        <Refusal error={error} />
        <DialogButtons>
          <Button onClick={onClose}>Cancel</Button>
          <Button look="danger" type="submit" disabled={!reason || typed !== number}>
            Call back {count(found?.items.length ?? 0)}
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  )
}

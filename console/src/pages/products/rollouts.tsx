import { useQuery, useQueryClient } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { Pause, Play, Plus, Rocket, SkipForward, Square, Upload } from 'lucide-react'
import { useState, type FormEvent } from 'react'
import { ApiError, post, upload } from '@/api/client'
import { artifactsQuery, rolloutDevicesQuery, rolloutsQuery } from '@/api/queries'
import type { Artifact, Rollout, RolloutDevice } from '@/api/types'
import { bytes, count, percent, plural } from '@/format/number'
import { duration, moment } from '@/format/time'
import { useMay } from '@/shell/session'
import { Button } from '@/ui/button'
import { cx } from '@/ui/cx'
import { Confirm, Dialog, DialogButtons } from '@/ui/dialog'
import { Field, Input, Select } from '@/ui/field'
import { Page } from '@/ui/page'
import { Ago, Badge, Card, CopyId, Rows } from '@/ui/parts'
import { Empty, Loaded, Refusal } from '@/ui/states'
import { Table, TableCard, type Column } from '@/ui/table'
import { useToast } from '@/ui/toast'
import { ProductTabs } from './tabs'

const route = getRouteApi('/products/rollouts')

const looks: Record<string, 'good' | 'bad' | 'accent' | 'warn' | 'plain'> = { draft: 'plain', running: 'accent', paused: 'warn', stopped: 'bad', canceled: 'bad', finished: 'good' }
const over = (rollout: Rollout) => ['stopped', 'canceled', 'finished'].includes(rollout.status)

/** New software for items: stage by stage, with a part held back to compare with, and a brake. */
export function Rollouts() {
  const { id, add } = route.useSearch()
  const navigate = route.useNavigate()
  const query = useQuery(rolloutsQuery)
  const artifacts = useQuery(artifactsQuery).data ?? []
  const may = useMay()
  const [uploading, setUploading] = useState(false)
  const chosen = query.data?.find((r) => r.id === id)
  const columns: Column<Rollout>[] = [
    { id: 'name', head: 'Rollout', cell: (r) => <span className="font-medium">{r.name || r.id}</span> },
    { id: 'version', head: 'Brings', from: 'md', width: 'w-[180px]', cell: (r) => <span className="text-muted">{versionOf(artifacts, r.artifact)}</span> },
    { id: 'status', head: 'Status', width: 'w-[96px]', cell: (r) => <Badge look={looks[r.status] ?? 'plain'}>{r.status}</Badge> },
    { id: 'stage', head: 'Stage', from: 'md', width: 'w-[130px]', cell: (r) => `${Math.min(r.stage + 1, r.stages.length)} of ${r.stages.length}, ${stagePercent(r)} %` },
    { id: 'done', head: 'Updated', right: true, width: 'w-[100px]', cell: (r) => count(r.steps.succeeded ?? 0) },
    { id: 'failed', head: 'Failed', right: true, from: 'md', width: 'w-[90px]', cell: (r) => count(r.steps.failed ?? 0) },
    { id: 'changed', head: 'Changed', right: true, from: 'lg', width: 'w-[100px]', cell: (r) => <Ago time={r.changed || r.createdAt} suffix="ago" className="text-muted" /> },
  ]
  return (
    <Page
      title="Rollouts"
      purpose="Bring new software to items, a few at first, and stop by itself where it does harm."
      actions={
        may.edit && (
          <>
            <Button icon={<Upload size={14} aria-hidden />} onClick={() => setUploading(true)}>
              Add software
            </Button>
            <Button look="solid" icon={<Plus size={14} aria-hidden />} disabled={artifacts.length === 0} title={artifacts.length === 0 ? 'Add the software first' : undefined} onClick={() => void navigate({ search: (before) => ({ ...before, add: true }) })}>
              New rollout
            </Button>
          </>
        )
      }
    >
      <ProductTabs />
      <TableCard className="max-h-[420px]">
        <Loaded query={query}>
          {(rollouts) => (
            <Table
              label="Rollouts"
              columns={columns}
              rows={[...rollouts].sort((a, b) => Number(over(a)) - Number(over(b)) || String(b.createdAt).localeCompare(String(a.createdAt)))}
              rowKey={(r) => r.id}
              link={(r) => ({ to: '/products/rollouts', search: { id: r.id } })}
              selected={id}
              empty={
                <Empty icon={<Rocket size={18} />} title="Nothing was ever rolled out">
                  Add the software first, then draw up a rollout: who gets it, in which stages, and what stops it.
                </Empty>
              }
            />
          )}
        </Loaded>
      </TableCard>
      {chosen && <Detail rollout={chosen} artifacts={artifacts} />}
      {!chosen && (
        <Card title="Software" note="What devices can be given">
          {artifacts.length === 0 ? (
            <p className="py-2 text-muted">None yet. Add a file, and say which version a device reports that runs it.</p>
          ) : (
            <ul>
              {artifacts.map((artifact) => (
                <li key={artifact.sha256} className="flex flex-wrap items-center gap-x-4 gap-y-1 border-b border-line py-2 last:border-0">
                  <span className="min-w-0 flex-1 font-medium">
                    {artifact.name} <span className="font-normal text-muted">{artifact.version}</span>
                  </span>
                  <Badge>{artifact.module}</Badge>
                  <span className="text-muted tabular-nums">{bytes(artifact.size)}</span>
                  <CopyId id={artifact.sha256} className="max-w-[160px]!" />
                  <Ago time={artifact.createdAt} suffix="ago" className="text-meta text-muted" />
                </li>
              ))}
            </ul>
          )}
        </Card>
      )}
      <UploadDialog open={uploading} onClose={() => setUploading(false)} />
      {add && may.edit && artifacts.length > 0 && <DrawDialog artifacts={artifacts} onClose={() => void navigate({ search: (before) => ({ ...before, add: undefined }), replace: true })} onDrawn={(drawn) => void navigate({ search: { id: drawn }, replace: true })} />}
    </Page>
  )
}

const versionOf = (artifacts: Artifact[], sha256: string) => {
  const found = artifacts.find((a) => a.sha256 === sha256)
  return found ? `${found.name} ${found.version}` : sha256.slice(0, 12)
}

const stagePercent = (r: Rollout) => r.stages[Math.min(r.stage, r.stages.length - 1)]?.percent ?? 100

const verbs = [
  { verb: 'start', label: 'Start', from: ['draft'], icon: Play, say: 'The first devices are offered it' },
  { verb: 'pause', label: 'Pause', from: ['running'], icon: Pause, say: 'Nobody new is offered it' },
  { verb: 'resume', label: 'Resume', from: ['paused'], icon: Play, say: 'It goes on' },
  { verb: 'advance', label: 'Next stage now', from: ['running'], icon: SkipForward, say: 'The next stage is open' },
  { verb: 'cancel', label: 'Cancel…', from: ['running', 'paused'], icon: Square, say: 'It is canceled' },
] as const

function Detail({ rollout, artifacts }: { rollout: Rollout; artifacts: Artifact[] }) {
  const may = useMay()
  const client = useQueryClient()
  const toast = useToast()
  const devices = useQuery(rolloutDevicesQuery(rollout.id))
  const [canceling, setCanceling] = useState(false)
  const change = async (verb: string, say: string) => {
    await post(`/v1/rollouts/${encodeURIComponent(rollout.id)}/${verb}`)
    toast.say(say)
    await client.invalidateQueries({ queryKey: ['rollouts'] })
  }
  const columns: Column<RolloutDevice>[] = [
    { id: 'item', head: 'Item', cell: (d) => <span className="font-mono text-meta">{d.item}</span> },
    { id: 'stage', head: 'Stage', right: true, from: 'md', width: 'w-[80px]', cell: (d) => d.stage + 1 },
    { id: 'step', head: 'Step', width: 'w-[110px]', cell: (d) => <Badge look={d.step === 'succeeded' ? 'good' : d.step === 'failed' ? 'bad' : 'plain'}>{d.step}</Badge> },
    { id: 'detail', head: 'It says', from: 'md', cell: (d) => <span className="text-muted" title={d.detail}>{d.detail ?? ''}</span> },
    { id: 'changed', head: 'Since', right: true, width: 'w-[90px]', cell: (d) => <Ago time={d.changed} className="text-muted" /> },
  ]
  return (
    <div className="grid items-start gap-3 lg:grid-cols-[minmax(0,1fr)_340px]">
      <div className="space-y-3">
        <Card
          title={rollout.name || rollout.id}
          note={rollout.reason}
          actions={
            may.edit && (
              <div className="flex flex-wrap justify-end gap-2">
                {verbs
                  .filter((v) => (v.from as readonly string[]).includes(rollout.status))
                  .map(({ verb, label, icon: Icon, say }) => (
                    <Button key={verb} size="small" icon={<Icon size={13} aria-hidden />} onClick={() => (verb === 'cancel' ? setCanceling(true) : void change(verb, say).catch(toast.fail))}>
                      {label}
                    </Button>
                  ))}
              </div>
            )
          }
        >
          <ol className="space-y-2.5">
            {rollout.stages.map((stage, i) => {
              const counted = rollout.byStage[i] ?? { devices: 0, succeeded: 0, failed: 0 }
              const open = i <= rollout.stage && rollout.status !== 'draft'
              return (
                <li key={i} className={cx(!open && 'opacity-60')}>
                  <div className="mb-1 flex justify-between gap-3">
                    <span className="font-medium">
                      Stage {i + 1}: {stage.percent} %
                    </span>
                    <span className="text-muted tabular-nums">
                      {open ? `${count(counted.succeeded)} of ${plural(counted.devices, 'device')} well${counted.failed ? `, ${count(counted.failed)} failed` : ''}` : 'not open yet'}
                    </span>
                  </div>
                  <span role="img" aria-label={`${counted.succeeded} succeeded, ${counted.failed} failed of ${counted.devices}`} className="flex h-[6px] overflow-hidden rounded-full bg-line">
                    <span className="h-full bg-cart" style={{ width: `${counted.devices ? (counted.succeeded / counted.devices) * 100 : 0}%` }} />
                    <span className="h-full bg-bad" style={{ width: `${counted.devices ? (counted.failed / counted.devices) * 100 : 0}%` }} />
                  </span>
                </li>
              )
            })}
          </ol>
        </Card>
        <TableCard className="max-h-[420px]">
          <Loaded query={devices}>
            {(rows) => <Table label="Devices of the rollout" columns={columns} rows={rows} rowKey={(d) => String(d.id)} link={(d) => ({ to: '/products/items/$id', params: { id: d.item } })} empty={<Empty icon={<Rocket size={18} />} title="No device came by yet">Devices are offered it when they next ask.</Empty>} />}
          </Loaded>
        </TableCard>
      </div>
      <Card title="The plan">
        <Rows
          rows={[
            { name: 'Brings', value: versionOf(artifacts, rollout.artifact) },
            { name: 'For', value: rollout.target.items?.length ? plural(rollout.target.items.length, 'item') : (rollout.target.gtin ?? 'every item') },
            ...(rollout.target.firmware?.length ? [{ name: 'That run', value: rollout.target.firmware.join(', ') }] : []),
            { name: 'Held back', value: percent(rollout.holdback), note: 'Never updated, to compare with' },
            { name: 'Held back so far', value: count(rollout.held) },
            { name: 'Soaks for', value: duration(rollout.soakSeconds), note: 'How long it must go on well before it counts' },
            { name: 'Stops at', value: `${percent(rollout.errorRate)} failures`, note: `of at least ${rollout.minimum} devices` },
            { name: 'Harms watched', value: rollout.harms?.length ? rollout.harms.map((h) => h.event).join(', ') : 'none' },
            { name: 'Drawn up', value: moment(rollout.createdAt) },
          ]}
        />
        <Link to="/products/rollouts" search={{}} className="link mt-2 inline-block">
          All software
        </Link>
      </Card>
      <Confirm open={canceling} onClose={() => setCanceling(false)} title="Cancel this rollout?" verb="Cancel it" typed={rollout.name || rollout.id} onConfirm={() => change('cancel', 'It is canceled')}>
        Devices that already run it keep it; nobody else gets it. A canceled rollout cannot be resumed.
      </Confirm>
    </div>
  )
}

function UploadDialog({ open, onClose }: { open: boolean; onClose: () => void }) {
  const [file, setFile] = useState<File>()
  const [version, setVersion] = useState('')
  const [module, setModule] = useState('os')
  const [error, setError] = useState<unknown>()
  const [busy, setBusy] = useState(false)
  const client = useQueryClient()
  const toast = useToast()
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    if (!file) return
    setBusy(true)
    setError(undefined)
    try {
      await upload<Artifact>('/v1/artifacts', file, { name: file.name, version: version.trim(), module: module.trim() })
      toast.say(`${file.name} is signed and kept`)
      onClose()
      await client.invalidateQueries({ queryKey: ['artifacts'] })
    } catch (cause) {
      setError(cause)
    } finally {
      setBusy(false)
    }
  }
  return (
    <Dialog open={open} onClose={onClose} title="Add software" note="The file is kept, and signed with this server’s key. Devices check the signature.">
      <form onSubmit={(event) => void submit(event)} className="space-y-3">
        <Field label="File">{(id) => <input id={id} type="file" required onChange={(event) => setFile(event.target.files?.[0])} className="block w-full text-meta" />}</Field>
        <Field label="Version" hint="What a device reports that runs it">{(id) => <Input id={id} required value={version} onChange={(event) => setVersion(event.target.value)} className="w-full" />}</Field>
        <Field label="Module" hint="The part of the device it is for">{(id) => <Input id={id} required value={module} onChange={(event) => setModule(event.target.value)} className="w-full" />}</Field>
        <Refusal error={error} />
        <DialogButtons>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="solid" busy={busy} disabled={!file || !version.trim()}>
            Add it
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  )
}

function DrawDialog({ artifacts, onClose, onDrawn }: { artifacts: Artifact[]; onClose: () => void; onDrawn: (id: string) => void }) {
  const [name, setName] = useState('')
  const [artifact, setArtifact] = useState(artifacts[0]?.sha256 ?? '')
  const [gtin, setGtin] = useState('')
  const [stages, setStages] = useState('5, 25, 100')
  const [holdback, setHoldback] = useState('5')
  const [harm, setHarm] = useState('')
  const [error, setError] = useState<unknown>()
  const client = useQueryClient()
  const toast = useToast()
  const percents = stages.split(',').map((part) => Number(part.trim()))
  const wrong = percents.some((p, i) => !(p > 0 && p <= 100) || p <= (percents[i - 1] ?? 0)) ? 'Rising shares of devices, such as 5, 25, 100' : undefined
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    setError(undefined)
    try {
      const drawn = await post<Rollout>('/v1/rollouts', {
        name: name.trim(),
        artifact,
        target: gtin.trim() ? { gtin: gtin.trim() } : undefined,
        stages: percents.map((percent) => ({ percent })),
        holdback: Number(holdback) / 100,
        harms: harm.trim() ? [{ event: harm.trim() }] : undefined,
      })
      toast.say('Drawn up. Start it when you are ready.')
      await client.invalidateQueries({ queryKey: ['rollouts'] })
      onDrawn(drawn.id)
    } catch (cause) {
      setError(cause instanceof ApiError || cause instanceof Error ? cause : new Error(String(cause)))
    }
  }
  return (
    <Dialog open onClose={onClose} title="New rollout" note="It is drawn up first. Nothing happens until you start it.">
      <form onSubmit={(event) => void submit(event)} className="space-y-3">
        <Field label="Name">{(id) => <Input id={id} required value={name} onChange={(event) => setName(event.target.value)} autoFocus className="w-full" />}</Field>
        <Field label="Software">
          {(id) => (
            <Select id={id} value={artifact} onChange={(event) => setArtifact(event.target.value)} className="w-full">
              {artifacts.map((a) => (
                <option key={a.sha256} value={a.sha256}>
                  {a.name} {a.version}
                </option>
              ))}
            </Select>
          )}
        </Field>
        <Field label="Product" hint="GTIN of the product; every item if empty">{(id) => <Input id={id} inputMode="numeric" value={gtin} onChange={(event) => setGtin(event.target.value)} className="w-full" />}</Field>
        <Field label="Stages" hint="Percent of devices, one stage after the other" error={wrong}>{(id) => <Input id={id} value={stages} onChange={(event) => setStages(event.target.value)} className="w-full" />}</Field>
        <Field label="Held back, percent" hint="Never updated, to compare with">{(id) => <Input id={id} type="number" min="0" max="50" value={holdback} onChange={(event) => setHoldback(event.target.value)} className="w-28" />}</Field>
        <Field label="Stop if this happens more" hint="An event such as Product Fault; may be empty">{(id) => <Input id={id} value={harm} onChange={(event) => setHarm(event.target.value)} className="w-full" />}</Field>
        <Refusal error={error} />
        <DialogButtons>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="solid" disabled={!name.trim() || wrong !== undefined}>
            Draw it up
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  )
}

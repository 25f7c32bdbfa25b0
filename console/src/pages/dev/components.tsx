// Every part of the interface in both themes: the place where the style stays
// one. It is not in production builds.
import { Sparkles, Trash2 } from 'lucide-react'
import { useState } from 'react'
import { ApiError } from '@/api/client'
import { lineDiff } from '@/format/diff'
import { Button } from '@/ui/button'
import { Calibration } from '@/ui/calibration'
import { IntervalPlot, RangePlot, Shares, SignedBar, Spark, Trend } from '@/ui/charts'
import { Diff } from '@/ui/diff'
import { Explained, Pop } from '@/ui/explain'
import { Check, Field, Input, SearchField, Select } from '@/ui/field'
import { Kbd } from '@/ui/kbd'
import { Page } from '@/ui/page'
import { Avatar, Badge, Bar, Card, Code, CopyId, Dot, Rows } from '@/ui/parts'
import { Empty, Failure, Refusal, SkeletonRows } from '@/ui/states'
import { Segmented } from '@/ui/tabs'
import { Tile, Tiles } from '@/ui/tile'

const tones = ['view', 'cart', 'order', 'product', 'decision', 'delivery', 'person', 'answer', 'other'] as const
const colours = ['bg', 'surface', 'sunken', 'line', 'line-strong', 'text', 'muted', 'accent', 'accent-soft', 'solid', 'good', 'warn', 'bad', 'live']
const lift = { value: 0.42, low: 0.27, high: 0.57, treated: 17_810, holdout: 921, unit: 'value per person' }
const refusal = new ApiError({ title: 'The config has moved on', status: 409, detail: 'Somebody applied version 15 since you began from 14.', requestId: 'rq_81fa20' })

export function Components() {
  return (
    <Page title="Components" purpose="Every part, in both themes">
      <div className="grid gap-4 lg:grid-cols-2">
        {['light', 'dark'].map((theme) => (
          <div key={theme} data-theme={theme} className="space-y-4 rounded-card bg-bg p-4 text-text">
            <Parts />
          </div>
        ))}
      </div>
    </Page>
  )
}

function Parts() {
  const [kind, setKind] = useState<'all' | 'some'>('all')
  const [on, setOn] = useState(true)
  const [text, setText] = useState('')
  return (
    <>
      <Tiles>
        <Tile label="Lift over the holdout" value="+0.42" sub="95 % interval +0.27 to +0.57" explain={<p>What it means.</p>} />
        <Tile label="Events per second" value="4.2" sub="14,478 in the last hour" explain={<p>What it means.</p>} aside={<Spark values={[3, 5, 4, 7, 6, 9, 8]} label="Events" />} />
      </Tiles>
      <Card title="Buttons" note="One solid button a page">
        <div className="flex flex-wrap gap-2">
          <Button look="solid" icon={<Sparkles size={14} />}>
            Preview decision
          </Button>
          <Button>Cancel</Button>
          <Button look="ghost">Clear</Button>
          <Button look="danger" icon={<Trash2 size={14} />}>
            Erase
          </Button>
          <Button busy>Saving</Button>
          <Button disabled>Off</Button>
          <Button size="small">Small</Button>
          <Kbd>⌘K</Kbd>
        </div>
      </Card>
      <Card title="Fields">
        <div className="grid gap-3 md:grid-cols-2">
          <Field label="Name" hint="It stands in the audit.">
            {(id) => <Input id={id} className="w-full" />}
          </Field>
          <Field label="Id" error="There is already one called web.">
            {(id) => <Input id={id} defaultValue="web" aria-invalid className="w-full" />}
          </Field>
          <SearchField label="Search" value={text} onChange={setText} />
          <Select aria-label="Placement">
            <option>All placements</option>
          </Select>
          <Segmented label="Kinds" options={[{ value: 'all', label: 'all' }, { value: 'some', label: 'some' }]} value={kind} onChange={setKind} />
          <Check checked={on} onChange={setOn}>
            Decisions and deliveries
          </Check>
        </div>
      </Card>
      <Card title="Marks">
        <div className="flex flex-wrap items-center gap-3">
          {(['plain', 'accent', 'good', 'warn', 'bad'] as const).map((look) => (
            <Badge key={look} look={look}>
              {look}
            </Badge>
          ))}
          <Avatar name="Ingrid Halvorsen" />
          <Avatar name="" />
          <CopyId id="p_hr2xhknykxt15bd02rbdeyppab" className="max-w-[140px]!" />
          <Explained title="A number" trigger="explained">
            What it means.
          </Explained>
          <Pop title="A panel" trigger={<Button size="small">opens a panel</Button>}>
            It floats above everything else.
          </Pop>
          {tones.map((tone) => (
            <span key={tone} className="flex items-center gap-1.5">
              <Dot tone={tone} />
              {tone}
            </span>
          ))}
        </div>
        <div className="mt-4 flex flex-wrap gap-2">
          {colours.map((name) => (
            <span key={name} className="flex items-center gap-1.5 text-meta text-muted">
              <span className="size-5 rounded-sm border border-line" style={{ background: `var(--${name})` }} />
              {name}
            </span>
          ))}
        </div>
      </Card>
      <Card title="Charts">
        <div className="space-y-3">
          <IntervalPlot interval={lift} span={0.6} label="A lift" />
          <SignedBar value={0.3} span={0.5} />
          <SignedBar value={-0.2} span={0.5} />
          <Bar share={0.62} />
          <RangePlot from={0} to={90} at={38} low={14} high={87} label="Runs out in 38 days, 14 to 87" />
          <Shares label="Where people stand" parts={[{ name: 'took note', value: 41, ink: 'bg-cart' }, { name: 'reached', value: 22, ink: 'bg-view' }, { name: 'cannot be reached', value: 4, ink: 'bg-order' }]} write={String} />
          <Trend label="Size" points={[3, 5, 4, 8, 9].map((value, i) => ({ at: i, value, low: value - 1, high: value + 1 }))} write={String} writeTime={(at) => `day ${at}`} />
          <Calibration points={[0.1, 0.3, 0.5, 0.8].map((predicted, i) => ({ predicted, actual: predicted * (i % 2 ? 1.1 : 0.9), low: predicted * 0.7, high: predicted * 1.3, count: 200 }))} write={(n) => n.toFixed(1)} of="decision" />
        </div>
      </Card>
      <Card title="Texts">
        <Rows rows={[{ name: 'Orders, 365 d', value: '9' }, { name: 'Favourite style', value: 'Islay, peated' }]} />
        <Code label="Code" text={'kind: placement\nid: home_hero'} className="my-3" />
        <Diff label="A change" lines={lineDiff('slots: 1\ncost: 0.02\n', 'slots: 2\ncost: 0.02\n')} />
      </Card>
      <Card title="States">
        <Refusal error={refusal} />
        <Empty title="Nobody is known yet">People appear here with their first event.</Empty>
        <Failure error={refusal} retry={() => {}} />
        <SkeletonRows rows={3} />
      </Card>
    </>
  )
}

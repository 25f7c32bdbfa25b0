import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { Coffee, Trash2 } from 'lucide-react'
import { useState } from 'react'
import { del, put } from '@/api/client'
import { demoQuery } from '@/api/queries'
import { useMay } from '@/shell/session'
import { Button } from '@/ui/button'
import { Confirm } from '@/ui/dialog'
import { Pop } from '@/ui/explain'
import { Segmented } from '@/ui/tabs'
import { useToast } from '@/ui/toast'

const speeds = [1, 10, 60, 600]

/** The demo world's speed, and the way out of it. */
export function DemoControl() {
  const client = useQueryClient()
  const toast = useToast()
  const may = useMay()
  const demo = useQuery(demoQuery).data
  const [removing, setRemoving] = useState(false)
  const speed = useMutation({
    mutationFn: (next: number) => put('/v1/demo', { speed: next }),
    onSettled: () => client.invalidateQueries({ queryKey: demoQuery.queryKey }),
    onError: toast.fail,
  })
  const current = speed.isPending ? speed.variables : (demo?.speed ?? 1)
  return (
    <>
      <Pop
        title="Northbean Coffee, the demo world"
        trigger={
          <Button icon={<Coffee size={14} aria-hidden />}>
            Demo world{demo?.speed && demo.speed !== 1 ? <span className="text-muted tabular-nums">{demo.speed}×</span> : null}
          </Button>
        }
      >
        <p className="mb-3 text-muted">Simulated shoppers use the public API as real clients would. Faster means more of their days pass in one of yours.</p>
        {may.admin ? (
          <div className="space-y-3">
            <div>
              <p className="mb-1 text-meta text-muted">Speed</p>
              <Segmented label="Speed" options={[...new Set([...speeds, current])].sort((a, b) => a - b).map((s) => ({ value: String(s), label: `${s}×` }))} value={String(current)} onChange={(value) => speed.mutate(Number(value))} />
            </div>
            <Button look="ghost" onClick={() => setRemoving(true)} icon={<Trash2 size={14} aria-hidden />}>
              Remove the demo data
            </Button>
          </div>
        ) : (
          <p className="text-meta text-muted">An admin can change its speed or remove it.</p>
        )}
      </Pop>
      <Confirm
        open={removing}
        onClose={() => setRemoving(false)}
        title="Remove the demo world?"
        verb="Remove demo data"
        onConfirm={async () => {
          await del('/v1/demo')
          toast.say('The demo world is being removed')
          await client.invalidateQueries()
        }}
      >
        All demo people, their events, decisions and config documents are erased. What came from your own sources stays.
      </Confirm>
    </>
  )
}

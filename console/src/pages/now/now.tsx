import { useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { useState } from 'react'
import { overviewQuery } from '@/api/shell'
import { duration } from '@/format/time'
import { Page } from '@/ui/page'
import { Failure, SkeletonRows } from '@/ui/states'
import { TableCard } from '@/ui/table'
import { TileSkeleton } from '@/ui/tile'
import { DemoControl } from './demo'
import { Doors, useFirstEvent } from './doors'
import { NeedsYou } from './needs'
import { LiveStream } from './stream'
import { NowTiles } from './tiles'
import { AtWork } from './working'

const route = getRouteApi('/')

/** What happens this second, and what waits for a person. */
export function Now() {
  const { kind, q } = route.useSearch()
  const overview = useQuery(overviewQuery)
  const first = useFirstEvent()
  const [entered, setEntered] = useState(false)
  // Whoever arrived at an empty house stays at its door until they step in.
  const [arrivedEmpty, setArrivedEmpty] = useState(false)
  const data = overview.data
  if (data && data.firstEventAt === null && !arrivedEmpty) setArrivedEmpty(true)
  const atDoor = arrivedEmpty && !entered

  return (
    <Page title="Now" fill={!atDoor} status={data && !atDoor ? `up ${duration(data.uptimeSeconds)} · ${data.version}` : undefined} actions={data?.demo && !atDoor ? <DemoControl /> : undefined}>
      {!data ? (
        overview.error ? (
          <Failure error={overview.error} retry={() => void overview.refetch()} />
        ) : (
          <>
            <TileSkeleton />
            <TableCard className="flex-1">
              <SkeletonRows rows={14} />
            </TableCard>
          </>
        )
      ) : atDoor ? (
        <Doors first={first} onEnter={() => setEntered(true)} />
      ) : (
        <>
          <NowTiles overview={data} />
          <div className="grid min-h-0 flex-1 gap-3 max-lg:flex max-lg:flex-col lg:grid-cols-[minmax(0,1fr)_280px]">
            <LiveStream kind={kind} q={q} />
            <div className="flex min-h-0 flex-col gap-3 max-lg:contents lg:overflow-y-auto">
              <NeedsYou needs={data.needsYou ?? []} />
              <AtWork />
            </div>
          </div>
        </>
      )}
    </Page>
  )
}

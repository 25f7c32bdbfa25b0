import type { ReactNode } from 'react'
import { Explained } from './explain'
import { Skeleton } from './states'

export interface TileProps {
  label: string
  value: ReactNode
  sub?: ReactNode
  explain: ReactNode
  aside?: ReactNode
}

export function Tile({ label, value, sub, explain, aside }: TileProps) {
  return (
    <div className="card flex justify-between gap-3 px-3.5 py-3">
      <div className="min-w-0">
        <Explained title={label} trigger={<span className="text-meta text-muted">{label}</span>}>
          {explain}
        </Explained>
        <div className="clip text-kpi font-semibold tracking-[-0.01em] tabular-nums">{value}</div>
        <div className="clip text-meta text-muted max-md:whitespace-normal">{sub ?? '\u00a0'}</div>
      </div>
      {aside && <div className="w-[42%] max-w-[120px] self-end max-md:hidden">{aside}</div>}
    </div>
  )
}

export function Tiles({ children }: { children: ReactNode }) {
  return <div className="grid grid-cols-2 gap-2.5 md:gap-3 lg:grid-cols-4">{children}</div>
}

export function TileSkeleton() {
  return (
    <Tiles>
      {[0, 1, 2, 3].map((i) => (
        <div key={i} className="card h-[94px] px-3.5 py-4">
          <Skeleton className="h-2.5 w-24" />
          <Skeleton className="mt-3 h-5 w-20" />
          <Skeleton className="mt-3 h-2.5 w-32" />
        </div>
      ))}
    </Tiles>
  )
}

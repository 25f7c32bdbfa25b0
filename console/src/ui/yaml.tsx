import { lazy, Suspense } from 'react'
import type { ConfigError } from '@/api/types'
import { Skeleton } from './states'

const Editor = lazy(() => import('./editor'))

/** The editor, fetched when it is first needed. */
export function YamlEditor(props: { label: string; value: string; onChange?: (value: string) => void; errors?: ConfigError[]; className?: string }) {
  return (
    <Suspense fallback={<Skeleton className={props.className} />}>
      <Editor {...props} />
    </Suspense>
  )
}

import { lazy, Suspense, type ComponentProps } from 'react'
import { Skeleton } from './states'

const Editor = lazy(() => import('./editor'))

/** The editor, fetched when it is first needed. */
export function YamlEditor(props: ComponentProps<typeof Editor>) {
  return (
    <Suspense fallback={<Skeleton className={props.className} />}>
      <Editor {...props} />
    </Suspense>
  )
}

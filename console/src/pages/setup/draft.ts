import { useCallback, useEffect, useState } from 'react'

interface Draft {
  yaml: string
  /** The config version the draft began from. */
  base: number
}

const key = (kind: string, id: string) => `rapport.draft.${kind}/${id}`

function read(kind: string, id: string): Draft | undefined {
  try {
    const draft = JSON.parse(sessionStorage.getItem(key(kind, id)) ?? 'null') as Draft | null
    return draft && typeof draft.yaml === 'string' && typeof draft.base === 'number' ? draft : undefined
  } catch {
    return undefined
  }
}

/** An unpublished text, kept through reloads and ended sessions until it is published or dropped. */
export function useDraft(kind: string, id: string): [Draft | undefined, (draft: Draft | undefined) => void] {
  const [draft, setDraft] = useState(() => read(kind, id))
  useEffect(() => setDraft(read(kind, id)), [kind, id])
  const keep = useCallback(
    (next: Draft | undefined) => {
      setDraft(next)
      try {
        if (next) sessionStorage.setItem(key(kind, id), JSON.stringify(next))
        else sessionStorage.removeItem(key(kind, id))
      } catch {
        // Without storage the draft lives as long as the page.
      }
    },
    [kind, id],
  )
  return [draft, keep]
}

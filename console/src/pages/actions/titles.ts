import { useQuery } from '@tanstack/react-query'
import { useMemo } from 'react'
import { actionsQuery } from '@/api/queries'

/** What actions are called by their content, by id; people know them by that. */
export function useTitles(): (id: string | undefined) => string {
  const actions = useQuery({ ...actionsQuery, staleTime: 30_000 }).data
  return useMemo(() => {
    const titles = new Map((actions ?? []).map((action) => [action.id, action.title]))
    return (id) => (id === undefined ? '' : titles.get(id) || id)
  }, [actions])
}

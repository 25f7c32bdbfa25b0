import { useQuery } from '@tanstack/react-query'
import { overviewQuery } from '@/api/shell'

/** The deployment's currency, if it has one. */
export const useCurrency = (): string | undefined => useQuery({ ...overviewQuery, select: (overview) => overview.currency }).data

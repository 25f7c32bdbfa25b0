import { infiniteQueryOptions, keepPreviousData, queryOptions } from '@tanstack/react-query'
import { toDate } from '@/format/time'
import { get, post } from './client'
import { list } from './shell'
import type {
  Artifact, HeldValue, Portfolio, Proposal, ProposalDetail, Review, Rollout, RolloutDevice, Affected, CaptureJob, ItemsPage, Item, ModelPage, Recall, Scores, Segment, SegmentHistory, SegmentMembers, SegmentOverlap, SegmentPreview, Series,
  Action, AuditEntry, Explanation, FleetReport, Product, Config, ConfigDocument, ConfigField, ConfigVersion, ConfigPlan, DecisionsPage, Deliveries, Demo,
  Identity, Job, PeoplePage, Person, Placement, QuarantinePage, Source, System,
  Timeline, Token, RecallStatus, RecallPeople, PersonSending, LearningHealth, Insights, InsightStream, Channels, Suppressions,
} from './types'

const auditPage = 200

const enc = encodeURIComponent

export const demoQuery = queryOptions({
  queryKey: ['demo'],
  queryFn: ({ signal }) => get<Demo>('/v1/demo', { signal }),
})

/** Everybody, those a search finds, or those in an audience. */
export const peopleQuery = (q: string, segment = '') =>
  infiniteQueryOptions({
    queryKey: ['people', q, segment],
    queryFn: async ({ pageParam, signal }): Promise<PeoplePage> => {
      if (!segment) return get<PeoplePage>('/v1/people', { query: { q, limit: 100, after: pageParam }, signal })
      const { people, next, size } = await get<SegmentMembers>(`/v1/segments/${enc(segment)}/people`, { query: { limit: 100, after: pageParam }, signal })
      return { people, next, total: size }
    },
    initialPageParam: '',
    getNextPageParam: (page) => page.next || undefined,
    placeholderData: keepPreviousData,
  })

export const personQuery = (ref: string) =>
  queryOptions({ queryKey: ['person', ref], queryFn: ({ signal }) => get<Person>(`/v1/people/${enc(ref)}`, { signal }) })

export const timelineQuery = (ref: string, system: boolean) =>
  infiniteQueryOptions({
    queryKey: ['person', ref, 'timeline', system],
    queryFn: ({ pageParam, signal }) =>
      get<Timeline>(`/v1/people/${enc(ref)}/timeline`, {
        query: { limit: 50, before: pageParam, include: system ? 'system' : undefined },
        signal,
      }),
    initialPageParam: '',
    getNextPageParam: (page) => page.next || undefined,
    placeholderData: keepPreviousData,
  })

export const identityQuery = (ref: string) =>
  queryOptions({
    queryKey: ['person', ref, 'identity'],
    queryFn: ({ signal }) => get<Identity>(`/v1/people/${enc(ref)}/identity`, { signal }),
  })

export const jobQuery = (id: string) =>
  queryOptions({ queryKey: ['job', id], queryFn: ({ signal }) => get<Job>(`/v1/jobs/${enc(id)}`, { signal }) })

export interface DecisionFilter {
  placement?: string
  action?: string
  outcome?: string
  person?: string
}

export const decisionsQuery = (filter: DecisionFilter) =>
  infiniteQueryOptions({
    queryKey: ['decisions', filter],
    queryFn: ({ pageParam, signal }) =>
      get<DecisionsPage>('/v1/decisions', { query: { ...filter, limit: 100, before: pageParam }, signal }),
    initialPageParam: '',
    getNextPageParam: (page) => page.next || undefined,
    placeholderData: keepPreviousData,
  })

export const explainQuery = (id: string) =>
  queryOptions({
    queryKey: ['decision', id, 'explain'],
    queryFn: ({ signal }) => get<Explanation>(`/v1/decisions/${enc(id)}/explain`, { signal }),
    // A decision is a fact: its explanation does not change.
    staleTime: Infinity,
  })

export const actionsQuery = queryOptions({
  queryKey: ['actions'],
  queryFn: async ({ signal }) => list<Action>(await get('/v1/actions', { signal }), 'actions'),
})

export const placementsQuery = queryOptions({
  queryKey: ['placements'],
  queryFn: async ({ signal }) => list<Placement>(await get('/v1/placements', { signal }), 'placements'),
})

export const sourcesQuery = queryOptions({
  queryKey: ['sources'],
  queryFn: async ({ signal }) => list<Source>(await get('/v1/sources', { signal }), 'sources'),
})

export const quarantineQuery = (filter: { source?: string; event?: string }) =>
  infiniteQueryOptions({
    queryKey: ['quarantine', filter],
    queryFn: ({ pageParam, signal }) =>
      get<QuarantinePage>('/v1/quarantine', { query: { ...filter, limit: 100, after: pageParam }, signal }),
    initialPageParam: '',
    getNextPageParam: (page) => page.next || undefined,
    placeholderData: keepPreviousData,
  })

export const configQuery = queryOptions({
  queryKey: ['config'],
  queryFn: ({ signal }) => get<Config>('/v1/config', { signal }),
})

export const documentQuery = (kind: string, id: string) =>
  queryOptions({
    queryKey: ['config', kind, id],
    queryFn: ({ signal }) => get<ConfigDocument>(`/v1/config/${enc(kind)}/${enc(id)}`, { signal }),
  })

export const documentHistoryQuery = (kind: string, id: string) =>
  queryOptions({
    queryKey: ['config', kind, id, 'history'],
    queryFn: async ({ signal }) =>
      list<ConfigVersion>(await get(`/v1/config/${enc(kind)}/${enc(id)}/history`, { signal }), 'versions'),
  })

export const configHistoryQuery = queryOptions({
  queryKey: ['config', 'history'],
  queryFn: async ({ signal }) => list<ConfigVersion>(await get('/v1/config/history', { signal }), 'versions'),
})

/** What one version changed. */
export const versionQuery = (version: number) =>
  queryOptions({
    queryKey: ['config', 'version', version],
    queryFn: ({ signal }) => get<ConfigPlan>(`/v1/config/history/${version}`, { signal }),
    staleTime: Infinity,
  })

export const configKindsQuery = queryOptions({
  queryKey: ['config', 'kinds'],
  queryFn: async ({ signal }) => list<ConfigField>(await get('/v1/config/kinds', { signal }), 'kinds'),
  staleTime: Infinity,
})

export const deliveriesQuery = (status: string) =>
  queryOptions({
    queryKey: ['deliveries', status],
    queryFn: ({ signal }) => get<Deliveries>('/v1/deliveries', { query: { status, limit: 500 }, signal }),
    placeholderData: keepPreviousData,
  })

export const tokensQuery = queryOptions({
  queryKey: ['tokens'],
  queryFn: async ({ signal }) => list<Token>(await get('/v1/tokens', { signal }), 'tokens'),
})

export const auditQuery = infiniteQueryOptions({
  queryKey: ['audit'],
  queryFn: async ({ pageParam, signal }) =>
    list<AuditEntry>(await get('/v1/audit', { query: { limit: auditPage, before: pageParam }, signal }), 'entries'),
  initialPageParam: '',
  getNextPageParam: (page) => {
    const last = page[page.length - 1]
    return last && page.length >= auditPage ? toDate(last.time).toISOString() : undefined
  },
})

export const systemQuery = queryOptions({
  queryKey: ['system'],
  queryFn: ({ signal }) => get<System>('/v1/system', { signal }),
  refetchInterval: 3000,
})

export const segmentsQuery = queryOptions({
  queryKey: ['segments'],
  queryFn: async ({ signal }) => list<Segment>(await get('/v1/segments', { signal }), 'segments'),
  refetchInterval: 5000,
})

export const membersQuery = (id: string) =>
  queryOptions({ queryKey: ['segments', id, 'people'], queryFn: ({ signal }) => get<SegmentMembers>(`/v1/segments/${enc(id)}/people`, { query: { limit: 12 }, signal }) })

export const segmentHistoryQuery = (id: string) =>
  queryOptions({ queryKey: ['segments', id, 'history'], queryFn: ({ signal }) => get<SegmentHistory>(`/v1/segments/${enc(id)}/history`, { signal }), refetchInterval: 30_000 })

/** What a segment shares with others, one call each: the server compares two at a time. */
export const overlapQuery = (id: string, others: string[]) =>
  queryOptions({
    queryKey: ['segments', id, 'overlap', others],
    queryFn: ({ signal }) => Promise.all(others.map((other) => get<SegmentOverlap>(`/v1/segments/${enc(id)}/overlap/${enc(other)}`, { signal }))),
    placeholderData: keepPreviousData,
  })

export const segmentPreviewQuery = (when: string) =>
  queryOptions({
    queryKey: ['segment preview', when],
    queryFn: () => post<SegmentPreview>('/v1/segments/preview', { when }),
    placeholderData: keepPreviousData,
    retry: false,
    staleTime: 30_000,
  })

export const itemsQuery = (filter: { gtin?: string; state?: string; where?: string }) =>
  infiniteQueryOptions({
    queryKey: ['items', filter],
    queryFn: ({ pageParam, signal }) => get<ItemsPage>('/v1/items', { query: { ...filter, limit: 100, after: pageParam }, signal }),
    initialPageParam: '',
    getNextPageParam: (page) => page.next || undefined,
    placeholderData: keepPreviousData,
  })

export const itemQuery = (id: string) =>
  queryOptions({ queryKey: ['item', id], queryFn: ({ signal }) => get<Item>(`/v1/items/${enc(id)}`, { signal }), refetchInterval: 5000 })

export const itemTimelineQuery = (id: string) =>
  queryOptions({ queryKey: ['item', id, 'timeline'], queryFn: ({ signal }) => get<Timeline>(`/v1/items/${enc(id)}/timeline`, { query: { limit: 100 }, signal }) })

export const seriesQuery = (id: string, reading: string, step: string) =>
  queryOptions({
    queryKey: ['item', id, 'series', reading, step],
    queryFn: ({ signal }) => get<Series>(`/v1/items/${enc(id)}/series`, { query: { reading, step }, signal }),
    placeholderData: keepPreviousData,
  })

export const recallsQuery = queryOptions({
  queryKey: ['recalls'],
  queryFn: async ({ signal }) => list<Recall>(await get('/v1/recalls', { signal }), 'recalls'),
  refetchInterval: 5000,
})

export const recallQuery = (id: string) =>
  queryOptions({ queryKey: ['recalls', id], queryFn: ({ signal }) => get<RecallStatus>(`/v1/recalls/${enc(id)}`, { signal }), refetchInterval: 3000 })

export const recallPeopleQuery = (id: string, state?: string) =>
  infiniteQueryOptions({
    queryKey: ['recalls', id, 'people', state],
    queryFn: ({ pageParam, signal }) => get<RecallPeople>(`/v1/recalls/${enc(id)}/people`, { query: { state, limit: 200, after: pageParam }, signal }),
    initialPageParam: '',
    getNextPageParam: (page) => page.next || undefined,
    placeholderData: keepPreviousData,
    refetchInterval: 5000,
  })

export const affectedQuery = (of: string) =>
  queryOptions({ queryKey: ['recalls', 'affected', of], queryFn: ({ signal }) => get<Affected>('/v1/recalls/affected', { query: { of, limit: 1000 }, signal }), enabled: of !== '', retry: false })

export const capturesQuery = queryOptions({
  queryKey: ['captures'],
  queryFn: async ({ signal }) => (await get<CaptureJob[] | null>('/epcis/capture', { query: { perPage: 200 }, signal })) ?? [],
  refetchInterval: 10_000,
})

export const scoresQuery = (ref: string) =>
  queryOptions({ queryKey: ['person', ref, 'scores'], queryFn: ({ signal }) => get<Scores>(`/v1/people/${enc(ref)}/scores`, { signal }) })

export const sendingQuery = (ref: string) =>
  queryOptions({ queryKey: ['person', ref, 'sending'], queryFn: ({ signal }) => get<PersonSending>(`/v1/people/${enc(ref)}/sending`, { signal }), retry: false })

export const learningQuery = (placement: string) =>
  queryOptions({ queryKey: ['learning', placement], queryFn: ({ signal }) => get<LearningHealth>('/v1/learning', { query: { placement }, signal }), placeholderData: keepPreviousData, refetchInterval: 15_000 })

export const insightsQuery = (event: string, within: string) =>
  queryOptions({
    queryKey: ['insights', event, within],
    queryFn: ({ signal }) => get<Insights>('/v1/insights', { query: { event, within }, signal }),
    staleTime: 300_000,
    retry: false,
    placeholderData: keepPreviousData,
  })

export const insightStreamQuery = queryOptions({ queryKey: ['insights', 'stream'], queryFn: ({ signal }) => get<InsightStream>('/v1/insights/stream', { signal }), staleTime: 300_000, retry: false })

export const channelsQuery = queryOptions({ queryKey: ['channels'], queryFn: ({ signal }) => get<Channels>('/v1/channels', { signal }), refetchInterval: 10_000 })

export const suppressionsQuery = (filter: { reason?: string; address?: string }) =>
  infiniteQueryOptions({
    queryKey: ['suppressions', filter],
    queryFn: ({ pageParam, signal }) => get<Suppressions>('/v1/suppressions', { query: { ...filter, limit: 200, after: pageParam }, signal }),
    initialPageParam: '',
    getNextPageParam: (page) => page.next || undefined,
    placeholderData: keepPreviousData,
  })

export const modelsQuery = queryOptions({
  queryKey: ['models'],
  queryFn: async ({ signal }) => list<ModelPage>(await get('/v1/models', { signal }), 'models'),
  refetchInterval: 5000,
})

export const reviewsQuery = queryOptions({
  queryKey: ['identity', 'reviews'],
  queryFn: ({ signal }) => get<{ reviews: Review[] | null; total: number }>('/v1/identity/reviews', { query: { limit: 200 }, signal }),
  refetchInterval: 10_000,
})

export const heldValuesQuery = queryOptions({
  queryKey: ['identity', 'held'],
  queryFn: async ({ signal }) => list<HeldValue>(await get('/v1/identity/quarantine', { signal }), 'values'),
})

export const portfolioQuery = (filter: { placement?: string; action?: string; state?: string }) =>
  queryOptions({
    queryKey: ['portfolio', filter],
    queryFn: ({ signal }) => get<Portfolio>('/v1/portfolio', { query: { ...filter, limit: 5000 }, signal }),
    refetchInterval: 15_000,
    placeholderData: keepPreviousData,
  })

export const rolloutsQuery = queryOptions({
  queryKey: ['rollouts'],
  queryFn: async ({ signal }) => list<Rollout>(await get('/v1/rollouts', { signal }), 'rollouts'),
  refetchInterval: 5000,
})

export const rolloutQuery = (id: string) =>
  queryOptions({ queryKey: ['rollouts', id], queryFn: ({ signal }) => get<Rollout>(`/v1/rollouts/${enc(id)}`, { signal }), refetchInterval: 3000 })

export const rolloutDevicesQuery = (id: string) =>
  queryOptions({
    queryKey: ['rollouts', id, 'devices'],
    queryFn: async ({ signal }) => list<RolloutDevice>(await get(`/v1/rollouts/${enc(id)}/devices`, { signal }), 'devices'),
    refetchInterval: 5000,
  })

export const artifactsQuery = queryOptions({
  queryKey: ['artifacts'],
  queryFn: async ({ signal }) => list<Artifact>(await get('/v1/artifacts', { signal }), 'artifacts'),
})

export const proposalsQuery = queryOptions({
  queryKey: ['config', 'proposals'],
  queryFn: async ({ signal }) => list<Proposal>(await get('/v1/config/proposals', { query: { all: true }, signal }), 'proposals'),
  refetchInterval: 10_000,
})

export const proposalQuery = (id: number) =>
  queryOptions({ queryKey: ['config', 'proposals', id], queryFn: ({ signal }) => get<ProposalDetail>(`/v1/config/proposals/${id}`, { signal }) })

export const fleetQuery = (days: string, gtin: string) =>
  queryOptions({ queryKey: ['fleet', days, gtin], queryFn: ({ signal }) => get<FleetReport>('/v1/fleet', { query: { days, gtin }, signal }), placeholderData: keepPreviousData, refetchInterval: 30_000 })

export const productsQuery = queryOptions({ queryKey: ['products'], queryFn: async ({ signal }) => list<Product>(await get('/v1/products', { signal }), 'products') })

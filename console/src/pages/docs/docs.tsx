import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { get } from '@/api/client'
import { cx } from '@/ui/cx'
import { Page } from '@/ui/page'
import { Loaded } from '@/ui/states'
import { Markdown } from './markdown'

const route = getRouteApi('/docs/$')

const guide: [string, string][] = [
  ['guide/start', 'Ten minutes to a decision'],
  ['guide/people', 'People'],
  ['guide/audiences', 'Audiences'],
  ['guide/decisions', 'Decisions and why'],
  ['guide/actions', 'Actions, board, portfolio'],
  ['guide/products', 'Products'],
  ['guide/setup', 'Setup and review'],
]

const reference: [string, string][] = [
  ['conditions', 'Conditions'],
  ['segments', 'Segments'],
  ['computed-traits', 'Computed traits'],
  ['decisions', 'Decisions'],
  ['predictions', 'Predictions'],
  ['identity', 'Identity'],
  ['channels', 'Channels'],
  ['items', 'Items'],
  ['updates', 'Updates'],
  ['supply-chain', 'Supply chain'],
  ['maintenance', 'Maintenance of items'],
  ['import', 'Import'],
  ['config', 'Config'],
  ['operations', 'Operations'],
]

/** The documentation that ships with this very version. */
export function Docs() {
  const { _splat: name = '' } = route.useParams()
  const page = name.replace(/\.md$/, '').replace(/\/$/, '') || 'guide/start'
  const query = useQuery({ queryKey: ['docs', page], queryFn: ({ signal }) => get<string>(`/docs/${page.split('/').map(encodeURIComponent).join('/')}.md`, { signal }), staleTime: Infinity })
  const title = /^# +(.*)$/m.exec(query.data ?? '')?.[1] ?? 'Documentation'
  return (
    <Page title={title}>
      <div className="grid items-start gap-6 lg:grid-cols-[200px_minmax(0,1fr)]">
        <nav aria-label="Documentation" className="space-y-3 max-lg:order-2">
          <Pages title="Guide" pages={guide} page={page} />
          <Pages title="Reference" pages={reference} page={page} />
        </nav>
        <article className="card max-w-[760px] p-5 max-lg:order-1">
          <Loaded query={query}>{(text) => <Markdown text={text} page={page} />}</Loaded>
        </article>
      </div>
    </Page>
  )
}

function Pages({ title, pages, page }: { title: string; pages: [string, string][]; page: string }) {
  return (
    <section>
      <h2 className="mb-1 font-semibold">{title}</h2>
      <ul>
        {pages.map(([name, label]) => (
          <li key={name}>
            <Link to="/docs/$" params={{ _splat: name }} aria-current={name === page ? 'page' : undefined} className={cx('block py-1', name === page ? 'font-medium text-accent' : 'text-muted hover:text-text')}>
              {label}
            </Link>
          </li>
        ))}
      </ul>
    </section>
  )
}

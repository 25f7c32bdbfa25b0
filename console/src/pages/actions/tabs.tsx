import { Tabs } from '@/ui/tabs'

export function ActionTabs() {
  return (
    <Tabs
      label="Actions"
      tabs={[
        { label: 'Actions', link: { to: '/actions' } },
        { label: 'Placements', link: { to: '/placements' } },
        { label: 'Board', link: { to: '/board' } },
        { label: 'Portfolio', link: { to: '/portfolio' } },
        { label: 'Learning', link: { to: '/learning' } },
      ]}
    />
  )
}

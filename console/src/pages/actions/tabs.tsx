import { Tabs } from '@/ui/tabs'

export function ActionTabs() {
  return (
    <Tabs
      label="Actions"
      tabs={[
        { label: 'Actions', link: { to: '/actions' } },
        { label: 'Placements', link: { to: '/placements' } },
      ]}
    />
  )
}

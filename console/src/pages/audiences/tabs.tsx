import { Tabs } from '@/ui/tabs'

export const AudienceTabs = () => (
  <Tabs
    label="Audiences"
    tabs={[
      { label: 'Audiences', exact: true, link: { to: '/audiences' } },
      { label: 'Insights', link: { to: '/insights' } },
    ]}
  />
)

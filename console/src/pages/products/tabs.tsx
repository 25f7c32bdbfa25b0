import { Tabs } from '@/ui/tabs'

export const ProductTabs = () => (
  <Tabs
    label="Products"
    tabs={[
      { label: 'Items', exact: true, link: { to: '/products' } },
      { label: 'Fleet', link: { to: '/products/fleet' } },
      { label: 'Rollouts', link: { to: '/products/rollouts' } },
      { label: 'Recalls', link: { to: '/products/recalls' } },
      { label: 'Supply chain', link: { to: '/products/supply-chain' } },
    ]}
  />
)

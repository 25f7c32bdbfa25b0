import type { ComponentProps } from 'react'
import { setupPages } from '@/shell/places'
import { Page } from '@/ui/page'
import { Tabs } from '@/ui/tabs'

/** A page of Setup: in a narrow window, where the rail is not, its neighbours stand on top. */
export function SetupPage({ children, ...page }: ComponentProps<typeof Page>) {
  return (
    <Page {...page}>
      <div className="md:hidden">
        <Tabs label="Setup" tabs={setupPages.map((place) => ({ label: place.label, link: { to: place.to } }))} />
      </div>
      {children}
    </Page>
  )
}

import { QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { ApiError } from './api/client'
import { makeRouter } from './router'
import './styles.css'

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5000,
      // A refusal stays a refusal; an absent or overloaded server comes back.
      retry: (failures, error) => (error instanceof ApiError && error.status >= 400 && error.status < 500 && error.status !== 429 ? false : failures < 2),
      retryDelay: (failures) => Math.min(500 * 2 ** failures, 4000),
    },
  },
})

// After an upgrade of the server the old page asks for files that are gone:
// one reload brings the new page.
window.addEventListener('vite:preloadError', (event) => {
  const reloaded = 'rapport.reloaded'
  if (Date.now() - Number(sessionStorage.getItem(reloaded) ?? 0) < 10_000) return
  event.preventDefault()
  sessionStorage.setItem(reloaded, String(Date.now()))
  location.reload()
})

const root = document.getElementById('root')
if (!root) throw new Error('index.html has no #root')
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <RouterProvider router={makeRouter(client)} />
    </QueryClientProvider>
  </StrictMode>,
)

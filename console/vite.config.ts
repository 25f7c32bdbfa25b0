import { fileURLToPath } from 'node:url'
import tailwindcss from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

// The API the development server passes calls on to; scripts/dev.mjs sets it.
const api = process.env.RAPPORT_URL ?? 'http://127.0.0.1:8080'

export default defineConfig({
  plugins: [react(), tailwindcss()],
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  server: {
    host: '127.0.0.1',
    proxy: Object.fromEntries(['/v1', '/health', '/openapi.json'].map((path) => [path, { target: api }])),
  },
  build: {
    target: 'es2022',
    // What Tailwind 4 itself asks for: nothing is written twice for browsers it does not run in.
    cssTarget: ['chrome111', 'safari16.4', 'firefox128'],
    manifest: true,
    // Everything is a file of its own: the content security policy allows no
    // inline script, and a data: font would be refused.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 700,
  },
  test: { include: ['src/**/*.test.ts', 'mock/**/*.test.ts'], environment: 'node' },
})

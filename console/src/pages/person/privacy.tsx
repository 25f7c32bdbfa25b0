import { useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { Download, Trash2 } from 'lucide-react'
import { useState } from 'react'
import { del, get } from '@/api/client'
import type { Job, Person } from '@/api/types'
import { download } from '@/format/csv'
import { called, mainIdentifier } from '@/format/person'
import { useMay } from '@/shell/session'
import { Button } from '@/ui/button'
import { Confirm } from '@/ui/dialog'
import { Card } from '@/ui/parts'
import { useToast } from '@/ui/toast'
import { ConsentCard } from './facts'

/** The person's rights: what is known, handed over whole; and forgotten, everywhere. */
export function PrivacyTab({ person }: { person: Person }) {
  const may = useMay()
  const toast = useToast()
  const client = useQueryClient()
  const navigate = useNavigate()
  const [busy, setBusy] = useState(false)
  const [erasing, setErasing] = useState(false)
  const typed = mainIdentifier(person.identifiers)?.value ?? person.id

  const save = async () => {
    setBusy(true)
    try {
      const all = await get<unknown>(`/v1/people/${encodeURIComponent(person.id)}/export`)
      download(`${person.id}.json`, 'application/json', JSON.stringify(all, null, 2))
    } catch (error) {
      toast.fail(error)
    } finally {
      setBusy(false)
    }
  }

  return (
    <div className="grid max-w-[960px] items-start gap-3 lg:grid-cols-2">
      <ConsentCard person={person} />
      <div className="space-y-3">
        <Card title="Hand over what is known">
          <p className="mb-3 text-muted">Profile, identifiers, consent with its history, and every event, as one JSON file.</p>
          <Button busy={busy} onClick={() => void save()} icon={<Download size={14} aria-hidden />}>
            Export as JSON
          </Button>
        </Card>
        <Card title="Forget this person">
          <p className="mb-3 text-muted">Profile, timeline, decisions and identifiers go at once; the log and backups follow within 30 days. It cannot be undone. Events that still arrive for these identifiers are refused.</p>
          <Button look="danger" disabled={!may.admin} title={may.admin ? undefined : 'Only an admin can erase a person'} onClick={() => setErasing(true)} icon={<Trash2 size={14} aria-hidden />}>
            Erase…
          </Button>
        </Card>
      </div>
      <Confirm
        open={erasing}
        onClose={() => setErasing(false)}
        title={`Erase ${called(person.name, person.id)}?`}
        verb="Erase for good"
        typed={typed}
        onConfirm={async () => {
          const job = await del<Job>(`/v1/people/${encodeURIComponent(person.id)}`)
          toast.say(`Erased. The copies follow under job ${job.id}`)
          void client.invalidateQueries({ queryKey: ['people'] })
          await navigate({ to: '/people' })
          client.removeQueries({ queryKey: ['person'] }) // once nobody shows them: what is shown would be asked for again
        }}
      >
        Everything known about one person is deleted from every copy: {person.identifiers.length} identifiers and their whole history.
      </Confirm>
    </div>
  )
}

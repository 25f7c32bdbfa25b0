import { useQuery, useQueryClient } from '@tanstack/react-query'
import { KeyRound, Plus } from 'lucide-react'
import { useState, type FormEvent } from 'react'
import { del, post } from '@/api/client'
import { tokensQuery } from '@/api/queries'
import type { NewToken, Role, Token } from '@/api/types'
import { day, toDate } from '@/format/time'
import { useMay } from '@/shell/session'
import { Button } from '@/ui/button'
import { Confirm, Dialog, DialogButtons } from '@/ui/dialog'
import { Field, Input, Select } from '@/ui/field'
import { Ago, Badge, Code } from '@/ui/parts'
import { Empty, Loaded, Refusal } from '@/ui/states'
import { Table, TableCard, type Column } from '@/ui/table'
import { useToast } from '@/ui/toast'
import { SetupPage } from './frame'

const roles: { value: Role; may: string }[] = [
  { value: 'viewer', may: 'sees people, decisions and figures' },
  { value: 'analyst', may: 'also exports and explains' },
  { value: 'marketer', may: 'also changes actions, policies and the rest of the config' },
  { value: 'admin', may: 'everything, tokens and erasure included' },
  { value: 'source', may: 'sends events and asks for decisions, nothing else' },
]

const ended = (token: Token) => Boolean(token.revokedAt) || (token.expiresAt ? toDate(token.expiresAt).getTime() < Date.now() : false)

/** Who may do what: one token for each person and program. */
export function Tokens() {
  const query = useQuery(tokensQuery)
  const client = useQueryClient()
  const toast = useToast()
  const may = useMay()
  const [adding, setAdding] = useState(false)
  const [revoking, setRevoking] = useState<Token>()
  const columns: Column<Token>[] = [
    {
      id: 'name',
      head: 'Token',
      cell: (token) => (
        <span className="flex items-center gap-2">
          <span className="clip font-medium">{token.name}</span>
          {token.revokedAt ? <Badge>revoked</Badge> : ended(token) ? <Badge>expired</Badge> : null}
        </span>
      ),
    },
    { id: 'role', head: 'Role', width: 'w-[100px]', cell: (token) => <span className="text-muted">{token.role}</span> },
    { id: 'by', head: 'Made by', from: 'md', width: 'w-[140px]', cell: (token) => <span className="text-muted">{token.createdBy}</span> },
    { id: 'created', head: 'Made', right: true, from: 'md', width: 'w-[100px]', cell: (token) => <Ago time={token.createdAt} suffix="ago" className="text-muted" /> },
    { id: 'expires', head: 'Ends', right: true, from: 'md', width: 'w-[110px]', cell: (token) => <span className="text-muted">{token.expiresAt ? day(token.expiresAt) : 'never'}</span> },
    {
      id: 'revoke',
      head: <span className="sr-only">Revoke</span>,
      right: true,
      width: 'w-[96px]',
      cell: (token) =>
        may.admin && !ended(token) ? (
          <Button size="small" look="ghost" aria-label={`Revoke ${token.name}`} onClick={() => setRevoking(token)}>
            Revoke
          </Button>
        ) : null,
    },
  ]
  return (
    <SetupPage
      title="Tokens"
      fill
      purpose="Stored as hashes; each shows its secret once"
      actions={
        may.admin && (
          <Button look="solid" icon={<Plus size={14} aria-hidden />} onClick={() => setAdding(true)}>
            New token
          </Button>
        )
      }
    >
      <TableCard>
        <Loaded query={query}>{(tokens) => <Table label="Tokens" columns={columns} rows={tokens} rowKey={(token) => token.id} empty={<Empty icon={<KeyRound size={18} />} title="No tokens" />} />}</Loaded>
      </TableCard>
      {adding && <NewTokenDialog onClose={() => setAdding(false)} />}
      <Confirm
        open={revoking !== undefined}
        onClose={() => setRevoking(undefined)}
        title={`Revoke ${revoking?.name}?`}
        verb="Revoke"
        onConfirm={async () => {
          await del(`/v1/tokens/${encodeURIComponent(revoking?.id ?? '')}`)
          toast.say(`${revoking?.name} is revoked`)
          await client.invalidateQueries({ queryKey: tokensQuery.queryKey })
        }}
      >
        It stops working at once, and so do the sessions that were begun with it. It cannot be brought back.
      </Confirm>
    </SetupPage>
  )
}

function NewTokenDialog({ onClose }: { onClose: () => void }) {
  const client = useQueryClient()
  const [name, setName] = useState('')
  const [role, setRole] = useState<Role>('viewer')
  const [life, setLife] = useState('90d')
  const [made, setMade] = useState<NewToken>()
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>()
  const submit = async (event: FormEvent) => {
    event.preventDefault()
    setBusy(true)
    setError(undefined)
    try {
      setMade(await post<NewToken>('/v1/tokens', { name, role, ...(life ? { expiresIn: life } : {}) }))
      await client.invalidateQueries({ queryKey: tokensQuery.queryKey })
    } catch (cause) {
      setError(cause)
    } finally {
      setBusy(false)
    }
  }
  if (made) {
    return (
      <Dialog open onClose={onClose} title={`${made.name} is ready`} note="Copy it now: it is stored as a hash, and nobody can show it again.">
        <Code label="The token" text={made.secret} />
        <DialogButtons>
          <Button look="solid" onClick={onClose}>
            I have copied it
          </Button>
        </DialogButtons>
      </Dialog>
    )
  }
  return (
    <Dialog open onClose={onClose} title="New token">
      <form onSubmit={(event) => void submit(event)} className="space-y-3">
        <Field label="Name" hint="Whose it is: a person or a program. It stands in the audit.">
          {(id) => <Input id={id} required autoFocus value={name} onChange={(event) => setName(event.target.value)} maxLength={100} autoComplete="off" className="w-full" />}
        </Field>
        <Field label="Role" hint={roles.find((r) => r.value === role)?.may}>
          {(id) => (
            <Select id={id} value={role} onChange={(event) => setRole(event.target.value as Role)} className="w-full">
              {roles.map((r) => (
                <option key={r.value}>{r.value}</option>
              ))}
            </Select>
          )}
        </Field>
        <Field label="Ends after">
          {(id) => (
            <Select id={id} value={life} onChange={(event) => setLife(event.target.value)} className="w-full">
              <option value="7d">7 days</option>
              <option value="30d">30 days</option>
              <option value="90d">90 days</option>
              <option value="365d">1 year</option>
              <option value="">Never</option>
            </Select>
          )}
        </Field>
        <Refusal error={error} />
        <DialogButtons>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" look="solid" busy={busy}>
            Make token
          </Button>
        </DialogButtons>
      </form>
    </Dialog>
  )
}

import { Dialog } from '@/ui/dialog'
import { Kbd } from '@/ui/kbd'
import { shortcuts } from './keys'

export default function Shortcuts({ onClose }: { onClose: () => void }) {
  return (
    <Dialog open onClose={onClose} title="Keyboard shortcuts">
      <div tabIndex={0} role="group" aria-label="Keys">
      <dl>
        {shortcuts.map((shortcut) => (
          <div key={shortcut.does} className="flex items-center justify-between border-b border-line py-1.5 last:border-0">
            <dt>{shortcut.does}</dt>
            <dd className="flex gap-1">
              {shortcut.keys.map((key) => (
                <Kbd key={key}>{key}</Kbd>
              ))}
            </dd>
          </div>
        ))}
      </dl>
      </div>
    </Dialog>
  )
}

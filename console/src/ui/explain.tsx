// What floats over a page: the browser's own popover, in its top layer, closed
// by Escape or a press elsewhere. Placed below its trigger, above where there is
// no room.
import { cloneElement, useEffect, useId, useLayoutEffect, useRef, useState, type ButtonHTMLAttributes, type MouseEvent, type PointerEvent, type ReactElement, type ReactNode } from 'react'

const gap = 6
const margin = 12

function place(float: HTMLElement, trigger: HTMLElement) {
  const at = trigger.getBoundingClientRect()
  const { offsetWidth: width, offsetHeight: height } = float
  const below = at.bottom + gap + height <= innerHeight - margin
  const top = below || at.top < innerHeight / 2 ? at.bottom + gap : at.top - gap - height
  float.style.top = `${Math.max(margin, Math.min(top, innerHeight - margin - height))}px`
  float.style.left = `${Math.max(margin, Math.min(at.left, innerWidth - margin - width))}px`
}

/** Opens by a press, and by a resting pointer where asked; `props` are for the trigger. */
function useFloat(onHover: boolean) {
  const id = useId()
  const [open, setOpen] = useState(false)
  const pinned = useRef(false)
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined)
  const trigger = useRef<HTMLButtonElement>(null)
  const float = useRef<HTMLSpanElement>(null)
  useEffect(() => () => clearTimeout(timer.current), [])
  useLayoutEffect(() => {
    const [box, button] = [float.current, trigger.current]
    if (!open || !box || !button) return
    box.showPopover()
    const again = () => place(box, button)
    again()
    const sized = new ResizeObserver(again)
    sized.observe(box)
    const onScroll = (event: Event) => event.target instanceof Node && !box.contains(event.target) && event.target.contains(button) && again()
    document.addEventListener('scroll', onScroll, { capture: true, passive: true })
    return () => {
      sized.disconnect()
      document.removeEventListener('scroll', onScroll, { capture: true })
    }
  }, [open])

  const later = (millis: number, run: () => void) => {
    clearTimeout(timer.current)
    timer.current = setTimeout(run, millis)
  }
  const hover = {
    onPointerEnter: (event: PointerEvent) => event.pointerType === 'mouse' && later(open ? 0 : 250, () => setOpen(true)),
    onPointerLeave: () => later(80, () => pinned.current || setOpen(false)),
  }
  const props = {
    ref: trigger,
    // The browser leaves the press on its own trigger to us.
    popoverTarget: open ? id : undefined,
    'aria-haspopup': 'dialog' as const,
    'aria-expanded': open,
    onClick: (event: MouseEvent) => {
      event.preventDefault()
      event.stopPropagation()
      clearTimeout(timer.current)
      const next = !open || (onHover && !pinned.current)
      pinned.current = next
      setOpen(next)
    },
    ...(onHover && hover),
  }
  const floating = (title: string, children: ReactNode) =>
    open && (
      <span
        ref={float}
        id={id}
        popover="auto"
        role="dialog"
        data-open=""
        aria-labelledby={`${id}-title`}
        onToggle={(event) => event.newState === 'closed' && ((pinned.current = false), setOpen(false))}
        onClick={(event) => event.stopPropagation()}
        {...(onHover && hover)}
        className="rise inset-auto m-0 max-w-[300px] rounded-card border border-line bg-surface p-3 text-left text-body font-normal whitespace-normal text-text shadow-float outline-none"
      >
        <span id={`${id}-title`} className="mb-1 block font-semibold">
          {title}
        </span>
        {children}
      </span>
    )
  return { props, floating }
}

/** What a number means: definition, window, freshness, size, interval. On hover, focus or tap. */
export function Explained({ title, children, trigger, className }: { title: string; children: ReactNode; trigger: ReactNode; className?: string }) {
  const { props, floating } = useFloat(true)
  return (
    <>
      <button type="button" {...props} className={className ?? 'cursor-help text-left decoration-dotted underline-offset-4 hover:underline'}>
        {trigger}
      </button>
      {floating(title, <span className="block space-y-1.5 text-muted">{children}</span>)}
    </>
  )
}

/** A panel that opens from a button. */
export function Pop({ trigger, title, children }: { trigger: ReactElement<ButtonHTMLAttributes<HTMLButtonElement>>; title: string; children: ReactNode }) {
  const { props, floating } = useFloat(false)
  return (
    <>
      {cloneElement(trigger, props)}
      {floating(title, children)}
    </>
  )
}

/** Whether a key press belongs to a field, an editor or a dialog rather than to the page. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false
  if (target.isContentEditable || target.shadowRoot) return true
  const field = target.tagName === 'INPUT' && ['checkbox', 'radio'].includes((target as HTMLInputElement).type) ? '' : target.tagName
  return /^(INPUT|TEXTAREA|SELECT)$/.test(field) || target.closest('[role=dialog]') !== null
}

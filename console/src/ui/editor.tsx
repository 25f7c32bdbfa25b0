import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands'
import { yaml } from '@codemirror/lang-yaml'
import { bracketMatching, HighlightStyle, indentOnInput, indentUnit, syntaxHighlighting } from '@codemirror/language'
import { lintGutter, setDiagnostics, type Diagnostic } from '@codemirror/lint'
import { EditorState, StateEffect, StateField } from '@codemirror/state'
import { Decoration, drawSelection, EditorView, type DecorationSet, highlightActiveLine, highlightSpecialChars, keymap, lineNumbers } from '@codemirror/view'
import { tags } from '@lezer/highlight'
import { useEffect, useRef } from 'react'
import type { ConfigError } from '@/api/types'

interface EditorProps {
  label: string
  value: string
  onChange?: (value: string) => void
  errors?: ConfigError[]
  /** A part of the text that is looked at elsewhere: its lines are marked and shown. */
  spot?: Spot
  /** Tells where the reader's cursor is, while it is in the text. */
  onCursor?: (offset: number | undefined) => void
  className?: string
}

export interface Spot {
  from: number
  to: number
}

/**
 * The YAML editor (JSON is YAML, too). It lives in a shadow root, where its
 * styles are adopted sheets: the content security policy allows no style tags.
 */
export default function Editor({ label, value, onChange, errors, spot, onCursor, className }: EditorProps) {
  const host = useRef<HTMLDivElement>(null)
  const view = useRef<EditorView>(null)
  const latest = useRef({ onChange, onCursor, value })
  // Texts told that did not come back yet: one that does while more was typed is
  // ours, and old; it must not take back what was typed since.
  const told = useRef<string[]>([])
  latest.current.onChange = onChange
  latest.current.onCursor = onCursor

  useEffect(() => {
    const box = host.current
    if (!box) return
    const root = box.shadowRoot ?? box.attachShadow({ mode: 'open', delegatesFocus: true })
    const editor = new EditorView({
      root,
      parent: root as unknown as Element,
      state: EditorState.create({
        doc: latest.current.value,
        extensions: [
          lineNumbers(),
          lintGutter(),
          history(),
          drawSelection(),
          highlightSpecialChars(),
          highlightActiveLine(),
          indentOnInput(),
          bracketMatching(),
          indentUnit.of('  '),
          yaml(),
          syntaxHighlighting(inks),
          looks,
          EditorView.lineWrapping,
          EditorState.readOnly.of(!latest.current.onChange),
          EditorView.contentAttributes.of({ 'aria-label': label, spellcheck: 'false', tabindex: '0' }),
          // Escape, then Tab, leaves the editor: the keyboard is never caught.
          keymap.of([indentWithTab, ...defaultKeymap, ...historyKeymap]),
          typeOver,
          spots,
          EditorView.updateListener.of((update) => {
            if (update.focusChanged || (update.selectionSet && update.view.hasFocus)) latest.current.onCursor?.(update.view.hasFocus ? update.state.selection.main.head : undefined)
            if (!update.docChanged) return
            latest.current.value = update.state.doc.toString()
            told.current.push(latest.current.value)
            latest.current.onChange?.(latest.current.value)
          }),
        ],
      }),
    })
    view.current = editor
    return () => {
      editor.destroy()
      view.current = null
    }
  }, [label])

  useEffect(() => {
    const editor = view.current
    if (!editor) return
    if (value === latest.current.value) {
      told.current = []
      return
    }
    const ours = told.current.indexOf(value)
    if (ours >= 0) {
      told.current.splice(0, ours + 1)
      return
    }
    latest.current.value = value
    editor.dispatch({ changes: difference(editor.state.doc.toString(), value) })
    told.current = []
  }, [value])

  useEffect(() => {
    const editor = view.current
    if (!editor) return
    const { length } = editor.state.doc
    const shown = spot && { from: Math.min(spot.from, length), to: Math.min(spot.to, length) }
    editor.dispatch({ effects: [mark.of(shown), ...(shown && !editor.hasFocus ? [EditorView.scrollIntoView(shown.from, { y: 'nearest', yMargin: 40 })] : [])] })
  }, [spot])

  useEffect(() => {
    const editor = view.current
    if (editor) editor.dispatch(setDiagnostics(editor.state, (errors ?? []).map((error) => diagnostic(editor, error))))
  }, [errors])

  return <div ref={host} data-editor="" className={className} />
}

/** The one stretch in which two texts differ: the cursor and the history outside of it stay. */
function difference(before: string, after: string) {
  let from = 0
  while (from < before.length && before[from] === after[from]) from++
  let end = 0
  while (end < before.length - from && end < after.length - from && before[before.length - 1 - end] === after[after.length - 1 - end]) end++
  return { from, to: before.length - end, insert: after.slice(from, after.length - end) }
}

const mark = StateEffect.define<Spot | undefined>()
const marked = Decoration.line({ class: 'cm-spot' })
const spots = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(lines, transaction) {
    let next = lines.map(transaction.changes)
    for (const effect of transaction.effects) {
      if (!effect.is(mark)) continue
      const { doc } = transaction.state
      const first = effect.value && doc.lineAt(effect.value.from).number
      const last = effect.value && doc.lineAt(effect.value.to).number
      next = first && last ? Decoration.set(Array.from({ length: last - first + 1 }, (_, i) => marked.range(doc.line(first + i).from))) : Decoration.none
    }
    return next
  },
  provide: (field) => EditorView.decorations.from(field),
})

// Chromium keeps the style of a selection that is typed over by writing it into
// the markup, which the content security policy refuses with a console error.
const typeOver = EditorView.domEventHandlers({
  beforeinput(event, view) {
    if (event.inputType !== 'insertText' || event.data === null || event.isComposing || view.state.readOnly || view.state.selection.main.empty) return false
    event.preventDefault()
    view.dispatch(view.state.replaceSelection(event.data), { userEvent: 'input.type', scrollIntoView: true })
    return true
  },
})

function diagnostic(editor: EditorView, error: ConfigError): Diagnostic {
  const { doc } = editor.state
  const line = doc.line(Math.min(Math.max(1, error.line), doc.lines))
  const from = Math.min(line.from + Math.max(0, error.column - 1), line.to)
  return { from, to: Math.max(from, line.to), severity: 'error', message: error.hint ? `${error.message}\n${error.hint}` : error.message }
}

const inks = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: 'var(--accent)' },
  { tag: [tags.string, tags.content], color: 'var(--text)' },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword], color: 'var(--d-cart)' },
  { tag: [tags.comment, tags.lineComment], color: 'var(--muted)', fontStyle: 'italic' },
  { tag: [tags.punctuation, tags.separator, tags.bracket, tags.squareBracket, tags.brace], color: 'var(--muted)' },
])

const looks = EditorView.theme({
  '&': { height: '100%', fontSize: '12.5px', color: 'var(--text)', backgroundColor: 'transparent' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", Menlo, monospace', lineHeight: '20px', overflow: 'auto' },
  '.cm-content': { padding: '10px 0', caretColor: 'var(--accent)' },
  '.cm-gutters': { backgroundColor: 'transparent', color: 'var(--muted)', border: 'none' },
  '.cm-lineNumbers .cm-gutterElement': { padding: '0 6px 0 12px', minWidth: '34px' },
  '.cm-activeLine': { backgroundColor: 'color-mix(in srgb, var(--sunken) 70%, transparent)' },
  '.cm-spot': { backgroundColor: 'var(--accent-soft)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': { backgroundColor: 'color-mix(in srgb, var(--accent) 26%, transparent) !important' },
  '.cm-cursor': { borderLeftColor: 'var(--accent)' },
  '.cm-matchingBracket': { backgroundColor: 'var(--accent-soft) !important', outline: 'none' },
  '.cm-tooltip': { backgroundColor: 'var(--surface)', color: 'var(--text)', border: '1px solid var(--line)', borderRadius: '6px', boxShadow: 'var(--float)', fontFamily: '"Inter Variable", sans-serif' },
  '.cm-diagnostic': { padding: '6px 10px', borderLeft: 'none', whiteSpace: 'pre-wrap' },
})

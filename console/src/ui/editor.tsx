import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands'
import { yaml } from '@codemirror/lang-yaml'
import { bracketMatching, HighlightStyle, indentOnInput, indentUnit, syntaxHighlighting } from '@codemirror/language'
import { lintGutter, setDiagnostics, type Diagnostic } from '@codemirror/lint'
import { EditorState } from '@codemirror/state'
import { drawSelection, EditorView, highlightActiveLine, highlightSpecialChars, keymap, lineNumbers } from '@codemirror/view'
import { tags } from '@lezer/highlight'
import { useEffect, useRef } from 'react'
import type { ConfigError } from '@/api/types'

interface EditorProps {
  label: string
  value: string
  onChange?: (value: string) => void
  errors?: ConfigError[]
  className?: string
}

/**
 * The YAML editor (JSON is YAML, too). It lives in a shadow root, where its
 * styles are adopted sheets: the content security policy allows no style tags.
 */
export default function Editor({ label, value, onChange, errors, className }: EditorProps) {
  const host = useRef<HTMLDivElement>(null)
  const view = useRef<EditorView>(null)
  const latest = useRef({ onChange, value })
  latest.current.onChange = onChange

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
          EditorView.contentAttributes.of({ 'aria-label': label, spellcheck: 'false' }),
          // Escape, then Tab, leaves the editor: the keyboard is never caught.
          keymap.of([indentWithTab, ...defaultKeymap, ...historyKeymap]),
          typeOver,
          EditorView.updateListener.of((update) => {
            if (!update.docChanged) return
            latest.current.value = update.state.doc.toString()
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
    if (!editor || value === latest.current.value) return
    latest.current.value = value
    editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: value } })
  }, [value])

  useEffect(() => {
    const editor = view.current
    if (editor) editor.dispatch(setDiagnostics(editor.state, (errors ?? []).map((error) => diagnostic(editor, error))))
  }, [errors])

  return <div ref={host} data-editor="" className={className} />
}

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
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': { backgroundColor: 'color-mix(in srgb, var(--accent) 26%, transparent) !important' },
  '.cm-cursor': { borderLeftColor: 'var(--accent)' },
  '.cm-matchingBracket': { backgroundColor: 'var(--accent-soft) !important', outline: 'none' },
  '.cm-tooltip': { backgroundColor: 'var(--surface)', color: 'var(--text)', border: '1px solid var(--line)', borderRadius: '6px', boxShadow: 'var(--float)', fontFamily: '"Inter Variable", sans-serif' },
  '.cm-diagnostic': { padding: '6px 10px', borderLeft: 'none', whiteSpace: 'pre-wrap' },
})

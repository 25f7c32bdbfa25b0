import { cva, type VariantProps } from 'class-variance-authority'
import type { ButtonHTMLAttributes, ReactNode, Ref } from 'react'
import { cx } from './cx'

export const button = cva(
  'inline-flex shrink-0 items-center justify-center gap-1.5 rounded-control border font-medium whitespace-nowrap transition-colors disabled:opacity-50 aria-disabled:opacity-50 pointer-coarse:min-h-[38px]',
  {
    variants: {
      look: {
        solid: 'border-transparent bg-solid text-on-solid hover:enabled:bg-solid-hover',
        outline: 'border-line bg-surface text-text hover:border-line-strong hover:bg-sunken',
        ghost: 'border-transparent text-muted hover:bg-sunken hover:text-text',
        danger: 'border-transparent bg-bad-soft text-bad hover:border-bad',
      },
      size: { normal: 'h-[30px] px-3', small: 'h-[26px] px-2 text-meta', icon: 'size-[30px] pointer-coarse:size-[38px]' },
    },
    defaultVariants: { look: 'outline', size: 'normal' },
  },
)

export interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement>, VariantProps<typeof button> {
  icon?: ReactNode
  busy?: boolean
  ref?: Ref<HTMLButtonElement>
}

export function Button({ look, size, icon, busy, className, children, disabled, ...rest }: ButtonProps) {
  return (
    <button type="button" {...rest} disabled={disabled || busy} className={cx(button({ look, size }), className)}>
      {busy ? <Spinner /> : icon}
      {children}
    </button>
  )
}

export function Spinner() {
  return <span aria-hidden className="size-3.5 animate-spin rounded-full border-2 border-current border-r-transparent" />
}

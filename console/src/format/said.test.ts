import { expect, it } from 'vitest'
import { said } from './said'

it('says conditions in words', () => {
  for (const [text, words] of Object.entries({
    'performed("Order Completed").within("90d").count() >= 3': 'Did “Order Completed” at least 3 times in the last 90 days',
    'performed("identify").count() < 3 && performed("Checkout Started").count() < 1': 'Did “Identified” fewer than 3 times, and never did “Checkout Started”',
    'traits.country in ["NO", "SE"] || !segments.has("regulars")': 'Country is NO or SE, or not in “Regulars”',
    'scores.clv >= 100 && consent.allows("marketing")': 'Lifetime value at least 100, and agreed to marketing',
    '!performed("Support Opened").within("1w").happened()': 'Did not do “Support Opened” in the last week',
    'performed("Order Completed").within("90d").sum("revenue") >= 150': 'Revenue of “Order Completed” in all at least 150 in the last 90 days',
    'has(traits.spentLately) && traits.vip == true': 'Spent lately is known, and vip is yes',
  }))
    expect(said(text, new Map([['regulars', 'Regulars']]))).toBe(words)
})

it('leaves what it has no words for as it is', () => {
  expect(said('items.any(i, i.level < 0.2)')).toBe('items.any(i, i.level < 0.2)')
  expect(said('')).toBe('')
})

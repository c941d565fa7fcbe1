// SPDX-License-Identifier: Apache-2.0
// Owns making HTML of texts: what is filled into a template is escaped unless it is HTML already. Knows no page.

/** Markup that is safe to be put into a page. */
export interface Html {
  readonly markup: string
}

type Filling = Html | string | number | null | false | readonly Html[]

/** A template of markup; texts are escaped, null and false are nothing. */
export function html(markup: readonly string[], ...fillings: readonly Filling[]): Html {
  const parts = markup.map((text, i) => text + (i < fillings.length ? markupOf(fillings[i]) : ''))
  return { markup: parts.join('') }
}

/** Text of our own that is markup, style or script. */
export function verbatim(markup: string): Html {
  return { markup }
}

function markupOf(filling: Filling | undefined): string {
  if (filling === null || filling === undefined || filling === false) return ''
  if (typeof filling === 'string' || typeof filling === 'number') return escapeText(String(filling))
  if ('markup' in filling) return filling.markup
  return filling.map(({ markup }) => markup).join('')
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

function escapeText(text: string): string {
  return text.replaceAll(/[&<>"']/g, (letter) => ENTITIES[letter] ?? letter)
}

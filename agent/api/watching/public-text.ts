// SPDX-License-Identifier: Apache-2.0
// Owns how texts look to those who show no token: urls in them keep host and last word. A server may take any word of a
// query or path for a secret, and no list of names knows them all. Known secrets are struck out before (core/redact.ts).

const URL_IN_TEXT = /\b(https?|ftp):\/\/[^\s"'<>\\]+/gi

/** A deep copy with every text so; keys stay. */
export function publicTexts<Value>(value: Value): Value {
  return shortened(value) as Value
}

function shortened(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll(URL_IN_TEXT, urlLabel)
  if (Array.isArray(value)) return value.map(shortened)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, shortened(item)]))
}

/** `https://host/…/image.raw` of `https://host/secret/image.raw?sig=…`; what ends the sentence stays behind it. */
function urlLabel(text: string): string {
  const [, url = '', rest = ''] = /^(.*?)([).,:;\]]*)$/s.exec(text) ?? []
  if (!URL.canParse(url)) return `${url.slice(0, url.indexOf('://'))}://…${rest}`
  const { protocol, host, pathname, search } = new URL(url)
  const words = pathname.split('/').filter((word) => word !== '')
  const last = words.at(-1) ?? ''
  const path = words.length > 1 ? `/…/${last}` : pathname
  return `${protocol}//${host}${path}${search === '' ? '' : '?…'}${rest}`
}

// SPDX-License-Identifier: Apache-2.0
// Owns finding what a TypeScript file imports: by import and export, types too, over several lines, by
// `import()`, and as the file of a worker. Does not read other files.
import { posix } from 'node:path'
import { readSource } from './source-text.ts'

export interface Import {
  /** As it is written, for example `node:fs`. */
  readonly specifier: string
  readonly line: number
  /** It runs in a thread of its own: nobody has what it declares. */
  readonly isWorker: boolean
}

const FORMS: readonly RegExp[] = [
  // import … from, export … from; neither a bracket nor a text stands in between
  /\b(?:import|export)\b[^'"`();=]*?\bfrom\s*(?=['"])/g,
  /\bimport\s*(?=['"])/g,
  /\bimport\s*\(\s*(?=['"`])/g,
  // the file of a worker, beside this module
  /\bnew\s+URL\s*\(\s*(?=['"`][^'"`]*['"`]\s*,\s*import\.meta\.url)/g,
]

/** The imports of a file, in their order. A URL beside the module counts if it is that of a source file. */
export function importsOf(text: string): Import[] {
  const { code, texts } = readSource(text)
  return FORMS.flatMap((form) => [...code.matchAll(form)])
    .map((match) => ({ at: match.index + match[0].length, isUrl: match[0].startsWith('new') }))
    .map(({ at, isUrl }) => ({ at, isUrl, specifier: texts.get(at) ?? '' }))
    .filter(
      ({ specifier, isUrl }) => specifier !== '' && (!isUrl || /\.[cm]?[jt]s$/.test(specifier)),
    )
    .sort((a, b) => a.at - b.at)
    .map(({ specifier, at, isUrl }) => ({
      specifier,
      line: code.slice(0, at).split('\n').length,
      isWorker: isUrl,
    }))
}

/** Where a specifier leads: a path from the project's root, or a package as it is written. */
export function targetOf(from: string, specifier: string): string {
  return specifier.startsWith('.') ? posix.join(posix.dirname(from), specifier) : specifier
}

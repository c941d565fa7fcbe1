// SPDX-License-Identifier: Apache-2.0
// Owns the tokenizer of the kernel command line (contract 1.1). Does not know options.

/**
 * The `key=value` words of a kernel command line. Split at white space and at the first `=`; words
 * without `=` are ignored, quotes mean nothing, a later duplicate wins (contract 1.1).
 */
export function parseKernelCmdline(text: string): Map<string, string> {
  const parameters = new Map<string, string>()
  for (const word of text.split(/\s+/)) {
    const at = word.indexOf('=')
    if (at > 0) parameters.set(word.slice(0, at), word.slice(at + 1))
  }
  return parameters
}

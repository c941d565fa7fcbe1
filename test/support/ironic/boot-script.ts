// SPDX-License-Identifier: Apache-2.0
// Owns the kernel line that Ironic wrote for a machine, as iPXE would read it.
import type { Ironic } from '../ironic.ts'
import type { Machine } from './machines.ts'

/** The words of the line; none while there is no script for the machine. */
export async function bootScriptWords(
  { filesUrl }: Pick<Ironic, 'filesUrl'>,
  { uuid, mac }: Pick<Machine, 'uuid' | 'mac'>,
): Promise<string[]> {
  const script = await (await fetch(`${filesUrl}/${uuid}/config`)).text()
  const line = /^kernel .*$/m.exec(script)?.[0] ?? ''
  // biome-ignore lint/suspicious/noTemplateCurlyInString: iPXE's own word
  return line.replaceAll('${mac}', mac).split(/\s+/).slice(1)
}

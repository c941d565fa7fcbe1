// SPDX-License-Identifier: Apache-2.0
// Owns the tokenizer of the kernel command line (contract 1.1) and of BOOTIF. Does not know options.

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

/**
 * The MAC in BOOTIF, lower case with colons: pxelinux writes `01-aa-bb-cc-dd-ee-ff` (ARP hardware type
 * first), iPXE and redfish virtual media `aa:bb:cc:dd:ee:ff` (contract 1.2). Undefined if it is neither.
 */
export function parseBootif(text: string): string | undefined {
  const octets = text.trim().toLowerCase().split(/[-:]/)
  const mac = octets.length === 7 ? octets.slice(1) : octets
  const isMac = mac.length === 6 && mac.every((octet) => /^[0-9a-f]{2}$/.test(octet))
  return isMac ? mac.join(':') : undefined
}

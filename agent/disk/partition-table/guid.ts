// SPDX-License-Identifier: Apache-2.0
// Owns the text form of GUIDs. On disk the first three fields are little-endian (UEFI 2.10 appendix A).

/** Lower-case text of 16 bytes. */
export function formatGuid(bytes: Uint8Array): string {
  return swapFields(Buffer.from(bytes))
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/** 16 bytes of the text form, either case. Throws RangeError if it is none. */
export function parseGuid(text: string): Uint8Array {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) {
    throw new RangeError(`${text} is not a GUID`)
  }
  return swapFields(Buffer.from(text.replaceAll('-', ''), 'hex'))
}

function swapFields(bytes: Buffer): Buffer {
  bytes.subarray(0, 4).reverse()
  bytes.subarray(4, 6).reverse()
  bytes.subarray(6, 8).reverse()
  return bytes
}

// SPDX-License-Identifier: Apache-2.0
// Owns asking what is packed in a file before it is fetched: the beginning of it, from the first bytes of the file, or from
// more of them where these do not tell. Does not judge it.
import { MOST_PACKED_BYTES, readPackedBeginning } from '../formats/compressed/packed-beginning.ts'
import { SNIFFED_BYTES } from '../formats/image-format.ts'
import type { InOrderFormat } from '../formats/unpackers.ts'

export interface PackedInquiry {
  readonly format: InOrderFormat
  /** Of the file. */
  readonly firstBytes: Uint8Array
  /** Length of the file; null where its server does not say. */
  readonly fileBytes: number | null
  /** Reads so many first bytes of the file, or all of a shorter one. */
  readonly readFirst: (mostBytes: number) => Promise<Uint8Array>
  readonly signal: AbortSignal
}

/**
 * The first bytes of what is packed, as many as are looked at; all of what is smaller. Null where the file does not
 * give them: broken, cut, or packed as nobody packs. Throws what keeps more of the file away, ProcessError, and the
 * reason of the signal.
 */
export async function findPackedBeginning(inquiry: PackedInquiry): Promise<Uint8Array | null> {
  const { format, firstBytes, fileBytes, readFirst, signal } = inquiry
  const decode = async (packed: Uint8Array) => {
    const beginning = await readPackedBeginning(format, packed, SNIFFED_BYTES, signal)
    const isAll = packed.length === fileBytes && beginning.length > 0
    return isAll || beginning.length === SNIFFED_BYTES ? beginning : null
  }
  const found = await decode(firstBytes)
  if (found || firstBytes.length === fileBytes) return found
  // a block may be larger than what is looked at of a file
  return await decode(await readFirst(MOST_PACKED_BYTES))
}

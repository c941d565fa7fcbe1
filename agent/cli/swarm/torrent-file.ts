// SPDX-License-Identifier: Apache-2.0
// Owns reading a .torrent that a flag names. What it may hold is sources/swarm/torrent/metainfo.ts's.
import { AgentError, isAgentError } from '../../core/errors.ts'
import {
  MAX_METAINFO_BYTES,
  type Metainfo,
  parseMetainfo,
} from '../../sources/swarm/torrent/metainfo.ts'
import { readInput } from '../input-file.ts'

/** @throws InvalidCommandParamsError if the file cannot be read or is longer than any .torrent, InvalidMetainfoError */
export async function readTorrentFile(
  path: string,
): Promise<{ readonly bytes: Uint8Array; readonly metainfo: Metainfo }> {
  const bytes = await readInput(path, 'a .torrent', MAX_METAINFO_BYTES)
  try {
    return { bytes, metainfo: parseMetainfo(bytes) }
  } catch (error) {
    if (!isAgentError(error, 'InvalidMetainfoError')) throw error
    throw new AgentError(error.type, `${path}: ${error.details}`, { cause: error })
  }
}

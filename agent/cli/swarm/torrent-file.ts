// SPDX-License-Identifier: Apache-2.0
// Owns reading a .torrent that a flag names. What it may hold is sources/swarm/torrent/metainfo.ts's.
import { readFile, stat } from 'node:fs/promises'
import { AgentError, messageOf } from '../../core/errors.ts'
import {
  MAX_METAINFO_BYTES,
  type Metainfo,
  parseMetainfo,
} from '../../sources/swarm/torrent/metainfo.ts'

/** @throws InvalidCommandParamsError if the file cannot be read or is longer than any .torrent, InvalidMetainfoError */
export async function readTorrentFile(
  path: string,
): Promise<{ readonly bytes: Uint8Array; readonly metainfo: Metainfo }> {
  const bytes = await readAll(path)
  return { bytes, metainfo: parseMetainfo(bytes) }
}

async function readAll(path: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(path)
    if (size <= MAX_METAINFO_BYTES) return await readFile(path)
  } catch (cause) {
    throw new AgentError('InvalidCommandParamsError', `cannot read ${path}: ${messageOf(cause)}`, {
      cause,
    })
  }
  throw new AgentError('InvalidCommandParamsError', `${path} is too long to be a .torrent`)
}

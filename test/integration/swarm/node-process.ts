// SPDX-License-Identifier: Apache-2.0
// Owns a node in a process of its own: to be killed, stopped, or put into another network. Its settings
// are JSON on the command line; it prints a word per line: `half`, `done {figures}`. SIGTERM ends it.
import { readFile } from 'node:fs/promises'
import { parseMetainfo } from '../../../agent/sources/swarm/torrent/metainfo.ts'
import { type NodeOptions, sha256, startNode, until } from './lab.ts'

export interface NodeSettings extends Omit<NodeOptions, 'metainfo' | 'onDisk'> {
  readonly torrent: string
  /** It has everything from the start. */
  readonly image?: string
}

const { torrent, image, ...options } = JSON.parse(process.argv[2] as string) as NodeSettings
const metainfo = parseMetainfo(await readFile(torrent))
const range = { offset: 0, length: metainfo.lengthBytes }
const onDisk = image === undefined ? {} : { onDisk: { range, bytes: await readFile(image) } }
const node = startNode({ metainfo, ...options, ...onDisk })
process.once('SIGTERM', () => {
  void node[Symbol.asyncDispose]().then(() => process.exit(0))
})
await until(
  () => node.coverage.coveredBytes > metainfo.lengthBytes / 2,
  'half of the image',
  90_000,
)
console.log('half')
await node.delivered
const { peerBytes, originBytes } = node.source.stats()
console.log(`done ${JSON.stringify({ sha256: sha256(node.disk), peerBytes, originBytes })}`)

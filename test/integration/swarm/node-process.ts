// SPDX-License-Identifier: Apache-2.0
// Owns a node in a process of its own, to be killed: `node node-process.ts TORRENT TRACKER ORIGIN`.
// Prints `half` when half of the image is there.
import { readFile } from 'node:fs/promises'
import { parseMetainfo } from '../../../agent/sources/swarm/metainfo.ts'
import { startNode, until } from './lab.ts'

const [torrent, tracker, origin] = process.argv.slice(2) as [string, string, string]
const metainfo = parseMetainfo(await readFile(torrent))
const node = startNode({ metainfo, trackers: [tracker], originUrls: [origin] })
await until(() => node.coverage.coveredBytes > metainfo.lengthBytes / 2, 'half of the image')
console.log('half')
await node.delivered

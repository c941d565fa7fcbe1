// SPDX-License-Identifier: Apache-2.0
// Owns the Ironic stand-in in a process of its own, to be put into another network, with the image to
// deploy. Its settings are JSON on the command line; it prints the API's url, then how the deploy ended.
import { createFakeIronic } from '../../support/fake-ironic.ts'
import { createHttpOrigin } from '../../support/http-origin.ts'

export interface IronicSettings {
  readonly host: string
  readonly node: { readonly uuid: string; readonly mac: string }
  readonly imagePath: string
  /** Base64 of the .torrent. */
  readonly metainfo: string
  readonly sha256: string
}

const settings = JSON.parse(process.argv[2] as string) as IronicSettings
const { host, node, imagePath: path, metainfo, sha256 } = settings
const origin = await createHttpOrigin({ path, host })
const ironic = await createFakeIronic({ nodes: [node], host, heartbeatTimeout: 10 })
// the deploy begins with the second heartbeat, seconds after the first one
ironic.failNext('/v1/heartbeat', 503)
const deploying = ironic.deploy(node.uuid, {
  imageInfo: {
    id: 'image.raw',
    urls: [origin.url],
    disk_format: 'raw',
    os_hash_algo: 'sha256',
    os_hash_value: sha256,
    torrent: { metainfo },
  },
})
console.log(ironic.url)
console.log((await deploying).state)
process.exit(0)

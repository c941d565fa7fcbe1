// SPDX-License-Identifier: Apache-2.0
// Owns the Ironic stand-in in a process of its own, to be put into another network and found there. Its settings are JSON on
// the command line; it prints the API's url, then the word `heartbeat` once there was one.
import { createFakeIronic } from '../../support/fake-ironic.ts'

export interface FoundIronicSettings {
  readonly host: string
  readonly node: { readonly uuid: string; readonly mac: string }
}

const { host, node } = JSON.parse(process.argv[2] as string) as FoundIronicSettings
const ironic = await createFakeIronic({
  nodes: [node],
  host,
  heartbeatTimeout: 10,
  fastTrack: true,
})
console.log(ironic.url)
const timer = setInterval(() => {
  if (!ironic.apiCalls.some(({ path, status }) => path.includes('heartbeat') && status === 202))
    return
  clearInterval(timer)
  console.log('heartbeat')
}, 100)

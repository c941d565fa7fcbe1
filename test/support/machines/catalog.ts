// SPDX-License-Identifier: Apache-2.0
// Owns the list of recorded machines: made up after real ones of these makers, each for what it has that others have not.
import { BONDED } from './bonded.ts'
import { FIBRE_CHANNEL } from './fibre-channel.ts'
import { FOUR_NODES } from './four-nodes.ts'
import { INFINIBAND } from './infiniband.ts'
import { NVME_SERVER } from './nvme-server.ts'
import type { RecordedMachine } from './tree.ts'
import { VIRTUAL_MACHINE } from './virtual-machine.ts'

export const MACHINES: readonly RecordedMachine[] = [
  VIRTUAL_MACHINE,
  NVME_SERVER,
  FIBRE_CHANNEL,
  INFINIBAND,
  BONDED,
  FOUR_NODES,
]

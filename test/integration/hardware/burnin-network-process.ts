// SPDX-License-Identifier: Apache-2.0
// Owns two nodes that burn in the network between them, in one process to be put into a network of its own: prints what both
// answered, and the figures that both told of it.
import type { Config } from '../../../agent/config/options.ts'
import { createBurninSteps } from '../../../agent/hardware/burnin/steps.ts'
import { exec } from '../../../agent/system/exec.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { recordedStream } from '../../support/event-lab.ts'
import { callWith } from '../../unit/hardware/manager-fixture.ts'

const steps = createBurninSteps({
  config: {} as Config,
  exec,
  root: createRoot('/'),
  log: createLogger({ level: 'silent' }),
  listDisks: async () => [],
})
const step = steps.find(({ announce }) => announce.step === 'burnin_network')
const node = (role: string) => ({
  driver_info: {
    agent_burnin_fio_network_config: { role, partner: '127.0.0.1' },
    agent_burnin_fio_network_runtime: 4,
    agent_burnin_fio_network_pairing_timeout: 120,
  },
})
const both = ['reader', 'writer'].map(async (role) => {
  const call = callWith()
  const events = recordedStream()
  const context = { ...call.context, events }
  const answer = await step?.run({ ...call, context, node: node(role) })
  return { answer, progress: events.progress() }
})
console.log(JSON.stringify(await Promise.all(both)))

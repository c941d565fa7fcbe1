// SPDX-License-Identifier: Apache-2.0
// Owns two nodes that burn in the network between them, in one process to be put into a network of its own: prints what both
// answered.
import type { Config } from '../../../agent/config/options.ts'
import { createBurninSteps } from '../../../agent/hardware/burnin/steps.ts'
import { exec } from '../../../agent/system/exec.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
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
    agent_burnin_fio_network_runtime: 2,
    agent_burnin_fio_network_pairing_timeout: 120,
  },
})
const answers = ['reader', 'writer'].map((role) => step?.run({ ...callWith(), node: node(role) }))
console.log(JSON.stringify(await Promise.all(answers)))

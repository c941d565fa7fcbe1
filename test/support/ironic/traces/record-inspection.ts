// SPDX-License-Identifier: Apache-2.0
// Owns making the trace of an inspection: what this agent finds in a recorded machine is posted to a real Ironic, or to the
// ironic-inspector of 21.4, and what that makes of it is read back (IRONIC_TREE says which Ironic). Run by hand, as root:
//
//   node test/support/ironic/traces/record-inspection.ts FILE
import { writeFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { postInspection } from '../../../../agent/ironic/inspection.ts'
import { createLogger } from '../../../../agent/telemetry/logger.ts'
import { clientConfig } from '../../agent-in-process.ts'
import { startIronic } from '../../ironic.ts'
import { replayedInspection } from '../../machines/replay.ts'
import { VIRTUAL_MACHINE } from '../../machines/virtual-machine.ts'
import { freePort } from '../../processes.ts'
import { FIRST_AGENT_INSPECTION, settingsForAgentInspection } from '../agent-inspection.ts'
import { bootScriptWords } from '../boot-script.ts'
import { settingsForInspector, startInspector } from '../inspector.ts'
import { IRONIC_UNDER_TEST } from '../program.ts'
import { type Exchange, openTap } from './tap.ts'

const [file = ''] = process.argv.slice(2)
const PARAMETER = 'ipa-inspection-callback-url='

const began = performance.now()
const exchanges: Exchange[] = []
const note = (exchange: Omit<Exchange, 't'>) => {
  exchanges.push({ t: Math.round(performance.now() - began) / 1000, ...exchange })
}

const hasOwnInspection = Number.parseInt(IRONIC_UNDER_TEST.version, 10) >= FIRST_AGENT_INSPECTION
const inspectorPort = await freePort()
const settings = hasOwnInspection
  ? settingsForAgentInspection(IRONIC_UNDER_TEST)
  : settingsForInspector(inspectorPort)
await using ironic = await startIronic({ program: IRONIC_UNDER_TEST, settings })
await using _inspector = hasOwnInspection
  ? undefined
  : await startInspector(inspectorPort, ironic.url)

const mac = VIRTUAL_MACHINE.links[0]?.address ?? ''
const uuid = await ironic.enrol({
  ...{ name: 'node-1', mac, bootMode: 'bios', until: 'manageable' },
  fields: { inspect_interface: hasOwnInspection ? 'agent' : 'inspector', properties: {} },
})
await ironic.provision(uuid, 'inspect')
await ironic.waitFor(uuid, ['inspect wait'])
const callback = new URL(await callbackUrl())
await using tap = await openTap('agent->ironic', callback.origin, note)
const { inspected } = await replayedInspection(VIRTUAL_MACHINE)
await postInspection({
  urls: [`${tap.url}${callback.pathname}`],
  data: inspected,
  config: clientConfig([], { http_request_timeout: 60 }),
  log: createLogger({ level: 'warn' }),
  signal: AbortSignal.timeout(300_000),
})
await ironic.waitFor(uuid, ['manageable'])
for (const path of [`/v1/nodes/${uuid}?fields=properties,last_error`, `/v1/nodes/${uuid}/ports`]) {
  const resp = await ironic.call('GET', path)
  note({ dir: 'operator->ironic', method: 'GET', path, headers: {}, body: null, status: 200, resp })
}
await writeFile(file, exchanges.map((exchange) => `${JSON.stringify(exchange)}\n`).join(''))
console.log(`${file}: ${exchanges.length} calls with Ironic ${IRONIC_UNDER_TEST.version}`)

/**
 * As Ironic tells it to the machine, once it has written the machine's boot script.
 * @throws Error after a minute without it
 */
async function callbackUrl(): Promise<string> {
  for (let attempt = 0; attempt < 300; attempt++) {
    const words = await bootScriptWords(ironic, { uuid, mac })
    const word = words.find((each) => each.startsWith(PARAMETER))
    if (word !== undefined) return word.slice(PARAMETER.length)
    await delay(200)
  }
  throw new Error('Ironic wrote no boot script with a callback URL')
}

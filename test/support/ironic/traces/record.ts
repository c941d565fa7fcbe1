// SPDX-License-Identifier: Apache-2.0
// Owns making a trace: what a real Ironic (IRONIC_TREE says which one) and the agent say to each other goes into a file. Run by
// hand, as root:
//
//   node test/support/ironic/traces/record.ts FLOW FILE
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startAgent } from '../../agent-process.ts'
import { makeDiskImage } from '../../disk-image.ts'
import { createHttpOrigin } from '../../http-origin.ts'
import { type Ironic, startIronic } from '../../ironic.ts'
import { createLoopDevice } from '../../loop-device.ts'
import { freePort } from '../../processes.ts'
import { IRONIC_UNDER_TEST } from '../program.ts'
import { type Exchange, openTap } from './tap.ts'

const MiB = 1024 * 1024
const MAC = '52:54:00:00:00:01'
const [flow = '', file = ''] = process.argv.slice(2)

interface Flow {
  readonly fields: (place: { readonly image: string; readonly files: string }) => object
  readonly until: 'manageable' | 'available'
  /** From there until the agent is wanted. */
  readonly begin: (ironic: Ironic, uuid: string) => Promise<void>
  /** The state of a node that is through; `active` by default. */
  readonly end?: string
  /** Rows of the agent's option table. */
  readonly options?: Readonly<Record<string, number>>
  /** How long the image takes to come. */
  readonly imageSeconds?: number
}

async function beginDeploy(ironic: Ironic, uuid: string): Promise<void> {
  await ironic.provision(uuid, 'active')
  await ironic.waitFor(uuid, ['wait call-back'])
}

const FLOWS: Readonly<Record<string, Flow>> = {
  // a node that must not be switched off is deployed
  lockdown: {
    until: 'available',
    fields: ({ image }) => ({
      disable_power_off: true,
      instance_info: { image_source: image, image_disk_format: 'raw' },
    }),
    begin: beginDeploy,
  },
  // a deploy that takes longer than the agent lets Ironic wait for news of it
  status: {
    until: 'available',
    fields: ({ image }) => ({ instance_info: { image_source: image, image_disk_format: 'raw' } }),
    begin: beginDeploy,
    options: { status_message_interval: 5 },
    imageSeconds: 30,
  },
  // automated cleaning, all of it
  clean: {
    until: 'manageable',
    fields: () => ({ automated_clean: true }),
    begin: async (ironic, uuid) => {
      await ironic.provision(uuid, 'provide')
      await ironic.waitFor(uuid, ['clean wait'])
    },
    end: 'available',
  },
  // an active node is rescued
  rescue: {
    until: 'manageable',
    fields: ({ files }) => ({
      driver_info: {
        ...{ deploy_kernel: `${files}/kernel`, deploy_ramdisk: `${files}/ramdisk` },
        ...{ rescue_kernel: `${files}/kernel`, rescue_ramdisk: `${files}/ramdisk` },
      },
      instance_info: { image_source: `${files}/kernel`, root_gb: 1 },
    }),
    begin: async (ironic, uuid) => {
      await ironic.provision(uuid, 'adopt')
      await ironic.waitFor(uuid, ['active'])
      await ironic.provision(uuid, 'rescue', { rescue_password: 'of nobody' })
      await ironic.waitFor(uuid, ['rescue wait'])
    },
    end: 'rescue',
  },
  // an active node is serviced by a step of the agent
  service: {
    until: 'manageable',
    fields: ({ files }) => ({
      driver_info: {
        ...{ deploy_kernel: `${files}/kernel`, deploy_ramdisk: `${files}/ramdisk` },
        ...{ agent_burnin_cpu_cpu: 1, agent_burnin_cpu_timeout: 1 },
      },
      instance_info: { image_source: `${files}/kernel`, root_gb: 1 },
    }),
    begin: async (ironic, uuid) => {
      await ironic.provision(uuid, 'adopt')
      await ironic.waitFor(uuid, ['active'])
      const service_steps = [{ interface: 'deploy', step: 'burnin_cpu' }]
      await ironic.provision(uuid, 'service', { service_steps })
      await ironic.waitFor(uuid, ['service wait'])
    },
  },
}
const chosen = FLOWS[flow]
if (chosen === undefined) throw new Error(`${flow} is none of ${Object.keys(FLOWS).join(', ')}`)

const began = performance.now()
const exchanges: Exchange[] = []
const note = (exchange: Omit<Exchange, 't'>) => {
  exchanges.push({ t: Math.round(performance.now() - began) / 1000, ...exchange })
}

const directory = await mkdtemp(join(tmpdir(), 'ironswarm-record-'))
try {
  const image = await makeDiskImage(join(directory, 'image.raw'), { sizeBytes: 24 * MiB })
  await using origin = await createHttpOrigin({ path: image.path })
  if (chosen.imageSeconds !== undefined) {
    origin.faults = { rateBytesPerSecond: image.sizeBytes / chosen.imageSeconds }
  }
  await using ironic = await startIronic({
    program: IRONIC_UNDER_TEST,
    settings: { agent: { post_deploy_get_power_state_retries: 60 } },
  })
  await using disk = await createLoopDevice({ sizeBytes: 64 * MiB })
  await using ofIronic = await openTap('agent->ironic', ironic.url, note)
  const port = await freePort()
  await using ofAgent = await openTap('ironic->agent', `http://127.0.0.1:${port}`, note)
  const uuid = await ironic.enrol({
    ...{ name: 'node-1', mac: MAC, bootMode: 'bios' },
    until: chosen.until,
    fields: withChecksum(
      chosen.fields({ image: origin.url, files: ironic.filesUrl }),
      image.sha256,
    ),
  })
  await chosen.begin(ironic, uuid)
  await using _agent = await startAgent({
    ...{ name: 'node-1', mac: MAC, bootMode: 'bios', device: disk.path, apiUrl: ofIronic.url },
    directory: join(directory, 'agent'),
    options: {
      ...{ enable_auto_tls: false, listen_port: port, advertise_port: ofAgent.port },
      ...chosen.options,
    },
  })
  await ironic.waitFor(uuid, [chosen.end ?? 'active'])
  await writeFile(file, exchanges.map((exchange) => `${JSON.stringify(exchange)}\n`).join(''))
  console.log(`${file}: ${exchanges.length} calls with Ironic ${IRONIC_UNDER_TEST.version}`)
} finally {
  await rm(directory, { recursive: true, force: true })
}

/** Ironic wants one of every image. */
function withChecksum(fields: object, sha256: string): Record<string, unknown> {
  const { instance_info, ...others } = fields as { instance_info?: object }
  const checksum = { image_os_hash_algo: 'sha256', image_os_hash_value: sha256 }
  return { ...others, instance_info: { ...instance_info, ...checksum } }
}

// SPDX-License-Identifier: Apache-2.0
// Owns machines for a real Ironic: each a node that is enrolled, a loop device as its disk and, when it is
// booted, the agent as a process. Does not deploy.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AgentProcess, type AgentProcessOptions, startAgent } from '../agent-process.ts'
import type { Ironic } from '../ironic.ts'
import { createLoopDevice, type LoopDevice } from '../loop-device.ts'

export interface MachineWish {
  readonly bootMode: 'uefi' | 'bios'
  readonly diskBytes: number
  /** Further fields of the node. */
  readonly fields?: Readonly<Record<string, unknown>>
  readonly until?: 'manageable' | 'available'
  /** Rows of the agent's option table. */
  readonly options?: Readonly<Record<string, string | number | boolean>>
  /** What is done to its disk before it is enrolled. */
  readonly prepare?: (device: string) => Promise<void>
}

export type BootWish = Pick<AgentProcessOptions, 'kernelLine' | 'otherNics'>

export interface Machine {
  /** Of its node. */
  readonly uuid: string
  readonly disk: LoopDevice
  readonly mac: string
  /** The agent comes up, as after a PXE boot; again: the same machine. */
  boot(how?: BootWish): Promise<AgentProcess>
  /** Its node is deleted and made anew, as it was wished for: the same machine with another uuid. */
  enrolAgain(): Promise<Machine>
}

export interface Machines extends AsyncDisposable {
  create(wish: MachineWish): Promise<Machine>
  /** What to look at first when it did not end as expected: the last agents and the conductor's complaints. */
  logs(): Promise<string>
}

/** Machines of one Ironic; disposal ends their agents and removes their disks, not the Ironic. */
export async function createMachines(ironic: Ironic): Promise<Machines> {
  const directory = await mkdtemp(join(tmpdir(), 'ironswarm-machines-'))
  const agents: AgentProcess[] = []
  const disks: LoopDevice[] = []
  let count = 0
  return {
    create: async ({ bootMode, diskBytes, fields, until, options, prepare }) => {
      const name = `node-${++count}`
      const mac = `52:54:00:00:01:${count.toString(16).padStart(2, '0')}`
      const disk = await createLoopDevice({ sizeBytes: diskBytes })
      disks.push(disk)
      await prepare?.(disk.path)
      const enrol = async () =>
        machineOf(
          await ironic.enrol({
            ...{ name, mac, bootMode },
            ...(fields === undefined ? {} : { fields }),
            ...(until === undefined ? {} : { until }),
          }),
        )
      const boot: Machine['boot'] = async (how) => {
        const agent = await startAgent({
          ...{ name, mac, bootMode, device: disk.path, apiUrl: ironic.url },
          directory: join(directory, name),
          ...(options === undefined ? {} : { options }),
          ...how,
        })
        agents.push(agent)
        return agent
      }
      const machineOf = (uuid: string): Machine => ({
        ...{ uuid, disk, mac, boot },
        enrolAgain: async () => {
          await ironic.call('DELETE', `/v1/nodes/${uuid}`)
          return await enrol()
        },
      })
      return await enrol()
    },
    logs: async () => {
      const parts = await Promise.all(
        agents.slice(-3).map(async (agent) => `--- ${agent.name}\n${tail(await agent.log(), 15)}`),
      )
      const complaints = (await ironic.conductorLog())
        .split('\n')
        .filter((line) => / (WARNING|ERROR) /.test(line))
      return [...parts, '--- conductor', ...complaints.slice(-10)].join('\n')
    },
    [Symbol.asyncDispose]: async () => {
      for (const agent of agents) await agent[Symbol.asyncDispose]()
      for (const disk of disks) await disk[Symbol.asyncDispose]()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

function tail(text: string, lines: number): string {
  return text.split('\n').slice(-lines).join('\n')
}

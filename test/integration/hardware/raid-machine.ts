// SPDX-License-Identifier: Apache-2.0
// Owns a machine whose disks are loop devices and whose kernel has no md driver: partitions are real, arrays are what
// a stand-in for mdadm notes down and sysfs then shows. Does not check what comes of it.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AgentError } from '../../../agent/core/errors.ts'
import type { RaidDeps } from '../../../agent/hardware/raid/create.ts'
import { type Exec, exec } from '../../../agent/system/exec.ts'
import { createRoot, type Root } from '../../../agent/system/root.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { createLoopDevice, type LoopDevice } from '../../support/loop-device.ts'
import { diskWith } from '../../unit/hardware/disk-fixture.ts'

export interface RaidMachine extends AsyncDisposable {
  readonly deps: RaidDeps
  readonly disks: readonly LoopDevice[]
  /** Command lines of mdadm, in order. */
  readonly mdadm: string[]
  /** Members by array, `md0`, as sysfs would show them. */
  readonly arrays: Map<string, string[]>
}

export interface RaidMachineOptions {
  readonly count: number
  readonly sizeBytes: number
  readonly sectorBytes?: 512 | 4096
  /** Before mdadm does what it is told; may throw. */
  readonly beforeMdadm?: (line: string) => void
  /** Partitions that `--create` leaves out. */
  readonly leftOut?: (member: string) => boolean
}

export async function createRaidMachine(options: RaidMachineOptions): Promise<RaidMachine> {
  await using stack = new AsyncDisposableStack()
  const disks: LoopDevice[] = []
  const { sizeBytes, sectorBytes = 512 } = options
  for (let i = 0; i < options.count; i++) {
    disks.push(stack.use(await createLoopDevice({ sizeBytes, sectorBytes })))
  }
  const arrays = new Map<string, string[]>()
  const mdadm: string[] = []
  const paths = disks.map(({ path }) => path)
  const run: Exec = async (argv, given) => {
    // other loop devices are other tests'
    if (argv[0] === 'lsblk') return await exec([...argv, '--', ...paths], given)
    if (argv[0] === 'udevadm') return { stdout: '', stderr: '', exitCode: 0 }
    if (argv[0] !== 'mdadm') return await exec(argv, given)
    mdadm.push(argv.join(' '))
    if (given?.signal?.aborted) throw new AgentError('ProcessError', 'mdadm: cancelled')
    options.beforeMdadm?.(argv.join(' '))
    noteMdadm(argv, arrays, options.leftOut ?? (() => false))
    return { stdout: '', stderr: '', exitCode: 0 }
  }
  const listDisks = async () =>
    disks.map(({ path }, i) =>
      diskWith({ name: path, sizeBytes, logicalSectorBytes: sectorBytes, serials: [`s${i}`] }),
    )
  const log = createLogger({ level: 'silent' })
  const root = withArrays(createRoot('/'), arrays)
  const runDir = await mkdtemp(join(tmpdir(), 'ironswarm-raid-'))
  stack.defer(() => rm(runDir, { recursive: true, force: true }))
  const owned = stack.move()
  return {
    deps: {
      ...{ exec: run, root, log, listed: [], listDisks, listOldMembers: listDisks },
      pausePath: join(runDir, 'run/raid-changes'),
    },
    disks,
    mdadm,
    arrays,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

function noteMdadm(
  argv: readonly string[],
  arrays: Map<string, string[]>,
  isLeftOut: (member: string) => boolean,
): void {
  const names = argv
    .filter((word) => word.startsWith('/dev/'))
    .map((word) => word.slice('/dev/'.length))
  const [array = '', ...members] = names
  if (argv[1] === '--create') {
    arrays.set(
      array,
      members.filter((member) => !isLeftOut(`/dev/${member}`)),
    )
  } else if (argv[1] === '--stop') arrays.delete(array)
  else if (argv.includes('--add')) arrays.get(array)?.push(...members)
}

function withArrays(root: Root, arrays: ReadonlyMap<string, readonly string[]>): Root {
  const arrayOf = (path: string) => /^\/sys\/class\/block\/(md\d+)\//.exec(path)?.[1] ?? ''
  return {
    ...root,
    list: async (path) => {
      if (path === '/sys/class/block') return [...(await root.list(path)), ...arrays.keys()]
      return [...(arrays.get(arrayOf(path)) ?? (await root.list(path)))]
    },
    readText: async (path) => {
      if (!arrays.has(arrayOf(path))) return await root.readText(path)
      return path.endsWith('array_state') ? 'inactive' : '1.2'
    },
  }
}

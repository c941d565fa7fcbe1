// SPDX-License-Identifier: Apache-2.0
// Owns the burn-in of disks by fio (contract 7.4): which, how long, how far, and what came of each. It destroys what is on
// them. Does not choose what is left alone; the plan of erasures does.
import { basename } from 'node:path'
import { throwIfAborted } from '../../core/deadline.ts'
import { AgentError } from '../../core/errors.ts'
import { formatBytes, SYSFS_SECTOR_BYTES } from '../../core/units.ts'
import { assertNotInUse } from '../../disk/in-use.ts'
import type { Root } from '../../system/root.ts'
import { follow } from '../../telemetry/follow.ts'
import { warn } from '../../telemetry/operation.ts'
import { createProgressMeter } from '../../telemetry/progress-meter.ts'
import { type ErasePlanDeps, planErasure } from '../generic/erase/plan.ts'
import type { Disk } from '../inventory.ts'
import type { StepCall } from '../manager.ts'
import { byTheClock } from './by-the-clock.ts'
import { type FioEnd, type FioJob, runFio } from './fio.ts'
import { burninError, lastLines } from './run.ts'
import { burninFields } from './settings.ts'
import { runSelfTests } from './smart.ts'

/** As badblocks has it. */
const LOOPS = 4
/** Slowest that a disk may be; a disk of 20 TB passes six times, which takes a good one nine days. */
const SLOWEST_BYTES_PER_SECOND = 10_000_000
const LEAST_TIMEOUT_MS = 4 * 3_600_000
const LONGEST_TIMEOUT_MS = 20 * 24 * 3_600_000
const GRACE_MS = 600_000
const LOOK_EVERY_MS = 5000
/** Of one loop: half is written, half is read, and what was written is read again. */
const PASSES_A_LOOP = 1.5

/**
 * Answers with a sentence for each disk. Throws InvalidCommandParamsError, TargetInUseError, ProtectedDeviceError,
 * CommandExecutionError for a disk that failed, CleaningError for a self-test that did, CancelledError.
 */
export async function burnInDisks(
  deps: ErasePlanDeps,
  { node, context }: StepCall,
): Promise<Readonly<Record<string, string>>> {
  const fields = burninFields(node)
  const loops = fields.count('agent_burnin_fio_disk_loops', LOOPS, 1)
  const seconds = fields.count('agent_burnin_fio_disk_runtime', 0)
  const outputFile = fields.path('agent_burnin_fio_disk_outputfile')
  const testsThemselves = fields.flag('agent_burnin_fio_disk_smart_test')
  await context.releaseDisks()
  const { disks, readOnly, leftAlone } = await planErasure(deps, node, context.signal)
  for (const { name } of disks) await assertNotInUse(deps.root, name)
  const sentences = new Map<string, string>()
  for (const { name, reason } of leftAlone) sentences.set(name, `left alone: ${reason}`)
  for (const { name } of readOnly) sentences.set(name, 'skipped: read-only')
  for (const disk of leftAlone) {
    if (disk.isWanted) continue
    const error = new AgentError('ProtectedDeviceError', `${disk.name}: ${disk.reason}`)
    warn(context.events, 'disk not burned in', { device: disk.name }, error)
  }
  if (disks.length === 0) return Object.fromEntries(sentences)
  const end = await runWithProgress(deps, context, { disks, loops, seconds, outputFile })
  for (const job of judge(end, disks)) sentences.set(job.name, describe(job))
  if (testsThemselves) {
    const tested = await runSelfTests(
      deps,
      disks.map(({ name }) => name),
      context,
    )
    for (const [name, words] of tested) sentences.set(name, `${sentences.get(name)}; ${words}`)
  }
  throwIfAborted(context.signal)
  return Object.fromEntries(sentences)
}

interface DiskBurnin {
  readonly disks: readonly Disk[]
  readonly loops: number
  /** 0: until the loops are done. */
  readonly seconds: number
  readonly outputFile: string | undefined
}

async function runWithProgress(
  deps: ErasePlanDeps,
  context: StepCall['context'],
  burnin: DiskBurnin,
): Promise<FioEnd> {
  const { disks, loops, seconds, outputFile } = burnin
  const largest = Math.max(...disks.map(({ sizeBytes }) => sizeBytes))
  const slowestMs = (1000 * loops * PASSES_A_LOOP * largest) / SLOWEST_BYTES_PER_SECOND
  const loopsMs = Math.min(Math.max(slowestMs, LEAST_TIMEOUT_MS), LONGEST_TIMEOUT_MS)
  const timeoutMs = seconds > 0 ? seconds * 1000 + GRACE_MS : loopsMs
  const expected = loops * PASSES_A_LOOP * disks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const run = () =>
    runFio(deps, context, {
      what: 'disks',
      words: fioWords(burnin),
      seconds,
      timeoutMs,
      outputFile,
    })
  const subject = disks.length === 1 ? (disks[0]?.name ?? 'disks') : `${disks.length} disks`
  if (seconds > 0) return await byTheClock(context.events, { subject, seconds }, run)
  using meter = createProgressMeter({ now: () => performance.now(), events: context.events })
  meter.begin('burn-in', expected, { subject })
  const first = await movedBytes(deps.root, disks)
  using _disks = follow(
    meter,
    async () => (await movedBytes(deps.root, disks)) - first,
    LOOK_EVERY_MS,
  )
  return await run()
}

/** ironic-python-agent's, but for the dumps of what could not be verified, which would fill the ramdisk. */
function fioWords({ disks, loops, seconds }: DiskBurnin): string[] {
  return [
    ...['--rw=readwrite', '--bs=4k', '--direct=1', '--ioengine=libaio', '--iodepth=32'],
    ...['--verify=crc32c', '--continue_on_error=verify', `--loops=${loops}`],
    // it would leave a file for each disk in the folder it runs in
    '--verify_state_save=0',
    ...(seconds > 0 ? [`--runtime=${seconds}`, '--time_based'] : []),
    // a colon separates files (HOWTO, "filename")
    ...disks.flatMap(({ name }) => [`--name=${name}`, `--filename=${name.replaceAll(':', '\\:')}`]),
  ]
}

/** Sectors read and written since the boot (Documentation/block/stat.rst); 0 of a file that stands for a disk. */
async function movedBytes(root: Root, disks: readonly Disk[]): Promise<number> {
  let sectors = 0
  for (const { name } of disks) {
    const figures = (await root.readText(`/sys/class/block/${basename(name)}/stat`))?.trim()
    const [, , read = 0, , , , written = 0] = (figures ?? '').split(/\s+/).map(Number)
    sectors += read + written
  }
  return sectors * SYSFS_SECTOR_BYTES
}

/** Throws CommandExecutionError with every disk that failed. */
function judge(end: FioEnd, disks: readonly Disk[]): readonly FioJob[] {
  const bad = end.jobs.filter(({ error, errors }) => error !== 0 || errors !== 0)
  const isComplete = end.jobs.length === disks.length
  if (end.exitCode === 0 && bad.length === 0 && isComplete) return end.jobs
  const named = bad.map(describe).join('; ')
  const said = lastLines(end.stderr, 3)
  throw burninError(
    'disks',
    `fio: exit code ${end.exitCode}, ${end.jobs.length} of ${disks.length} disks answered, ${bad.length} of them with ` +
      `errors${named && `: ${named}`}${said && `; it said: ${said}`}`,
  )
}

function describe({ name, readBytes, writtenBytes, error, errors }: FioJob): string {
  const moved = `${formatBytes(writtenBytes)} written, ${formatBytes(readBytes)} read`
  if (error === 0 && errors === 0) return `${moved}, all as written`
  return `${name}: ${moved}, errno ${error}, ${errors} errors`
}

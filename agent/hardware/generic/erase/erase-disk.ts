// SPDX-License-Identifier: Apache-2.0
// Owns how one disk is erased (contract 7.3): by the drive itself, by discarding, by overwriting, and the proof of it. Does not
// choose disks (plan.ts) and knows no steps.
import { throwIfAborted } from '../../../core/deadline.ts'
import { messageOf } from '../../../core/errors.ts'
import type { EventPublisher } from '../../../core/events.ts'
import { type EraseOptions, eraseDiskMetadata, overwriteDisk } from '../../../disk/erase.ts'
import { warn } from '../../../telemetry/operation.ts'
import type { Disk } from '../../inventory.ts'
import { eraseAtaSecurely } from './ata.ts'
import { discardDisk } from './discard.ts'
import { eraseNvmeSecurely } from './nvme.ts'
import { checkMarkers, type Erasure, type Markers, writeMarkers } from './proof.ts'
import type { EraseSettings } from './settings.ts'

export interface DiskErasure extends EraseOptions {
  readonly events: EventPublisher
}

/** How far it is, in bytes of {@link bytesToPass}. */
export interface ErasureProgress {
  add(bytes: number): void
}

/** Erases one disk and says how. */
export type EraseDisk = (disk: Disk, options: DiskErasure) => Promise<string>

/** What passes under way, if the disk is overwritten. */
export function bytesToPass(disk: Disk, settings: EraseSettings): number {
  const passes = settings.randomPasses + Number(settings.endsWithZeros)
  return (passes + Number(settings.verification === 'full')) * disk.sizeBytes
}

export const eraseMetadata: EraseDisk = async (disk, options) => {
  await eraseDiskMetadata(disk.name, options)
  return 'metadata erased'
}

/** One disk, and how it is to be erased. */
export interface DiskJob {
  readonly disk: Disk
  readonly settings: EraseSettings
  readonly options: DiskErasure
  readonly progress: ErasureProgress
}

/**
 * Every byte, by the best way the disk has; what is read afterwards belongs to the answer. The metadata is erased after a
 * secure erase too: it is quick, and checked by reading it back.
 */
export async function eraseWhole(job: DiskJob): Promise<string> {
  const { disk, options } = job
  const marking = createMarking(job)
  const how = await eraseSecurely(job, marking)
  if (how !== undefined) return how
  const { randomPasses, endsWithZeros } = job.settings
  const onBytes = (bytes: number) => job.progress.add(bytes)
  const markers = await marking()
  await overwriteDisk(disk.name, { randomPasses, endsWithZeros }, { ...options, onBytes })
  const written = `overwritten: ${randomPasses} × random${endsWithZeros ? ', zeros' : ''}`
  return `${written}; ${await proofOf(job, markers, { isZeroExpected: endsWithZeros, onBytes })}`
}

/**
 * By the drive's own command, or by discarding it where that failed and the operator has agreed to it.
 * @returns undefined if it has none, or if all failed and overwriting is allowed instead
 */
export async function eraseSecurely(
  job: DiskJob,
  marking = createMarking(job),
): Promise<string | undefined> {
  const { disk, settings, options } = job
  const isNvme = disk.name.startsWith('/dev/nvme')
  const isWanted = isNvme ? settings.usesNvmeSecureErase : settings.usesAtaSecureErase
  if (!isWanted) return undefined
  const erase = isNvme
    ? () => eraseNvmeSecurely(disk.name, { ...options, method: settings.nvmeMethod })
    : () => eraseAtaSecurely(disk.name, options)
  try {
    return await eraseProved(job, marking, erase)
  } catch (error) {
    throwIfAborted(options.signal)
    const discarded = await discardInstead(job, error)
    if (discarded !== undefined) return discarded
    if (!settings.goesOnAfterFailure) throw error
    const message = 'secure erase failed, going on without it'
    warn(options.events, message, { device: disk.name }, error)
    return undefined
  }
}

/** Never throws but for the end of the agent: what failed before decides then. */
async function discardInstead(job: DiskJob, failure: unknown): Promise<string | undefined> {
  const { disk, settings, options } = job
  if (!settings.usesDiscard) return undefined
  // nothing but the markers says that a discard has erased anything
  const verification = settings.verification === 'off' ? 'sample' : settings.verification
  const marking = createMarking({ ...job, settings: { ...settings, verification } })
  try {
    if (typeof (await marking()) === 'string') return undefined
    const discard = async () => {
      const how = await discardDisk(disk.name, options)
      return how === undefined ? undefined : { how, promisesZeros: true }
    }
    const how = await eraseProved(job, marking, discard)
    if (how === undefined) return undefined
    warn(options.events, 'secure erase failed, disk discarded', { device: disk.name }, failure)
    return how
  } catch (error) {
    throwIfAborted(options.signal)
    warn(options.events, 'disk not discarded', { device: disk.name }, error)
    return undefined
  }
}

/** Markers, the erasure, the proof, zeros where they are promised, and then the metadata. */
async function eraseProved(
  job: DiskJob,
  marking: Marking,
  erase: () => Promise<Erasure | undefined>,
): Promise<string | undefined> {
  const { disk, settings, options, progress } = job
  const markers = await marking()
  const erasure = await erase()
  if (erasure === undefined) return undefined
  const { promisesZeros: isZeroExpected } = erasure
  const how = isZeroExpected ? erasure.how : `${erasure.how}; the drive promises no zeros`
  const proof = await proofOf(job, markers, { isZeroExpected, onBytes: () => undefined })
  progress.add(bytesToPass(disk, settings))
  await eraseMetadata(disk, options)
  return `${how}; ${proof}`
}

/** Writes the markers of a disk once, however often it is asked; a sentence where there are none. */
type Marking = () => Promise<Markers | string>

function createMarking(job: Omit<DiskJob, 'progress'>): Marking {
  let markers: ReturnType<Marking> | undefined
  return () => (markers ??= mark(job))
}

const NOT_VERIFIED = 'not verified'

/** A disk that takes no markers, as a locked one, may erase itself all the same. */
async function mark({
  disk,
  settings: { verification },
  options,
}: Omit<DiskJob, 'progress'>): Promise<Markers | string> {
  if (verification === 'off') return `${NOT_VERIFIED}: nobody asked for it`
  try {
    return await writeMarkers(disk.name, verification, options)
  } catch (error) {
    throwIfAborted(options.signal)
    warn(options.events, 'no markers written before the erasure', { device: disk.name }, error)
    return `${NOT_VERIFIED}: no markers could be written, ${messageOf(error)}`
  }
}

interface ProofRequest {
  readonly isZeroExpected: boolean
  readonly onBytes: (bytes: number) => void
}

/** A sentence on what was found of the markers; why there are none, where that is so. */
async function proofOf(
  { disk, options }: DiskJob,
  markers: Markers | string,
  request: ProofRequest,
): Promise<string> {
  if (typeof markers === 'string') return markers
  return await checkMarkers(disk.name, markers, { ...options, ...request })
}

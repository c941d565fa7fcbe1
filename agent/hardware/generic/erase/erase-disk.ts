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

/**
 * Every byte, by the best way the disk has; what is read afterwards belongs to the answer. The metadata is erased after a
 * secure erase too: it is quick, and checked by reading it back.
 */
export async function eraseWhole(
  disk: Disk,
  settings: EraseSettings,
  options: DiskErasure,
  progress: ErasureProgress,
): Promise<string> {
  const marking = createMarking(disk, settings, options)
  const how = await eraseSecurely(disk, settings, options, progress, marking)
  if (how !== undefined) return how
  const { randomPasses, endsWithZeros } = settings
  const onBytes = (bytes: number) => progress.add(bytes)
  const markers = await marking()
  await overwriteDisk(disk.name, { randomPasses, endsWithZeros }, { ...options, onBytes })
  const written = `overwritten: ${randomPasses} × random${endsWithZeros ? ', zeros' : ''}`
  return await proved(written, disk, markers, endsWithZeros, options, onBytes)
}

/**
 * By the drive's own command, or by discarding it where that failed and the operator has agreed to it.
 * @returns undefined if it has none, or if all failed and overwriting is allowed instead
 */
export async function eraseSecurely(
  disk: Disk,
  settings: EraseSettings,
  options: DiskErasure,
  progress: ErasureProgress,
  marking = createMarking(disk, settings, options),
): Promise<string | undefined> {
  const isNvme = disk.name.startsWith('/dev/nvme')
  const isWanted = isNvme ? settings.usesNvmeSecureErase : settings.usesAtaSecureErase
  if (!isWanted) return undefined
  const erase = isNvme
    ? () => eraseNvmeSecurely(disk.name, { ...options, method: settings.nvmeMethod })
    : () => eraseAtaSecurely(disk.name, options)
  const whole = () => progress.add(bytesToPass(disk, settings))
  try {
    return await eraseProved(disk, { options, marking }, erase, whole)
  } catch (error) {
    throwIfAborted(options.signal)
    const discarded = await discardInstead(disk, settings, options, error, whole)
    if (discarded !== undefined) return discarded
    if (!settings.goesOnAfterFailure) throw error
    const message = 'secure erase failed, going on without it'
    warn(options.events, message, { device: disk.name }, error)
    return undefined
  }
}

/** Never throws but for the end of the agent: what failed before decides then. */
async function discardInstead(
  disk: Disk,
  settings: EraseSettings,
  options: DiskErasure,
  failure: unknown,
  onErased: () => void,
): Promise<string | undefined> {
  if (!settings.usesDiscard) return undefined
  // nothing but the markers says that a discard has erased anything
  const verification = settings.verification === 'off' ? 'sample' : settings.verification
  const marking = createMarking(disk, { ...settings, verification }, options)
  try {
    if (typeof (await marking()) === 'string') return undefined
    const discard = async () => {
      const how = await discardDisk(disk.name, options)
      return how === undefined ? undefined : { how, promisesZeros: true }
    }
    const how = await eraseProved(disk, { options, marking }, discard, onErased)
    if (how === undefined) return undefined
    warn(options.events, 'secure erase failed, disk discarded', { device: disk.name }, failure)
    return how
  } catch (error) {
    throwIfAborted(options.signal)
    warn(options.events, 'disk not discarded', { device: disk.name }, error)
    return undefined
  }
}

interface Proof {
  readonly options: DiskErasure
  readonly marking: Marking
}

/** Markers, the erasure, the proof, zeros where they are promised, and then the metadata. */
async function eraseProved(
  disk: Disk,
  { options, marking }: Proof,
  erase: () => Promise<Erasure | undefined>,
  onErased: () => void,
): Promise<string | undefined> {
  const markers = await marking()
  const erasure = await erase()
  if (erasure === undefined) return undefined
  const { promisesZeros } = erasure
  const how = promisesZeros ? erasure.how : `${erasure.how}; the drive promises no zeros`
  const said = await proved(how, disk, markers, promisesZeros, options, () => undefined)
  onErased()
  await eraseMetadata(disk, options)
  return said
}

/** Writes the markers of a disk once, however often it is asked; a sentence where there are none. */
type Marking = () => Promise<Markers | string>

function createMarking(disk: Disk, settings: EraseSettings, options: DiskErasure): Marking {
  let markers: ReturnType<Marking> | undefined
  return () => (markers ??= mark(disk, settings, options))
}

const NOT_VERIFIED = 'not verified'

/** A disk that takes no markers, as a locked one, may erase itself all the same. */
async function mark(
  disk: Disk,
  { verification }: EraseSettings,
  options: DiskErasure,
): Promise<Markers | string> {
  if (verification === 'off') return `${NOT_VERIFIED}: nobody asked for it`
  try {
    return await writeMarkers(disk.name, verification, options)
  } catch (error) {
    throwIfAborted(options.signal)
    warn(options.events, 'no markers written before the erasure', { device: disk.name }, error)
    return `${NOT_VERIFIED}: no markers could be written, ${messageOf(error)}`
  }
}

async function proved(
  how: string,
  disk: Disk,
  markers: Markers | string,
  isZeroExpected: boolean,
  options: DiskErasure,
  onBytes: (bytes: number) => void,
): Promise<string> {
  if (typeof markers === 'string') return `${how}; ${markers}`
  return `${how}; ${await checkMarkers(disk.name, markers, { ...options, isZeroExpected, onBytes })}`
}

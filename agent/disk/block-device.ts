// SPDX-License-Identifier: Apache-2.0
// Owns an open disk: O_DIRECT|O_EXCL, any alignment in, whole sectors out, everything or an error.
// Does not know partitions or images.
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { AgentError, messageOf, systemErrorCode } from '../core/errors.ts'
import type { BufferPool } from '../core/extent.ts'
import { MiB, roundDown, roundUp } from '../core/units.ts'
import type { Root } from '../system/root.ts'
import type { Logger } from '../telemetry/logger.ts'
import { allocateAligned, createAlignedPool, isAligned } from './aligned-pool.ts'
import { type DeviceGeometry, isReadOnly, readGeometry } from './geometry.ts'
import { inUseError, listUses } from './in-use.ts'
import { createIoWatch, DISK_TIMEOUT_MS, type IoWatch } from './io-watch.ts'
import { preadFully, pwriteFully, type TransferTarget, transferError } from './transfer.ts'

export type { DeviceGeometry } from './geometry.ts'

/** The bytes of a disk. Reads and writes transfer everything or throw BlockDeviceError / ImageWriteError. */
export interface DiskBytes {
  readonly geometry: DeviceGeometry
  /** Fills `target` from `offset` on. Any alignment; aligned pool buffers go straight to O_DIRECT. */
  read(offset: number, target: Uint8Array): Promise<void>
  /** Writes all of `data` at `offset`. Any alignment; unaligned edges are read, merged and written. */
  write(offset: number, data: Uint8Array): Promise<void>
  /** fsync: everything written is on the medium. */
  sync(): Promise<void>
}

/** An open disk. */
export interface BlockDevice extends DiskBytes, AsyncDisposable {
  /** For a reader in another thread; valid until disposal. Opened with O_DIRECT if `isDirect`. */
  readonly fd: number
  /** False where O_DIRECT was refused: reads may then come from the page cache. */
  readonly isDirect: boolean
  /** Longest time of one transfer, ms; 0 for no limit. A reader in another thread keeps to it by itself. */
  readonly timeoutMs: number
}

export interface OpenOptions {
  /**
   * `write` opens read-write and exclusively: a mounted or otherwise claimed device is refused. `write-shared` does
   * not ask for that: for bytes of a disk that are none of those who hold its partitions.
   */
  readonly mode: 'read' | 'write' | 'write-shared'
  /** Whose sysfs tells size and sectors. */
  readonly root: Root
  readonly log?: Pick<Logger, 'warn'>
  /** Longest time of one transfer, ms (option disk_timeout); 0 for no limit. */
  readonly timeoutMs?: number
}

/** What passes through a bounce buffer at once, bytes. */
const BOUNCE_BYTES = MiB
/** Without O_DIRECT: written bytes after which the page cache is flushed, so that it stays small. */
const FLUSH_EVERY_BYTES = 64 * MiB

/**
 * Opens a block device, or a regular file that stands in for one.
 * Throws DeviceNotFound, TargetInUseError (mode `write`, says what uses it), BlockDeviceError. From then on every
 * transfer has its deadline; once one hangs, all fail and closing leaves the device behind (io-watch.ts).
 */
export async function openBlockDevice(path: string, options: OpenOptions): Promise<BlockDevice> {
  const known = await readGeometry(options.root, path)
  if (options.mode !== 'read') await assertNotReadOnly(options.root, path)
  // a partial last sector of a regular file cannot be written with O_DIRECT without growing the file
  const geometry =
    options.mode !== 'read'
      ? { ...known, sizeBytes: roundDown(known.sizeBytes, known.logicalSectorBytes) }
      : known
  const timeoutMs = options.timeoutMs ?? DISK_TIMEOUT_MS
  const watch = createIoWatch({ path, timeoutMs })
  let opening: ReturnType<typeof openDirect> | undefined
  const open = async () => {
    opening = openDirect(geometry, options)
    return await opening
  }
  const what = { type: 'BlockDeviceError', what: 'opening' } as const
  const { handle, isDirect } = await watch.run(what, open).catch((error: unknown) => {
    // one that comes back after its deadline has nobody left to close it
    opening?.then((late) => late.handle.close()).catch(() => undefined)
    throw error
  })
  return { ...createBlockDevice(handle, geometry, isDirect, watch), timeoutMs }
}

/**
 * O_RDWR succeeds on some write-protected devices; the first write would then fail with EPERM.
 * @throws BlockDeviceError
 */
export async function assertNotReadOnly(root: Root, path: string): Promise<void> {
  if (!(await isReadOnly(root, path))) return
  throw new AgentError('BlockDeviceError', `${path} is write-protected; see blockdev --getro`)
}

/** O_EXCL without O_CREAT: the kernel claims the block device for this open file (open(2)). */
const ACCESS: Readonly<Record<OpenOptions['mode'], number>> = {
  read: constants.O_RDONLY,
  write: constants.O_RDWR | constants.O_EXCL,
  'write-shared': constants.O_RDWR,
}

async function openDirect(
  geometry: DeviceGeometry,
  options: OpenOptions,
): Promise<{ handle: FileHandle; isDirect: boolean }> {
  const { path } = geometry
  const access = ACCESS[options.mode]
  let reason: unknown
  try {
    const handle = await open(path, access | constants.O_DIRECT)
    reason = await trialRead(handle, geometry)
    if (reason === undefined) return { handle, isDirect: true }
    await handle.close()
  } catch (error) {
    if (systemErrorCode(error) !== 'EINVAL') throw await openError(options.root, path, error)
    reason = error
  }
  options.log?.warn(
    { device: path, err: reason },
    'O_DIRECT refused; going on through the page cache with fdatasync',
  )
  try {
    return { handle: await open(path, access), isDirect: false }
  } catch (error) {
    throw await openError(options.root, path, error)
  }
}

/** Proves that this file takes O_DIRECT from our memory in units of its sector; EINVAL if not. */
async function trialRead(handle: FileHandle, geometry: DeviceGeometry): Promise<unknown> {
  const sectorBytes = geometry.logicalSectorBytes
  if (geometry.sizeBytes < 2 * sectorBytes) return undefined
  try {
    await handle.read(allocateAligned(sectorBytes), 0, sectorBytes, sectorBytes)
    return undefined
  } catch (error) {
    // EIO is an answer of the medium, not of O_DIRECT: the first real transfer reports it
    return systemErrorCode(error) === 'EINVAL' ? error : undefined
  }
}

async function openError(root: Root, path: string, error: unknown): Promise<AgentError> {
  const errno = systemErrorCode(error)
  if (errno === 'EBUSY') return inUseError(path, await listUses(root, path), error)
  const type = errno === 'ENOENT' || errno === 'ENXIO' ? 'DeviceNotFound' : 'BlockDeviceError'
  return new AgentError(type, `cannot open ${path}: ${messageOf(error)}`, { cause: error })
}

function createBlockDevice(
  handle: FileHandle,
  geometry: DeviceGeometry,
  isDirect: boolean,
  watch: IoWatch,
): Omit<BlockDevice, 'timeoutMs'> {
  const { path, sizeBytes, logicalSectorBytes } = geometry
  const unitBytes = isDirect ? logicalSectorBytes : 1
  const target: TransferTarget = { handle, path, unitBytes, watch }
  const sync = async () => {
    try {
      await watch.run({ type: 'ImageWriteError', what: 'fsync' }, () => handle.sync())
    } catch (error) {
      const all = { path, offset: 0, length: sizeBytes }
      throw transferError({ type: 'ImageWriteError', verb: 'fsync', ...all }, error)
    }
  }
  const io = isDirect ? new SectorIo(target, sizeBytes) : createCachedIo(target, sync)
  const check = (verb: string, offset: number, length: number) => {
    if (offset >= 0 && Number.isSafeInteger(offset) && offset + length <= sizeBytes) return
    throw new AgentError(
      verb === 'read' ? 'BlockDeviceError' : 'ImageWriteError',
      `${verb} of ${length} bytes at offset ${offset} lies outside of ${path} (${sizeBytes} bytes)`,
    )
  }
  return {
    geometry,
    fd: handle.fd,
    isDirect,
    read: async (offset, into) => {
      check('read', offset, into.length)
      await io.read(offset, into)
    },
    write: async (offset, data) => {
      check('write', offset, data.length)
      await io.write(offset, data)
    },
    sync,
    [Symbol.asyncDispose]: async () => {
      // it waits for transfers that may never end; the claim on a device that hangs stays meanwhile
      if (watch.isHung) handle.close().catch(() => undefined)
      // the last one to close a disk writes what others have left in its page cache
      else await watch.run({ type: 'BlockDeviceError', what: 'closing' }, () => handle.close())
    },
  }
}

type Io = Pick<BlockDevice, 'read' | 'write'>

/** The page cache takes any alignment; it is flushed now and then to keep it small and errors early. */
function createCachedIo(target: TransferTarget, sync: () => Promise<void>): Io {
  let unflushedBytes = 0
  return {
    read: (offset, into) => readOrThrow(target, offset, into, into.length),
    write: async (offset, data) => {
      await pwriteFully(target, offset, data)
      unflushedBytes += data.length
      if (unflushedBytes < FLUSH_EVERY_BYTES) return
      unflushedBytes = 0
      await sync()
    },
  }
}

/** Whole, aligned sectors for O_DIRECT: straight where the caller's memory allows, else by a bounce buffer. */
class SectorIo implements Io {
  readonly #target: TransferTarget
  readonly #sizeBytes: number
  readonly #bounce = createAlignedPool({ bufferBytes: BOUNCE_BYTES, count: 2 })
  readonly #edges: BufferPool
  readonly #withSector = createKeyedLock()

  constructor(target: TransferTarget, sizeBytes: number) {
    this.#target = target
    this.#sizeBytes = sizeBytes
    this.#edges = createAlignedPool({ bufferBytes: target.unitBytes, count: 4 })
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    const { unitBytes } = this.#target
    const isWhole = offset % unitBytes === 0 && into.length % unitBytes === 0
    if (isWhole && isAligned(into, unitBytes)) {
      return await readOrThrow(this.#target, offset, into, into.length)
    }
    for (let at = 0; at < into.length; ) {
      const skip = (offset + at) % unitBytes
      const part = into.subarray(at, at + BOUNCE_BYTES - skip)
      await this.#readPart(offset + at - skip, skip, part)
      at += part.length
    }
  }

  async write(offset: number, data: Uint8Array): Promise<void> {
    const { unitBytes } = this.#target
    const headBytes = Math.min(data.length, roundUp(offset, unitBytes) - offset)
    const bodyBytes = roundDown(data.length - headBytes, unitBytes)
    const bodyEnd = headBytes + bodyBytes
    if (headBytes > 0) await this.#mergeSector(offset, data.subarray(0, headBytes))
    if (bodyBytes > 0) {
      await this.#writeSectors(offset + headBytes, data.subarray(headBytes, bodyEnd))
    }
    if (bodyEnd < data.length) await this.#mergeSector(offset + bodyEnd, data.subarray(bodyEnd))
  }

  /** What lies `skip` bytes behind the sector at `start`. */
  async #readPart(start: number, skip: number, part: Uint8Array): Promise<void> {
    await withBuffer(this.#bounce, async (buffer) => {
      const end = skip + part.length
      const whole = buffer.subarray(0, roundUp(end, this.#target.unitBytes))
      // the last sector of a regular file may be short
      await readOrThrow(this.#target, start, whole, Math.min(end, this.#sizeBytes - start))
      part.set(whole.subarray(skip, end))
    })
  }

  /** A part of one sector: the rest of it stays. */
  async #mergeSector(offset: number, data: Uint8Array): Promise<void> {
    const { unitBytes } = this.#target
    const start = roundDown(offset, unitBytes)
    await this.#withSector(start, () =>
      withBuffer(this.#edges, async (sector) => {
        await readOrThrow(this.#target, start, sector, unitBytes)
        sector.set(data, offset - start)
        await pwriteFully(this.#target, start, sector)
      }),
    )
  }

  async #writeSectors(offset: number, data: Uint8Array): Promise<void> {
    if (isAligned(data, this.#target.unitBytes)) {
      return await pwriteFully(this.#target, offset, data)
    }
    for (let at = 0; at < data.length; at += BOUNCE_BYTES) {
      const part = data.subarray(at, at + BOUNCE_BYTES)
      await withBuffer(this.#bounce, async (buffer) => {
        buffer.set(part)
        await pwriteFully(this.#target, offset + at, buffer.subarray(0, part.length))
      })
    }
  }
}

/** Reads into all of `into`; at least `neededBytes` of it must exist. */
async function readOrThrow(
  target: TransferTarget,
  offset: number,
  into: Uint8Array,
  neededBytes: number,
): Promise<void> {
  const got = await preadFully(target, offset, into)
  if (got >= neededBytes) return
  const cause = new Error(`the device ends after ${got} bytes`)
  const part = { path: target.path, offset, length: into.length }
  throw transferError({ type: 'BlockDeviceError', verb: 'read', ...part }, cause)
}

async function withBuffer(
  pool: BufferPool,
  work: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  const buffer = await pool.acquire()
  try {
    await work(buffer.bytes)
  } finally {
    buffer.release()
  }
}

/** Runs work on the same key one after the other: two merges of a sector must not lose bytes. */
function createKeyedLock(): (key: number, work: () => Promise<void>) => Promise<void> {
  const tails = new Map<number, Promise<void>>()
  return async (key, work) => {
    const before = tails.get(key) ?? Promise.resolve()
    const mine = before.then(work)
    const tail = mine.catch(() => undefined)
    tails.set(key, tail)
    try {
      await mine
    } finally {
      if (tails.get(key) === tail) tails.delete(key)
    }
  }
}

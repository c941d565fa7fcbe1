// SPDX-License-Identifier: Apache-2.0
// Owns the failure matrix of image deploys as data: what is wrong, and what must come of it. The runner
// (failures.test.ts) adds what holds for every failure: nothing on the disk boots, nothing stays open.
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import type { ErrorType } from '../../../agent/core/errors.ts'
import type { JsonObject } from '../../../agent/core/json.ts'
import { encodeInfo, encodeMetainfo } from '../../../agent/sources/swarm/metainfo.ts'
import { describeImage, makeDiskImage } from '../../support/disk-image.ts'
import { startTracker } from '../../support/tracker.ts'
import {
  type DeployLab,
  type DeployLabOptions,
  type DeployTestOptions,
  MiB,
  seedImage,
} from '../image/deploy-lab.ts'
import { startHostilePeer } from '../swarm/hostile-peer.ts'

const run = promisify(execFile)

/** What a case changes before the deploy, and what it takes back afterwards. */
export interface Arrangement extends DeployTestOptions {
  /** Fields of image_info. */
  readonly fields?: JsonObject
  readonly undo?: () => PromiseLike<void>
  /** Another target than the lab's disk. */
  readonly devicePath?: string
}

export interface FailureCase {
  readonly name: string
  readonly lab?: DeployLabOptions
  readonly arrange: (lab: DeployLab) => Arrangement | Promise<Arrangement>
  readonly error: ErrorType
  readonly details: RegExp
  /** Refused before the disk was touched: what was on it is still there. */
  readonly isUntouched?: boolean
}

/** A fault that stays until the end of the case. */
function forever<T>(value: T): T[] {
  return Array.from({ length: 200 }, () => value)
}

/** Once the first image bytes are on the disk. */
function atFirstBytes(act: () => void): DeployTestOptions['onProgress'] {
  let isDone = false
  return ({ step, doneBytes }) => {
    if (isDone || step !== 'fetch' || doneBytes === 0) return
    isDone = true
    act()
  }
}

const REQUIRE = { swarm_mode: 'require', swarm_stall_timeout: 3 } as const
/** A TCP port nobody listens on. */
const DEAD_TRACKER = 'http://127.0.0.1:9/announce'

export const IMAGE_CASES: readonly FailureCase[] = [
  {
    name: 'a wrong checksum',
    arrange: () => ({ fields: { os_hash_value: 'ab'.repeat(32) } }),
    error: 'ImageChecksumError',
    details: /image_info says abab.*source was http.*check os_hash_value/,
  },
  {
    name: 'a checksum no image can have',
    arrange: () => ({ fields: { os_hash_value: 'ab' } }),
    error: 'ImageChecksumError',
    details: /2 hex digits, but sha256 has 64/,
    isUntouched: true,
  },
  {
    name: 'an image larger than the disk',
    lab: { disk: { sizeBytes: 12 * MiB } },
    arrange: () => ({}),
    error: 'InvalidImage',
    details: /16777216 bytes, \/dev\/loop\d+ only 12582912; choose a larger disk/,
    isUntouched: true,
  },
  {
    name: 'an image larger than the disk, of unknown length',
    lab: { disk: { sizeBytes: 12 * MiB } },
    arrange: ({ origin }) => {
      origin.faults = { chunked: true, ignoreRange: true }
      return {}
    },
    error: 'InvalidImage',
    details: /bytes, \/dev\/loop\d+ only 12582912/,
    isUntouched: true,
  },
  {
    name: 'a qcow2 without disk_format',
    arrange: async ({ image }) => {
      await overwrite(image.path, 0, Buffer.from('QFI\xfb\0\0\0\x03', 'latin1'))
      return { fields: { disk_format: null } }
    },
    error: 'InvalidImage',
    details: /qcow2; so far only raw/,
    isUntouched: true,
  },
  {
    name: 'a qcow2 without disk_format from a server without Range',
    arrange: async ({ image, origin }) => {
      await overwrite(image.path, 0, Buffer.from('QFI\xfb\0\0\0\x03', 'latin1'))
      origin.faults = { ignoreRange: true }
      return { fields: { disk_format: null } }
    },
    error: 'InvalidImage',
    details: /qcow2; so far only raw/,
  },
  {
    name: 'a partition image',
    arrange: () => ({ fields: { image_type: 'partition' } }),
    error: 'InvalidImage',
    details: /only whole-disk images/,
    isUntouched: true,
  },
  {
    name: 'an image without a partition table',
    arrange: async ({ image }) => {
      await overwrite(image.path, 0, new Uint8Array(MiB))
      return { fields: { os_hash_value: (await describeImage(image.path)).sha256 } }
    },
    error: 'DeploymentError',
    details: /no partitions found/,
  },
  {
    name: 'a GPT for other sectors than the disk has',
    lab: { disk: { sectorBytes: 4096 } },
    arrange: () => ({}),
    error: 'DeploymentError',
    details: /GPT for 512-byte sectors/,
  },
  {
    name: 'a config drive that is none',
    arrange: () => ({ configdrive: Buffer.from('hello').toString('base64') }),
    error: 'DeploymentError',
    details: /not a base64-encoded gzip/,
    isUntouched: true,
  },
  {
    name: 'a config drive for which there is no room',
    lab: { disk: { sizeBytes: 20 * MiB } },
    arrange: () => ({ configdrive: gzipSync(randomBytes(4096)).toString('base64') }),
    error: 'DeploymentError',
    details: /no free 64.0 MiB for the config drive/,
  },
  {
    name: 'an abort',
    arrange: () => {
      const controller = new AbortController()
      return {
        signal: controller.signal,
        onProgress: ({ step }) => {
          if (step === 'read-back') controller.abort()
        },
      }
    },
    error: 'CancelledError',
    details: /cancelled/,
  },
]

export const ORIGIN_CASES: readonly FailureCase[] = [
  {
    name: 'an origin that ends early, and says so',
    arrange: ({ origin }) => {
      origin.faults = { objectBytes: 9 * MiB }
      return {}
    },
    error: 'ImageChecksumError',
    details: /bytes 0–9437183 is/,
  },
  {
    name: 'an origin that closes the connection again and again',
    arrange: ({ origin }) => {
      origin.faults = { truncateAfterBytes: forever(1000) }
      return {}
    },
    error: 'ImageDownloadError',
    details: /no url of the image is left to ask/,
  },
  {
    name: 'an origin that goes away for good',
    arrange: ({ origin }) => {
      origin.faults = { rateBytesPerSecond: 8 * MiB }
      return { onProgress: atFirstBytes(() => void origin.goDown()) }
    },
    error: 'ImageDownloadError',
    details: /no connection/,
  },
  {
    name: 'an origin that is not there at all',
    arrange: async ({ origin }) => {
      await origin.goDown()
      return {}
    },
    error: 'ImageDownloadError',
    details: /no connection/,
    isUntouched: true,
  },
  {
    name: 'an origin that claims more than it has',
    arrange: ({ origin }) => {
      origin.faults = { claimTotalBytes: 17 * MiB }
      return {}
    },
    error: 'ImageDownloadError',
    details: /no url of the image is left/,
  },
  {
    name: 'an origin that claims less than it has',
    arrange: ({ origin }) => {
      origin.faults = { claimTotalBytes: 9 * MiB }
      return {}
    },
    error: 'ImageChecksumError',
    details: /bytes 0–9437183/,
  },
  {
    name: 'an origin that inverts a byte',
    arrange: ({ origin }) => {
      origin.faults = { corruptAt: 5 * MiB }
      return {}
    },
    error: 'ImageChecksumError',
    details: /holds what the source sent/,
  },
  {
    name: 'an origin that wants credentials',
    lab: { origin: { auth: { user: 'u', password: 'p' } } },
    arrange: () => ({}),
    error: 'ImageDownloadFatalError',
    details: /401.*image_server_auth_strategy/,
    isUntouched: true,
  },
]

export const SWARM_CASES: readonly FailureCase[] = [
  {
    name: 'no torrent where the swarm is required',
    arrange: () => ({ config: REQUIRE }),
    error: 'ImageDownloadError',
    details: /no usable torrent is known/,
    isUntouched: true,
  },
  ...malformedMetainfo(),
  {
    name: 'a torrent of another length where the swarm is required',
    arrange: () => ({
      config: REQUIRE,
      fields: { torrent: { metainfo: torrentOf(15 * MiB) } },
    }),
    error: 'InvalidMetainfoError',
    details: /15728640 bytes, the server has 16777216/,
    isUntouched: true,
  },
  {
    name: 'a dead tracker, where nobody else has the image',
    arrange: async (lab) => {
      const torrent = await seedImage(lab.image, DEAD_TRACKER)
      await lab.origin.goDown()
      return {
        config: REQUIRE,
        fields: { torrent: torrent.payload },
        undo: () => torrent[Symbol.asyncDispose](),
      }
    },
    error: 'SwarmStalledError',
    details: /no new piece for \d+ s with 0 peers.*check trackers/,
  },
  {
    name: 'a peer that sends garbage, where nobody else has the image',
    arrange: async (lab) => {
      const tracker = await startTracker()
      const torrent = await seedImage(lab.image, DEAD_TRACKER)
      const { metainfo } = torrent
      const peer = await startHostilePeer(tracker.url, {
        metainfo,
        onRequest: (talk, { piece, offset, length }) =>
          talk.sendBlock(piece, offset, randomBytes(length)),
      })
      await lab.origin.goDown()
      return {
        config: REQUIRE,
        fields: { torrent: { ...torrent.payload, trackers: [tracker.url] } },
        undo: async () => {
          await peer[Symbol.asyncDispose]()
          await torrent[Symbol.asyncDispose]()
          await tracker[Symbol.asyncDispose]()
        },
      }
    },
    error: 'SwarmStalledError',
    details: /no new piece/,
  },
  {
    name: 'a swarm that shares another image of the same length',
    arrange: async (lab) => {
      const tracker = await startTracker()
      const other = await makeDiskImage(join(lab.folder, 'other.raw'), {
        sizeBytes: lab.image.sizeBytes,
        seed: 2,
      })
      const torrent = await seedImage(other, tracker.url)
      await lab.origin.goDown()
      return {
        fields: { torrent: torrent.payload },
        undo: async () => {
          await torrent[Symbol.asyncDispose]()
          await tracker[Symbol.asyncDispose]()
        },
      }
    },
    error: 'ImageChecksumError',
    details: /source was swarm/,
  },
]

export const DISK_CASES: readonly FailureCase[] = [
  {
    name: 'a mounted disk',
    arrange: async ({ disk, folder }) => {
      const mountPoint = join(folder, 'mnt')
      await mkdir(mountPoint)
      await run('mkfs.ext4', ['-q', '-F', disk.path])
      // read-only: a file system writes by itself when it is mounted, and the agent may not be blamed for it
      await run('mount', ['-o', 'ro', disk.path, mountPoint])
      return { undo: async () => void (await run('umount', [mountPoint])) }
    },
    error: 'TargetInUseError',
    details: /is mounted at .*\/mnt/,
    isUntouched: true,
  },
  {
    name: 'a disk somebody has claimed',
    arrange: async ({ disk }) => {
      const claim = await open(disk.path, constants.O_RDWR | constants.O_EXCL)
      return { undo: () => claim.close() }
    },
    error: 'TargetInUseError',
    details: /in use/,
    isUntouched: true,
  },
  {
    name: 'a disk that is not there',
    arrange: async ({ folder }) => ({ devicePath: join(folder, 'nothing') }),
    error: 'DeviceNotFound',
    details: /nothing/,
    isUntouched: true,
  },
  {
    name: 'a disk that forgets what was written to it',
    arrange: ({ disk }) => ({
      onProgress: ({ step }) => {
        if (step === 'read-back') overwriteNow(disk.backingFile, 5 * MiB, randomBytes(512))
      },
    }),
    error: 'ReadBackMismatchError',
    details: /Bytes \d+–\d+ do not read back as they were written.*see dmesg/,
  },
]

function malformedMetainfo(): FailureCase[] {
  const texts: [string, string, RegExp][] = [
    ['cut off', torrentOf(16 * MiB).slice(0, 400), /torrent refused/],
    ['of two files', base64('d4:infod5:filesld6:lengthi1e4:pathl1:aeee4:name1:xee'), /refused/],
    ['with a piece length of zero', torrentOf(16 * MiB, 0), /piece length 0/],
    ['nested without end', base64(`d4:info${'l'.repeat(5000)}`), /refused/],
  ]
  return texts.map(([what, metainfo, details]) => ({
    name: `metainfo ${what}, where the swarm is required`,
    arrange: () => ({ config: REQUIRE, fields: { torrent: { metainfo } } }),
    error: 'InvalidMetainfoError',
    details,
    isUntouched: true,
  }))
}

/** base64 of a torrent that describes so many bytes; its hashes fit nothing. */
export function torrentOf(lengthBytes: number, pieceLength = MiB): string {
  const count = pieceLength === 0 ? 1 : Math.ceil(lengthBytes / pieceLength)
  const info = encodeInfo({ name: 'x', lengthBytes, pieceLength, pieces: randomBytes(20 * count) })
  return Buffer.from(encodeMetainfo(info)).toString('base64')
}

function base64(text: string): string {
  return Buffer.from(text, 'latin1').toString('base64')
}

async function overwrite(path: string, offset: number, bytes: Uint8Array): Promise<void> {
  await using file = await open(path, 'r+')
  await file.write(bytes, 0, bytes.length, offset)
}

/** Within the progress event, so that it has happened before the next step of the agent. */
function overwriteNow(path: string, offset: number, bytes: Uint8Array): void {
  const fd = openSync(path, 'r+')
  writeSync(fd, bytes, 0, bytes.length, offset)
  closeSync(fd)
}

import { execFile } from 'node:child_process'
import { mkdir, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { openBlockDevice } from '../../../agent/disk/block-device.ts'
import { mapArriving } from '../../../agent/image/formats/qcow2/arriving/map-arriving.ts'
import type { ArrivingUnpacking } from '../../../agent/image/plan/unpacking.ts'
import { downloadDeadline } from '../../../agent/image/request/download-deadline.ts'
import { unpackArriving } from '../../../agent/image/unpack-arriving.ts'
import type { ImageSource } from '../../../agent/sources/source.ts'
import { exec } from '../../../agent/system/exec.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { createProgressMeter } from '../../../agent/telemetry/progress-meter.ts'
import { recordedStream } from '../../support/event-lab.ts'
import { convertImage } from '../../support/formats/packed-image.ts'
import { readerOf } from '../../support/formats/unpacked-file.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { hasPackages } from '../../support/packages.ts'
import { createDeployLab, MiB, testConfig, testLogger } from './deploy-lab.ts'

const run = promisify(execFile)
const canRun =
  hasLoopDevices('a disk that fails while it is unpacked to') && hasPackages('image-formats')

test.runIf(canRun)(
  'a disk that fails is told of at once, though nothing more of the image comes',
  async () => {
    await using lab = await createDeployLab()
    const packed = await convertImage(lab.image.path, 'qcow2', ['-c'])
    const folder = join(lab.folder, 'small')
    await mkdir(folder)
    await run('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder])
    try {
      await using disk = await createLoopDevice({ sizeBytes: 32 * MiB, directory: folder })
      const unpacked = unpackTo(disk.path, packed, { createSource: halfOf })
      await expect(unpacked).rejects.toMatchObject({
        type: 'ImageWriteError',
        details: expect.stringMatching(/E(IO|NOSPC)/),
      })
    } finally {
      await run('umount', [folder])
    }
  },
)

test.runIf(canRun)('a cancel that came before it began ends it', async () => {
  await using lab = await createDeployLab()
  const packed = await convertImage(lab.image.path, 'qcow2', ['-c'])
  const cancelled = AbortSignal.abort(new Error('cancelled before'))
  const unpacked = unpackTo(lab.disk.path, packed, { createSource: halfOf, signal: cancelled })
  await expect(unpacked).rejects.toThrow(/^cancelled/i)
})

test.runIf(canRun)('a walk over many tables lets a cancel be seen', async () => {
  await using lab = await createDeployLab()
  const path = join(lab.folder, 'many-tables.qcow2')
  const options = 'cluster_size=512,preallocation=metadata'
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', options, path, '64M'])
  const bytes = new Uint8Array(await readFile(path))
  const cancel = new AbortController()
  const mapping = mapArriving({
    read: async ({ offset, length }, into = new Uint8Array(length)) => {
      into.set(bytes.subarray(offset, offset + length))
      return into.subarray(0, length)
    },
    fileBytes: bytes.length,
    signal: cancel.signal,
  })
  setImmediate(() => cancel.abort(new Error('cancelled meanwhile')))
  await expect(mapping).rejects.toThrow('cancelled meanwhile')
})

interface PackedFile {
  readonly path: string
  readonly sizeBytes: number
  readonly sha256: string
}

interface UnpackOptions {
  readonly createSource: (read: ReturnType<typeof readerOf>, fileBytes: number) => ImageSource
  readonly signal?: AbortSignal
}

async function unpackTo(path: string, packed: PackedFile, options: UnpackOptions) {
  const root = createRoot('/')
  await using device = await openBlockDevice(path, { mode: 'write', root })
  await using file = await open(packed.path)
  const read = readerOf(file)
  const { createSource, signal = new AbortController().signal } = options
  const clusters = await mapArriving({
    ...{ read, fileBytes: packed.sizeBytes },
    signal: new AbortController().signal,
  })
  if ('why' in clusters) throw new Error(clusters.why)
  const window = { offset: 0, length: 32 * MiB }
  const unpacking: ArrivingUnpacking = {
    format: 'qcow2',
    kept: null,
    window,
    leastBytes: 16 * MiB,
    container: null,
    clusters,
  }
  const config = testConfig()
  const events = recordedStream()
  return await unpackArriving(
    {
      plan: {
        imageId: 'image',
        target: { disk: device.geometry, window, layout: null },
        sizeBytes: packed.sizeBytes,
        format: 'qcow2',
        namedFormat: { disk: 'qcow2', packing: null },
        unpacking,
        clusters: null,
        isFormatOpen: false,
        content: 'whole disk',
        hash: { algo: 'sha256', value: packed.sha256 },
        sources: [{ name: 'http', urls: [] }],
        holdBack: [],
        hasConfigdrive: false,
        warnings: [],
      },
      unpacking,
      window,
      judge: () => undefined,
      device,
      dropCache: async () => undefined,
      isTrailing: false,
      progress: createProgressMeter({ events, now: () => performance.now() }),
      signal,
      deadline: downloadDeadline(0),
      events,
      createSource: () => createSource(read, packed.sizeBytes),
    },
    {
      config,
      exec,
      root,
      log: testLogger(),
      random: Math.random,
      now: () => performance.now(),
    } as never,
  )
}

/** Brings the first half of the file and then nothing, until it is told to end. */
function halfOf(read: ReturnType<typeof readerOf>, fileBytes: number): ImageSource {
  return {
    name: 'http',
    deliver: async ({ sink, signal }) => {
      signal.throwIfAborted()
      const data = await read({ offset: 0, length: Math.floor(fileBytes / 2) })
      const writing = sink.write({ offset: 0, data, from: 'origin' })
      writing.catch(() => undefined)
      await new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      })
    },
    stats: () => ({ peers: 0, uploadedBytes: 0 }),
    [Symbol.asyncDispose]: async () => undefined,
  }
}

import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { UNPACKERS, type UnpackedFormat } from '../../../../agent/image/formats/unpackers.ts'
import {
  PACKERS,
  type Packer,
  packImage,
  runTo,
  skippableFrame,
} from '../../../support/formats/packed-image.ts'
import { NOWHERE } from '../../../support/formats/unpacked-memory.ts'
import { hasPackages } from '../../../support/packages.ts'
import { compareBy, KiB, MiB, SOURCE_BYTES, unpackInto, writeSource } from './packed-lab.ts'

const canRun = hasPackages('image-formats')
let folder = ''
let source = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-packed-'))
  source = join(folder, 'source')
  await writeSource(source)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Which program unpacks what the packers make, for the comparison. */
const UNPACK = {
  zstd: ['zstd', '-q', '-d', '-c', '--long=31'],
  gzip: ['gzip', '-d', '-c'],
  xz: ['xz', '-d', '-c'],
  bzip2: ['bzip2', '-d', '-c'],
} as const
type Packed = keyof typeof UNPACK

function formatOf(packer: Packer): Packed {
  if (packer.includes('zstd')) return 'zstd'
  if (packer.startsWith('xz')) return 'xz'
  return packer === 'bzip2' ? 'bzip2' : 'gzip'
}

const paths = new Map<Packer, Promise<string>>()

/** The source, packed once. */
async function packedPath(packer: Packer): Promise<string> {
  const path = paths.get(packer) ?? packImage(source, packer).then((image) => image.path)
  paths.set(packer, path)
  return await path
}

async function packed(packer: Packer): Promise<Buffer> {
  return await readFile(await packedPath(packer))
}

async function fileOf(name: string, parts: readonly Uint8Array[]): Promise<string> {
  const path = join(folder, name.replaceAll(/\W+/g, '-'))
  await writeFile(path, Buffer.concat(parts))
  return path
}

describe.runIf(canRun)('an image packed by', () => {
  const readable = (Object.keys(PACKERS) as Packer[]).filter((name) => !name.includes('31'))
  test.each(readable)(
    '%s comes out as that program unpacks it, its holes as zeros',
    async (packer) => {
      const path = await packedPath(packer)
      const format = formatOf(packer)
      const unpacked = await unpackInto(format, path)
      expect(unpacked.imageBytes).toBe(SOURCE_BYTES)
      expect(unpacked.writtenBytes + unpacked.zeroedBytes).toBe(SOURCE_BYTES)
      expect(unpacked.zeroedBytes).toBeGreaterThan(8 * MiB)
      await compareBy(UNPACK[format], path, unpacked.target, SOURCE_BYTES)
    },
  )
})

type Build = () => Promise<Uint8Array[]>

const PUT_TOGETHER: readonly [string, Packed, number, Build][] = [
  ['two frames of zstd', 'zstd', 2, async () => [await packed('zstd'), await packed('zstd')]],
  [
    'zstd with skippable frames before, between and behind',
    'zstd',
    2,
    async () => [
      skippableFrame(0),
      skippableFrame(300, 15),
      await packed('zstd without checksum'),
      skippableFrame(2 * MiB, 7),
      await packed('zstd'),
      skippableFrame(17, 14),
    ],
  ],
  [
    'zstd whose frame headers lie across every border of what is read at once',
    'zstd',
    1,
    async () => [skippableFrame(MiB - 8 - 8 - 3), skippableFrame(0), await packed('zstd')],
  ],
  ['several members of gzip', 'gzip', 2, async () => [await packed('gzip'), await packed('bgzip')]],
  [
    'gzip with zeros behind it, as tapes have',
    'gzip',
    1,
    async () => [await packed('pigz'), Buffer.alloc(3 * MiB)],
  ],
  [
    'gzip with zeros from the border of what is read at once on',
    'gzip',
    1,
    async () => {
      const whole = await packed('gzip')
      // a name in the header moves the end of the member (RFC 1952 §2.3.1)
      const name = Buffer.alloc(MiB - (whole.length % MiB), 'n')
      name[name.length - 1] = 0
      const head = Buffer.from(whole.subarray(0, 10))
      const flags = head[3] as number
      const nameEnd = (flags & 8) === 0 ? 10 : whole.indexOf(0, 10) + 1
      const shorter = nameEnd - 10
      const fitted = Buffer.alloc(name.length + shorter, 'n')
      fitted[fitted.length - 1] = 0
      head[3] = flags | 8
      return [head, fitted, whole.subarray(nameEnd), Buffer.alloc(2 * MiB + 1)]
    },
  ],
  [
    'streams of xz with padding between them',
    'xz',
    2,
    async () => [await packed('xz'), Buffer.alloc(8), await packed('xz'), Buffer.alloc(4)],
  ],
  ['streams of bzip2', 'bzip2', 2, async () => [await packed('bzip2'), await packed('bzip2')]],
]

describe.runIf(canRun)('files put together', () => {
  test.each(PUT_TOGETHER)('%s come out whole', async (name, format, copies, build) => {
    const path = await fileOf(name, await build())
    const bytes = copies * SOURCE_BYTES
    const unpacked = await unpackInto(format, path, { room: bytes })
    expect(unpacked.imageBytes).toBe(bytes)
    await compareBy(UNPACK[format], path, unpacked.target, bytes)
  })

  test('an empty image of zstd has no bytes', async () => {
    const empty = await fileOf('empty', [skippableFrame(5)])
    expect((await unpackInto('zstd', empty)).imageBytes).toBe(0)
  })
})

/** The byte at this part of the file is another one. */
function flipped(bytes: Buffer, part: number): Buffer {
  const copy = Buffer.from(bytes)
  const at = Math.floor(copy.length * part)
  copy[at] = (copy[at] as number) ^ 0xff
  return copy
}

interface BadFile {
  readonly name: string
  readonly format: UnpackedFormat
  readonly parts: () => Promise<Uint8Array[]>
  readonly room?: number
  readonly details: RegExp
}

const GARBAGE = Buffer.from('what does not belong there')

const BAD_FILES: readonly BadFile[] = [
  ...(['zstd', 'pzstd', 'gzip', 'bgzip', 'xz', 'bzip2'] as const).flatMap((packer): BadFile[] => {
    const format = formatOf(packer)
    return [
      {
        name: `${packer}, cut`,
        format,
        parts: async () => [(await packed(packer)).subarray(0, -100)],
        details:
          /(ends at byte \d+ within a frame|broken near byte \d+|found within its first \d+)/,
      },
      {
        name: `${packer}, with a byte that is wrong`,
        format,
        parts: async () => [flipped(await packed(packer), 0.6)],
        details: /(is broken|ends at byte)/,
      },
      {
        name: `${packer}, with garbage behind it`,
        format,
        parts: async () => [await packed(packer), GARBAGE],
        details:
          /(neither a frame nor a skippable|incorrect header|trailing garbage|data is corrupt)/,
      },
      {
        name: `${packer}, with more than there is room for`,
        format,
        parts: async () => [await packed(packer)],
        room: SOURCE_BYTES - 1,
        details: /holds an image of \d+ bytes or more; there is room for 26215099 /,
      },
    ]
  }),
  {
    name: 'gzip, with garbage behind zeros',
    format: 'gzip',
    parts: async () => [await packed('gzip'), Buffer.alloc(2 * MiB), GARBAGE],
    details: /last member ends at byte \d+, and neither another member nor zeros follow/,
  },
  {
    name: 'zstd, cut in the header of a skippable frame',
    format: 'zstd',
    parts: async () => [await packed('zstd'), skippableFrame(10).subarray(0, 6)],
    details: /ends at byte \d+ within a frame that begins at byte \d+/,
  },
  {
    name: 'zstd, cut in its first magic',
    format: 'zstd',
    parts: async () => [Buffer.from([0x28, 0xb5])],
    details: /ends at byte 2 within a frame that begins at byte 0/,
  },
  {
    name: 'zstd, with a window of 2 GiB',
    format: 'zstd',
    parts: async () => {
      const frame = Buffer.from('28b52ffd00', 'hex')
      return [frame, Buffer.from([(31 - 10) << 3]), Buffer.from('010000', 'hex')]
    },
    details: /needs a window of 2.0 GiB \(2147483648 bytes\) in memory, at most 64.0 MiB/,
  },
  {
    name: 'zstd, with a dictionary that is elsewhere',
    format: 'zstd',
    parts: async () => [Buffer.from('28b52ffd01580700010000', 'hex')],
    details: /packed with dictionary 7, which it does not hold/,
  },
  {
    name: 'zstd, with a block of a type that is none',
    format: 'zstd',
    parts: async () => [Buffer.from('28b52ffd0058070000', 'hex')],
    details: /a block of type 3 and 0 bytes/,
  },
  {
    name: 'xz, with a dictionary of 512 MiB',
    format: 'xz',
    parts: async () => [await readFile(await bigXz())],
    details: /more memory to unpack than the 96.0 MiB/,
  },
  { name: 'xz, empty', format: 'xz', parts: async () => [GARBAGE], details: /not recognized/ },
]

async function bigXz(): Promise<string> {
  const path = join(folder, 'big.xz')
  await runTo(path, 'xz', ['-c', '-0', '--lzma2=preset=0,dict=512MiB', source])
  return path
}

describe.runIf(canRun)('refused, with the place or the numbers, is', () => {
  test.each(BAD_FILES.map((row) => [row.name, row] as const))('%s', async (name, row) => {
    const path = await fileOf(`bad ${name}`, await row.parts())
    const unpacking = unpackInto(row.format, path, row.room === undefined ? {} : { room: row.room })
    await expect(unpacking).rejects.toMatchObject({
      type: 'InvalidImage',
      details: expect.stringMatching(row.details),
    })
    expect(await childrenOf(process.pid)).toEqual([])
  })
})

describe.runIf(canRun)('unpacking that is cancelled', () => {
  test.each(['zstd', 'gzip', 'xz', 'bzip2'] as const)(
    'of %s ends, and leaves no process',
    async (packer) => {
      const path = await packedPath(packer)
      await using slow = await open(path)
      const controller = new AbortController()
      const { size } = await slow.stat()
      let writes = 0
      const unpacking = UNPACKERS[packer]({
        read: async ({ offset, length }, target = new Uint8Array(length)) => {
          await slow.read(target, 0, length, offset)
          return target
        },
        keptAt: NOWHERE,
        virtualBytes: null,
        fileBytes: size,
        window: { offset: 0, length: SOURCE_BYTES },
        sink: {
          write: async () => {
            writes += 1
            if (writes === 2) controller.abort(new Error('enough'))
            await new Promise((resolve) => setTimeout(resolve, 5))
          },
          zero: async () => undefined,
        },
        signal: controller.signal,
      })
      await expect(unpacking).rejects.toThrow('enough')
      expect(writes).toBeLessThan(SOURCE_BYTES / (64 * KiB))
      expect(await childrenOf(process.pid)).toEqual([])
    },
  )
})

/** Programs that run below a process: xz and bzip2 are the only ones an agent starts here. */
async function childrenOf(pid: number): Promise<string[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '')
  const names = await Promise.all(
    text
      .split(' ')
      .filter(Boolean)
      .map((child) => readFile(`/proc/${child}/comm`, 'utf8').catch(() => '')),
  )
  return names.map((name) => name.trim()).filter((name) => name === 'xz' || name === 'bzip2')
}

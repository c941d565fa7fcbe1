import { execFile } from 'node:child_process'
import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type DiskImage, describeImage, makeDiskImage } from '../../support/disk-image.ts'
import { packImage } from '../../support/formats/packed-image.ts'
import { hasPackages } from '../../support/packages.ts'
import { run, start } from './ironswarm.ts'

const KiB = 1024
const MiB = 1024 * KiB
const PIECE_BYTES = 64 * KiB
const execute = promisify(execFile)

const canRun = hasPackages('agent') && hasPackages('image-formats')

describe.runIf(canRun)('ironswarm torrent create --zstd', () => {
  let folder: string
  let image: DiskImage

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ironswarm-zstd-'))
    image = await makeDiskImage(join(folder, 'image.raw'), { sizeBytes: 12 * MiB })
    // a hole, and what does not end with a sector
    await using file = await open(image.path, 'a')
    await file.truncate(32 * MiB)
    await file.write(Buffer.alloc(700, 0x17))
    image = await describeImage(image.path)
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  const create = (zstd: string, output: string, ...flags: string[]) =>
    run('torrent', 'create', '--path', image.path, '--zstd', zstd, '--output', output, ...flags)

  test('makes a file that zstd(1) unpacks, whole and piece by piece, and its torrent', async () => {
    const [zstd, output] = [join(folder, 'image.raw.zst'), join(folder, 'image.torrent')]
    const made = await create(
      ...([zstd, output, '--piece-length', String(PIECE_BYTES), '--json'] as const),
      ...['--tracker', 'http://tracker:6969/announce'],
    )
    expect(made).toMatchObject({ code: 0, stderr: '' })
    const file = await describeImage(zstd)
    expect(made.report).toMatchObject({
      name: 'image.raw.zst',
      length_bytes: file.sizeBytes,
      piece_length: PIECE_BYTES,
      trackers: [['http://tracker:6969/announce']],
      zstd,
      image_length_bytes: image.sizeBytes,
    })
    await execute('zstd', ['-q', '-d', zstd, '-o', join(folder, 'whole')])
    expect((await describeImage(join(folder, 'whole'))).sha256).toBe(image.sha256)
    // each piece is a file of zstd, and together they are the image
    const bytes = await readFile(zstd)
    const script = 'for piece in piece.*; do zstd -q -d -c < $piece || exit 1; done > together'
    const content = bytes.subarray(0, bytes.length - tableBytes(bytes))
    for (let at = 0; at < content.length; at += PIECE_BYTES) {
      const name = `piece.${String(at).padStart(12, '0')}`
      await writeFile(join(folder, name), content.subarray(at, at + PIECE_BYTES))
    }
    await execute('bash', ['-c', script], { cwd: folder })
    expect((await describeImage(join(folder, 'together'))).sha256).toBe(image.sha256)
    // the torrent is of this very file
    const again = join(folder, 'again.torrent')
    const flags = ['--piece-length', String(PIECE_BYTES), '--json']
    const plain = await run('torrent', 'create', '--path', zstd, '--output', again, ...flags)
    expect(plain.report['info_hash']).toBe(made.report['info_hash'])
  })

  test('says how much of the image the file holds, and takes a part of it', async () => {
    const [zstd, output] = [join(folder, 'part.zst'), join(folder, 'part.torrent')]
    const made = await create(zstd, output, '--length', '4M')
    expect(made.stdout).toMatch(/part\.zst: 4194304 bytes \(4\.0 MiB\) of image, \d+\.\d\d × its/)
    expect(made.stdout).toMatch(/packing .*4\.0 MiB/)
    await execute('zstd', ['-q', '-d', zstd, '-o', join(folder, 'part')])
    const [part, whole] = [await readFile(join(folder, 'part')), await readFile(image.path)]
    expect(part.equals(whole.subarray(0, 4 * MiB))).toBe(true)
  })

  test.each([
    ['one path for both', 'same', 'same', [], /--zstd and --output are both/],
    ['the image itself', 'image.raw', 'x.torrent', ['--force'], /is .*image\.raw itself/],
    ['the image as the torrent', 'x.zst', 'image.raw', ['--force'], /is .*image\.raw itself/],
    ['a file that is there', 'there', 'x.torrent', [], /is there already; .*--force/],
    ['a torrent that is there', 'x.zst', 'there', [], /is there already; .*--force/],
    ['a folder that is not there', 'a/x.zst', 'x.torrent', [], /there is no folder/],
    [
      'a length beyond the image',
      'x.zst',
      'x.torrent',
      ['--length', '1G'],
      /--length asks for 1073741824/,
    ],
    [
      'a piece length that is none',
      'x.zst',
      'x.torrent',
      ['--piece-length', '5K'],
      /multiple of 16/,
    ],
  ])('refuses %s, and writes nothing', async (_what, zstd, output, flags, words) => {
    await writeFile(join(folder, 'there'), 'precious')
    const before = (await readdir(folder)).toSorted()
    const refused = await create(join(folder, zstd), join(folder, output), ...flags)
    expect(refused).toMatchObject({ code: 2 })
    expect(refused.stderr).toMatch(words)
    expect((await readdir(folder)).toSorted()).toEqual(before)
    expect(await readFile(join(folder, 'there'), 'utf8')).toBe('precious')
    expect((await describeImage(image.path)).sha256).toBe(image.sha256)
  })

  test('refuses an image that is packed already', async () => {
    const packed = await packImage(image.path, 'zstd')
    const flags = ['--zstd', join(folder, 'twice.zst'), '--output', join(folder, 'twice.torrent')]
    const refused = await run('torrent', 'create', '--path', packed.path, ...flags)
    expect(refused).toMatchObject({ code: 2, stdout: '' })
    expect(refused.stderr).toMatch(/is zstd; --zstd packs raw images/)
  })

  test('leaves no file at all after Ctrl-C', async () => {
    const large = join(folder, 'large.raw')
    await execute('truncate', ['-s', '64G', large])
    const before = (await readdir(folder)).toSorted()
    const flags = ['--zstd', join(folder, 'cut.zst'), '--output', join(folder, 'cut.torrent')]
    const packing = start(['torrent', 'create', '--path', large, ...flags])
    await expect
      .poll(async () => (await readdir(folder)).some((name) => name.startsWith('.cut.zst.')), {
        timeout: 60_000,
      })
      .toBe(true)
    packing.child.kill('SIGINT')
    const ended = await packing.finished
    expect(ended.code).toBe(130)
    expect(ended.stderr).toMatch(/CancelledError/)
    expect((await readdir(folder)).toSorted()).toEqual(before)
  })
})

/** Of the frame at the end, by its last bytes: entries of 8 bytes, a header of 8, a footer of 9. */
function tableBytes(file: Buffer): number {
  expect(file.readUInt32LE(file.length - 4)).toBe(0x8f92eab1)
  return file.readUInt32LE(file.length - 9) * 8 + 17
}

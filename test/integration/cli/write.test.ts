import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { bootableTraces, differencesFromImage } from '../../support/compare-disk.ts'
import { type DiskImage, makeDiskImage } from '../../support/disk-image.ts'
import { createHttpOrigin } from '../../support/http-origin.ts'
import { createLoopDevice, hasLoopDevices, type LoopDevice } from '../../support/loop-device.ts'
import { openersOf } from '../../support/openers.ts'
import { hasPackages } from '../../support/packages.ts'
import { run, start } from './ironswarm.ts'

const exec = promisify(execFile)
const MiB = 1024 * 1024
const canRun = hasLoopDevices('ironswarm write and verify') && hasPackages('agent')

describe.runIf(canRun)('ironswarm write', () => {
  let directory: string
  let image: DiskImage
  let disk: LoopDevice

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'ironswarm-cli-'))
    image = await makeDiskImage(join(directory, 'image.raw'), { sizeBytes: 32 * MiB })
    disk = await createLoopDevice({ sizeBytes: 48 * MiB, directory })
  })
  afterAll(async () => {
    await disk?.[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  })

  /** The flags for an image at `url`. */
  async function flags(url: string, fields: object = {}): Promise<string[]> {
    const path = join(directory, 'image-info.json')
    const info = {
      id: 'image.raw',
      urls: [url],
      disk_format: 'raw',
      os_hash_algo: 'sha256',
      os_hash_value: image.sha256,
      ...fields,
    }
    await writeFile(path, JSON.stringify(info))
    return ['--image-info', path, '--device', disk.path]
  }

  /** So that a disk which cannot boot afterwards was made so by the command under test. */
  async function makeBootable(url: string): Promise<void> {
    expect((await run('write', ...(await flags(url)))).code).toBe(0)
    expect(await bootableTraces(disk.path)).not.toEqual([])
  }

  test.each(['plan', 'write'])(
    '%s refuses an image that is the target, and leaves it as it is',
    async (verb) => {
      const before = await readFile(disk.backingFile)
      for (const source of [disk.backingFile, disk.path]) {
        const ended = await run(verb, ...(await flags(pathToFileURL(source).href)))
        expect(ended.code).not.toBe(0)
        expect(ended.stderr).toContain('would destroy what is to be written')
      }
      expect(before.equals(await readFile(disk.backingFile))).toBe(true)
    },
  )

  test('refuses --boot for what no instance starts from, before anything is written', async () => {
    await using origin = await createHttpOrigin({ path: image.path })
    const before = await readFile(disk.backingFile)
    const [, path = ''] = await flags(origin.url)
    for (const [target, reason] of [
      [disk.path, 'is no disk of its own'],
      [disk.backingFile, 'is no block device'],
    ] as const) {
      const ended = await run('write', '--image-info', path, '--device', target, '--boot')
      expect(ended.code).toBe(2)
      expect(ended.stderr).toContain('InvalidCommandParamsError: --boot ends this system')
      expect(ended.stderr).toContain(reason)
    }
    expect(before.equals(await readFile(disk.backingFile))).toBe(true)
    expect((await run('write', '--help')).stdout).toContain('--boot does not ask before it ends')
  })

  test('writes a device from an HTTP server; --json ends stdout with one object', async () => {
    await using origin = await createHttpOrigin({ path: image.path })
    const ended = await run('write', ...(await flags(origin.url)), '--json')
    expect(ended.code).toBe(0)
    expect(ended.stdout.trim().split('\n')).toHaveLength(1)
    expect(ended.report).toMatchObject({
      verified: true,
      hash: { algo: 'sha256', value: image.sha256 },
      bytes: { origin: image.sizeBytes, peers: 0, file: 0 },
      device: disk.path,
    })
    expect(ended.report['seconds']).toBeGreaterThan(0)
    for (const line of ended.stderr.trim().split('\n')) expect(JSON.parse(line).level).toBe('info')
    expect(await differencesFromImage(disk.path, image.path)).toEqual([])
  })

  test('says in plain lines, without escape codes, what it does when nobody wants JSON', async () => {
    await using origin = await createHttpOrigin({ path: image.path })
    const ended = await run('write', ...(await flags(origin.url)))
    expect(ended).toMatchObject({ code: 0, stderr: '' })
    const [first] = ended.stdout.split('\n')
    expect(first).toBe(`image.raw from ${origin.url} to ${disk.path} (48.0 MiB)`)
    // nothing of the disk is changed by then
    expect(ended.stdout).toMatch(/^checking image and disk$/m)
    expect(ended.stdout).toMatch(/^step 1 of 3: writing the image/m)
    expect(ended.stdout).toMatch(/^step 3 of 3: making the disk bootable/m)
    expect(ended.stdout).toMatch(new RegExp(`read back, sha256 ${image.sha256}`))
    expect(ended.stdout).not.toContain('\u001B')
  })

  test('writes from flags alone: a URL, its digest, a device; then verifies without any server', async () => {
    const typed: string[] = []
    {
      const sums = `${image.sha256}  image.raw\n${'a'.repeat(64)}  other.raw\n`
      const files = { '/SHA256SUMS': sums }
      await using origin = await createHttpOrigin({ path: image.path, files })
      const listed = new URL('/SHA256SUMS', origin.url).href
      const proved = await run('plan', '--url', origin.url, '--sha256', listed, disk.path, '--json')
      expect(proved.report).toMatchObject({ hash: { algo: 'sha256', value: image.sha256 } })
      typed.push('--url', origin.url, '--sha256', image.sha256.toUpperCase(), disk.path)
      const ended = await run('write', ...typed, '--json')
      expect(ended).toMatchObject({ code: 0, report: { verified: true, device: disk.path } })
    }
    expect(await differencesFromImage(disk.path, image.path)).toEqual([])
    const length = String(image.sizeBytes)
    const proved = ['verify', '--sha256', image.sha256, '--length', length, disk.path]
    expect(await run(...proved)).toMatchObject({ code: 0, stderr: '' })
    const gone = await run('write', ...typed, '--image-download-connection-retries', '1')
    expect(gone.code).toBe(1)
    expect(gone.stderr).toMatch(/attempt 2 of 2, again in \d+ s/)
    expect(gone.stderr).toMatch(
      new RegExp(`^ironswarm: ImageDownloadError: .*${disk.path} is as it was$`, 'm'),
    )
  })

  test('writes from a file, which is hashed first, and refuses the two in the wrong order', async () => {
    const ended = await run('write', image.path, disk.path, '--json')
    expect(ended.report).toMatchObject({
      verified: true,
      hash: { algo: 'sha256', value: image.sha256 },
      bytes: { file: image.sizeBytes, origin: 0 },
    })
    expect(await run('verify', image.path, disk.path)).toMatchObject({ code: 0 })
    const before = await digestOf(image.path)
    const swapped = await run('write', disk.path, image.path)
    expect(swapped.code).toBe(2)
    expect(swapped.stderr).toContain('the image comes first')
    expect((await digestOf(image.path)).equals(before)).toBe(true)
  })

  test.each([
    ['no digest', ['--url', 'http://h/i'], '--sha256 or --sha512 is missing'],
    ['a digest too short', ['--url', 'http://h/i', '--sha256', 'abc'], 'give 64 hex digits'],
    ['two digests', ['--url', 'http://h/i', '--sha256', 'a'.repeat(64), '--sha512', 'a'], 'one of'],
    ['two images', ['--url', 'http://h/i', 'README.md'], 'which?'],
    ['a flag beside a file', ['--image-info', 'x.json', '--sha256', 'a'], '--sha256 beside'],
    [
      'a .torrent that is none',
      ['--url', 'http://h/i', '--sha256', 'a'.repeat(64), '--torrent', 'README.md'],
      'InvalidMetainfoError',
    ],
    ['a file that is not there', ['/nowhere.raw'], 'cannot read /nowhere.raw'],
    ['a URL that is none', ['--url', 'nonsense'], '--url is "nonsense"; give http(s)://'],
    ['a file as a URL', ['--url', 'file:///x', '--sha256', 'a'.repeat(64)], '--url is "file:///x"'],
    ['image_info without end', ['--image-info', '/dev/zero'], 'too long to be image_info'],
    [
      'a config drive that is not there, before the image is read for its digest',
      ['README.md', '--configdrive', '/nowhere'],
      'cannot read /nowhere',
    ],
  ])('write and plan refuse %s with 2', async (_name, words, why) => {
    for (const verb of ['write', 'plan']) {
      const ended = await run(verb, ...words, disk.path)
      expect(ended).toMatchObject({ code: 2, stdout: '' })
      expect(ended.stderr.trim().split('\n')).toHaveLength(1)
      expect(ended.stderr).toContain(why)
    }
  })

  test('tells of fields of image_info that nothing reads', async () => {
    await using origin = await createHttpOrigin({ path: image.path })
    const ended = await run('plan', ...(await flags(origin.url, { os_hash_algorithm: 'sha256' })))
    expect(ended.code).toBe(0)
    expect(ended.stderr).toBe(
      'ironswarm: warning: image_info: nothing reads "os_hash_algorithm"; did you mean os_hash_algo?\n',
    )
  })

  test('verify finds the image on a larger disk, and one changed byte by exit code 3', async () => {
    await using origin = await createHttpOrigin({ path: image.path })
    const argv = await flags(origin.url)
    expect((await run('write', ...argv)).code).toBe(0)
    const good = await run('verify', ...argv, '--json')
    expect(good.report).toMatchObject({ verified: true, size_bytes: image.sizeBytes })
    expect(good.code).toBe(0)
    const byte = ['if=/dev/urandom', `of=${disk.path}`, 'bs=1', 'count=16', 'seek=20000000']
    await exec('dd', [...byte, 'conv=notrunc', 'status=none'])
    const bad = await run('verify', ...argv, '--json')
    expect(bad.code).toBe(3)
    expect(bad.report).toMatchObject({ verified: false, error: { type: 'ReadBackMismatchError' } })
    expect(bad.stderr).toMatch(/^ironswarm: ReadBackMismatchError: sha256 of /m)
  })

  test('a wrong checksum ends with 3, one line on stderr, and a disk that cannot boot', async () => {
    await using origin = await createHttpOrigin({ path: image.path })
    await makeBootable(origin.url)
    const wrong = { os_hash_value: 'a'.repeat(64) }
    const ended = await run('write', ...(await flags(origin.url, wrong)))
    expect(ended.code).toBe(3)
    expect(ended.stderr.trim().split('\n')).toHaveLength(1)
    expect(ended.stderr).toMatch(/^ironswarm: ImageChecksumError: /)
    expect(ended.stderr).toContain(`. ${disk.path} cannot boot now; write it again\n`)
    expect(await bootableTraces(disk.path)).toEqual([])
  })

  test('a disk that takes no zeros may boot afterwards, and the command says so', async () => {
    await using origin = await createHttpOrigin({ path: image.path })
    const folder = await mkdtemp(join(directory, 'full-'))
    await exec('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'none', folder])
    try {
      await using old = await createLoopDevice({ sizeBytes: 64 * MiB, directory: folder })
      const table = exec('sfdisk', ['--quiet', '--no-reread', old.path])
      table.child.stdin?.end('label: dos\nstart=2048,type=83,bootable\n')
      await table
      // what lies in the page cache above it would find no room later
      await exec('blockdev', ['--flushbufs', old.path])
      await exec('dd', ['if=/dev/zero', `of=${join(folder, 'rest')}`, 'bs=4k']).catch(
        () => undefined,
      )
      const argv = ['--url', origin.url, '--sha256', image.sha256, old.path, '--json']
      const ended = await run('write', ...argv)
      expect(ended.report).toMatchObject({
        verified: false,
        disk: 'may boot',
        error: { type: 'ImageWriteError' },
      })
      expect(ended.stderr).toContain(
        `${old.path} could not be erased and may boot with what is not verified: erase it or take it out`,
      )
      expect(await openersOf(old.path)).toEqual([])
    } finally {
      await exec('umount', [folder])
    }
  })

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s half-way ends with %d and a disk that cannot boot', async (signal, code) => {
    await using fast = await createHttpOrigin({ path: image.path })
    await makeBootable(fast.url)
    await using origin = await createHttpOrigin({
      path: image.path,
      faults: { rateBytesPerSecond: 4 * MiB },
    })
    const writing = start(['write', ...(await flags(origin.url)), '--json'])
    // the first request asks for the size, the second for the first bytes, the third for the image
    await expect.poll(() => origin.requests.length).toBeGreaterThan(2)
    writing.child.kill(signal)
    const ended = await writing.finished
    expect(ended.code).toBe(code)
    expect(ended.report).toMatchObject({
      verified: false,
      disk: 'not bootable',
      error: { type: 'CancelledError' },
    })
    expect(ended.stderr).toContain(`${disk.path} cannot boot now; write it again`)
    expect(await bootableTraces(disk.path)).toEqual([])
  })

  test('a device that another process is writing ends with 4', async () => {
    await using origin = await createHttpOrigin({ path: image.path })
    const slow = await createHttpOrigin({
      path: image.path,
      faults: { rateBytesPerSecond: 4 * MiB },
    })
    const first = start(['write', ...(await flags(slow.url)), '--json'])
    await first.says(/image planned/)
    // the first one has it open exclusively as soon as it asks for bytes
    await expect.poll(() => slow.requests.length).toBeGreaterThan(2)
    const second = await run('write', ...(await flags(origin.url)))
    expect(second.code).toBe(4)
    expect(second.stderr).toMatch(/^ironswarm: TargetInUseError: .*is as it was$/m)
    first.child.kill('SIGINT')
    await first.finished
    await slow[Symbol.asyncDispose]()
  })

  test('plan refuses what write refuses: a disk that is in use, and one that is write-protected', async () => {
    await using origin = await createHttpOrigin({ path: image.path })
    await using busy = await createLoopDevice({ sizeBytes: 8 * MiB, directory })
    const execute = promisify(execFile)
    const plan = async (device: string) =>
      await run('plan', ...(await flags(origin.url)).slice(0, 2), '--device', device)
    await execute('blockdev', ['--setro', disk.path])
    try {
      const refused = await plan(disk.path)
      expect(refused).toMatchObject({ code: 1, stdout: '' })
      expect(refused.stderr).toMatch(/BlockDeviceError: .* is write-protected/)
    } finally {
      await execute('blockdev', ['--setrw', disk.path])
    }
    const file = (
      await readFile(`/sys/class/block/${basename(busy.path)}/loop/backing_file`, 'utf8')
    ).trim()
    const refused = await plan(file)
    expect(refused).toMatchObject({ code: 4, stdout: '' })
    expect(refused.stderr).toMatch(/TargetInUseError/)
  })

  test('plan touches nothing and names image, target, sources and steps', async () => {
    await using origin = await createHttpOrigin({ path: image.path })
    const before = await digestOf(disk.path)
    const ended = await run('plan', ...(await flags(origin.url)))
    expect(ended).toMatchObject({ code: 0, stderr: '' })
    for (const word of ['image.raw', disk.path, image.sha256, origin.url, 'step 1']) {
      expect(ended.stdout).toContain(word)
    }
    expect((await digestOf(disk.path)).equals(before)).toBe(true)
    const json = await run('plan', ...(await flags(origin.url)), '--json')
    expect(json.report).toMatchObject({ image_id: 'image.raw', size_bytes: image.sizeBytes })
    expect(JSON.stringify(json.report)).not.toMatch(/"[a-z]+[A-Z]\w*":/)
  })

  test.each([
    ['a file that is not there', 'nowhere.json', /cannot read nowhere\.json/],
    ['a file that is no JSON', 'README.md', /README\.md is no JSON/],
    ['a JSON that is no image_info', 'package.json', /InvalidCommandParamsError/],
  ])('%s for --image-info ends with 2 and says so', async (_name, file, words) => {
    const ended = await run('write', '--image-info', file, '--device', disk.path)
    expect(ended.code).toBe(2)
    expect(ended.stderr.trim().split('\n')).toHaveLength(1)
    expect(ended.stderr).toMatch(words)
  })
})

/** A digest of the whole device. */
async function digestOf(path: string): Promise<Buffer> {
  const { stdout } = await promisify(execFile)('sha256sum', [path], { encoding: 'buffer' })
  return stdout
}

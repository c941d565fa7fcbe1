import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type DiskImage, makeDiskImage } from '../../support/disk-image.ts'
import { createHttpOrigin } from '../../support/http-origin.ts'
import { createLoopDevice, hasLoopDevices } from '../../support/loop-device.ts'
import { startTracker } from '../../support/tracker.ts'
import { run } from './ironswarm.ts'

const MiB = 1024 * 1024

interface Finding {
  check: string
  verdict: string
  found: string
  to_do: string | null
}

describe('ironswarm doctor', () => {
  let directory: string
  let image: DiskImage

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'ironswarm-doctor-'))
    image = await makeDiskImage(join(directory, 'image.raw'), { sizeBytes: 8 * MiB })
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  async function examine(...flags: string[]) {
    const ended = await run('doctor', '--json', ...flags)
    const checks = ended.report['checks'] as Finding[]
    return { ...ended, of: (name: string) => checks.filter(({ check }) => check === name) }
  }

  test('finds this machine, an origin, a tracker by its torrent, and a file to write fit', async () => {
    await using origin = await createHttpOrigin({ path: image.path })
    await using tracker = await startTracker()
    const torrent = join(directory, 'image.torrent')
    const urls = ['--tracker', tracker.url, '--web-seed', origin.url]
    await run('torrent', 'create', '--path', image.path, '--output', torrent, ...urls)
    const ended = await examine('--torrent', torrent, '--device', image.path)
    expect(ended.report).toMatchObject({ healthy: true, counts: { fail: 0, skip: 1 } })
    expect(ended.code).toBe(0)
    expect(ended.of('clock')).toMatchObject([{ verdict: 'ok' }])
    expect(ended.of('memory')).toMatchObject([{ verdict: 'ok' }])
    expect(ended.of('disk')).toMatchObject([{ found: `${image.path}, 8.0 MiB, free` }])
    expect(ended.of('origin')).toMatchObject([
      { verdict: 'ok', found: `${origin.url}: 8.0 MiB, parts by Range` },
    ])
    const [said] = ended.of('tracker')
    expect(said?.verdict).toBe('ok')
    expect(said?.found).toMatch(/answers in \d+ ms, \d+ peers?$/)
    expect(ended.of('ironic')).toMatchObject([{ verdict: 'skip' }])
  })

  test('says what fails, what to do, and ends with 1', async () => {
    const server = createServer((_, response) => {
      response.end('d14:failure reason16:not on the list.e')
    })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    const { port } = server.address() as AddressInfo
    const secret = '0123456789abcdef0123456789abcdef'
    const ended = await examine(
      ...['--url', 'http://127.0.0.1:1/image.raw', '--api-url', 'http://127.0.0.1:1'],
      ...['--tracker', `http://127.0.0.1:${port}/${secret}/announce`],
      ...['--device', join(directory, 'nowhere')],
    )
    server.closeAllConnections()
    server.close()
    expect(ended.code).toBe(1)
    expect(ended.report).toMatchObject({
      healthy: false,
      counts: { fail: 4 },
      error: { type: 'CommandExecutionError' },
    })
    expect(ended.of('tracker')).toMatchObject([
      {
        verdict: 'fail',
        found: expect.stringContaining('refused: not on the list'),
        to_do: expect.stringContaining('put the torrent on its list'),
      },
    ])
    for (const check of ['origin', 'ironic', 'disk']) {
      expect(ended.of(check)).toMatchObject([{ verdict: 'fail', to_do: expect.any(String) }])
    }
    expect(ended.stdout + ended.stderr).not.toContain(secret)
    expect(ended.stderr).toMatch(/checks failed: .*origin, tracker$/m)
  })

  test('warns of an origin without Range, and of a clock that is off', async () => {
    await using origin = await createHttpOrigin({ path: image.path })
    origin.faults = {
      ignoreRange: true,
      headers: { date: new Date(Date.now() - 60_000).toUTCString() },
    }
    const { of, code } = await examine('--url', origin.url, '--device', image.path)
    expect(code).toBe(0)
    expect(of('origin')).toMatchObject([
      { verdict: 'warn', found: expect.stringContaining('no parts') },
    ])
    expect(of('clock')).toMatchObject([
      { verdict: 'warn', to_do: expect.stringContaining('set the clock') },
    ])
  })

  test('reads in lines', async () => {
    const ended = await run('doctor', '--device', image.path)
    expect(ended).toMatchObject({ code: 0, stderr: '' })
    expect(ended.stdout).toMatch(/^ok {4}memory {4}\d/m)
    expect(ended.stdout).toMatch(/\d+ checks: \d+ ok, \d+ warned, 3 skipped\n$/)
  })

  test.runIf(hasLoopDevices('a disk that is in use'))(
    'a disk in use is a failure where it is named',
    async () => {
      await using disk = await createLoopDevice({ sizeBytes: 8 * MiB, directory })
      expect((await examine('--device', disk.path)).of('disk')).toMatchObject([{ verdict: 'ok' }])
      const used = await examine('--device', disk.backingFile)
      expect(used.code).toBe(1)
      expect(used.of('disk')).toMatchObject([
        { verdict: 'fail', found: expect.stringContaining('is in use') },
      ])
    },
  )
})

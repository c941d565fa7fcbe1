import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasPackages } from '../../support/packages.ts'
import { run } from './ironswarm.ts'

const LENGTH = 1024 * 1024 + 512

describe.runIf(hasPackages('agent'))('ironswarm verify --length', () => {
  const image = randomBytes(LENGTH)
  const sha256 = createHash('sha256').update(image).digest('hex')
  let directory: string
  let disk: string

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'ironswarm-verify-'))
    disk = join(directory, 'disk.raw')
    await writeFile(disk, Buffer.concat([image, randomBytes(4096)]))
  })
  afterAll(() => rm(directory, { recursive: true, force: true }))

  /** Counts who comes; answers like a server that has lost everything but a checksum file. */
  async function startServer() {
    const seen: string[] = []
    const server = createServer((request, response) => {
      seen.push(`${request.method} ${request.url}`)
      const isSums = request.url === '/SHA256SUMS'
      response.statusCode = isSums ? 200 : 404
      response.end(isSums ? `${sha256}  image.raw\n` : '')
    })
    let connections = 0
    server.on('connection', () => connections++)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      seen,
      connections: () => connections,
      [Symbol.asyncDispose]: async () => {
        server.closeAllConnections()
        await new Promise((resolve) => server.close(resolve))
      },
    }
  }

  async function verify(fields: object, length: number | string = LENGTH) {
    const path = join(directory, 'image-info.json')
    const hash = { os_hash_algo: 'sha256', os_hash_value: sha256 }
    await writeFile(
      path,
      JSON.stringify({ id: 'image.raw', disk_format: 'raw', ...hash, ...fields }),
    )
    const words = ['--image-info', path, '--device', disk, '--length', `${length}`, '--json']
    return await run('verify', ...words)
  }

  test.each([
    ['an image server', (url: string) => ({ urls: [`${url}/image.raw`] })],
    ['several', (url: string) => ({ urls: [`${url}/image.raw`, `${url}/mirror/image.raw`] })],
    [
      'an image server and a torrent',
      (url: string) => ({ urls: [`${url}/image.raw`], torrent: `${url}/image.torrent` }),
    ],
  ])('asks nobody, whatever image_info names: %s', async (_what, fields) => {
    await using server = await startServer()
    const ended = await verify(fields(server.url))
    expect(ended).toMatchObject({
      code: 0,
      report: { verified: true, size_bytes: LENGTH, hash: { algo: 'sha256', value: sha256 } },
    })
    expect(server.connections()).toBe(0)
  })

  test.each([
    ['a server that is gone', { urls: ['http://127.0.0.1:9/image.raw'] }],
    ['a name that nobody knows', { urls: ['https://nobody.invalid/image.raw'] }],
    ['a file that is gone', { urls: ['file:///nowhere/image.raw'] }],
  ])('works with %s', async (_what, fields) => {
    expect(await verify(fields)).toMatchObject({ code: 0, report: { verified: true } })
  })

  test('says by exit code 3 that the disk holds something else, and asks nobody either', async () => {
    await using server = await startServer()
    const urls = [`${server.url}/image.raw`]
    for (const length of [LENGTH - 1, LENGTH + 1, LENGTH * 2]) {
      const ended = await verify({ urls }, length)
      expect(ended).toMatchObject({
        code: 3,
        report: { verified: false, error: { type: 'ReadBackMismatchError' } },
      })
    }
    expect(server.connections()).toBe(0)
  })

  test('asks for the checksum file alone where a url stands for the hash', async () => {
    await using server = await startServer()
    const ended = await verify({
      urls: [`${server.url}/image.raw`],
      os_hash_value: `${server.url}/SHA256SUMS`,
    })
    expect(ended).toMatchObject({ code: 0, report: { hash: { value: sha256 } } })
    expect(server.seen).toEqual(['GET /SHA256SUMS'])
  })

  test('of an image without a byte is refused: any disk would hold it', async () => {
    const empty = join(directory, 'empty.raw')
    await writeFile(empty, '')
    const info = {
      id: 'empty',
      urls: [pathToFileURL(empty).href],
      disk_format: 'raw',
      os_hash_algo: 'sha256',
      os_hash_value: createHash('sha256').digest('hex'),
    }
    const file = join(directory, 'empty.json')
    await writeFile(file, JSON.stringify(info))
    for (const [words, code, type] of [
      [[empty], 2, 'InvalidCommandParamsError'],
      [['--image-info', file], 1, 'InvalidImage'],
    ] as const) {
      const ended = await run('verify', ...words, disk, '--json')
      expect(ended.code).toBe(code)
      expect(JSON.parse(ended.stdout)).toMatchObject({ verified: false, error: { type } })
    }
  })

  test('that is no length is refused before anybody is asked', async () => {
    await using server = await startServer()
    const ended = await verify({ urls: [`${server.url}/image.raw`] }, 'long')
    expect(ended.stderr).toContain('--length is "long"')
    expect(ended.code).not.toBe(0)
    expect(server.connections()).toBe(0)
  })
})

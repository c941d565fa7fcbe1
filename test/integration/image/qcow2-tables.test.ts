import { mkdtemp, open, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createHttpClient } from '../../../agent/http/client.ts'
import { SNIFFED_BYTES } from '../../../agent/image/formats/image-format.ts'
import { findClusters } from '../../../agent/image/plan/cluster-facts.ts'
import { buildQcow2 } from '../../support/formats/qcow2-builder.ts'
import { imageOptions, PLAIN_CLIENT } from '../../support/http-lab.ts'
import { createHttpOrigin, type HttpOriginFaults } from '../../support/http-origin.ts'
import { hasPackages } from '../../support/packages.ts'
import { MiB, makeQcow2, run } from './formats/qcow2-lab.ts'

const canRun = hasPackages('image-formats')
let folder = ''
let image = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-tables-'))
  image = join(folder, 'image.qcow2')
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Asks a server of the image, as a plan does. */
async function ask(
  faults: HttpOriginFaults = {},
  signal = new AbortController().signal,
  isStraight = false,
) {
  await using origin = await createHttpOrigin({ path: image, faults })
  await using client = createHttpClient({ config: PLAIN_CLIENT })
  await using file = await open(image)
  const { size: fileBytes } = await stat(image)
  const firstBytes = new Uint8Array(Math.min(SNIFFED_BYTES, fileBytes))
  await file.read(firstBytes, 0, firstBytes.length, 0)
  const http = imageOptions(client, [origin.url])
  const goesStraight = () => isStraight
  const found = await findClusters({
    url: origin.url,
    http,
    fileBytes,
    firstBytes,
    signal,
    goesStraight,
  })
  return { found, bytesSent: origin.bytesSent, requests: origin.requests.length }
}

async function overwrite(offset: number, bytes: Uint8Array): Promise<void> {
  await using file = await open(image, 'r+')
  await file.write(bytes, 0, bytes.length, offset)
}

describe.runIf(canRun)('the tables of a qcow2, asked of its server', () => {
  test('are all that is fetched, and the beginning of its disk', async () => {
    await makeQcow2(image, 'preallocation=metadata', 2048 * MiB, [
      { how: 'write', offset: 0, length: MiB, pattern: 7 },
    ])
    const { found, bytesSent, requests } = await ask()
    if (!('map' in found)) throw new Error('no map')
    expect(found.map.virtualBytes).toBe(2048 * MiB)
    expect(found.beginning).toEqual(new Uint8Array(SNIFFED_BYTES).fill(7))
    // four tables of 64 KiB, the L1 table and 64 KiB of the disk
    expect(bytesSent).toBeLessThan(MiB)
    expect(requests).toBeLessThan(10)
  })

  test('are gone through once where the disk has room for the rest of the file', async () => {
    await makeQcow2(image, 'preallocation=off', 64 * MiB, [
      { how: 'write', offset: 0, length: MiB, pattern: 7 },
    ])
    const { found } = await ask({}, undefined, true)
    if (!('map' in found)) throw new Error('no map')
    expect(found.arriving).toBeNull()
    const { found: narrow } = await ask()
    expect(narrow).toMatchObject({ arriving: { fileBytes: found.map.fileBytes } })
  })

  test('are left alone where they are scattered over the file', async () => {
    const l1 = Array.from({ length: 1100 }, (_, table) => BigInt(MiB + table * 2 * MiB))
    const fields = { clusterBits: 12, l1Size: l1.length, size: l1.length * 2 * MiB }
    await writeFile(image, buildQcow2({ fields, l1 }))
    await truncate(image, (1 + l1.length) * 2 * MiB)
    const { found, bytesSent } = await ask()
    expect(found).toMatchObject({ why: expect.stringContaining('its tables are scattered') })
    expect(bytesSent).toBeLessThan(MiB)
  })

  test('are not known where the server does not answer for them', async () => {
    await makeQcow2(image, 'preallocation=metadata', 64 * MiB, [])
    const { found } = await ask({ status: 500 })
    expect(found).toMatchObject({ why: expect.stringContaining('its tables were not to be had') })
    const whole = await ask({ ignoreRange: true })
    expect(whole.found).toMatchObject({ why: expect.stringContaining('status 200 to a Range') })
  })

  test('are refused where an entry points out of the file', async () => {
    await makeQcow2(image, 'cluster_size=64k', 4 * MiB, [
      { how: 'write', offset: 0, length: MiB, pattern: 1 },
    ])
    const { stdout } = await run('qemu-img', ['map', '--output=json', image])
    const [{ offset }] = JSON.parse(stdout) as [{ offset: number }]
    // the table lies in the cluster before its first data
    await overwrite(offset - 65_536 + 8, Buffer.from('80000000ffff0000', 'hex'))
    await expect(ask()).rejects.toMatchObject({
      type: 'InvalidImage',
      details: expect.stringContaining('which has only'),
    })
  })

  test('are asked for no longer when the plan is given up', async () => {
    await makeQcow2(image, 'preallocation=metadata', 64 * MiB, [])
    const reason = new Error('enough')
    await expect(ask({}, AbortSignal.abort(reason))).rejects.toBe(reason)
    const controller = new AbortController()
    const asking = ask({ stallAfterBytes: [100] }, controller.signal)
    setTimeout(() => controller.abort(reason), 200)
    await expect(asking).rejects.toBe(reason)
  })
})

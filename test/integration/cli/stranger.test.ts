// SPDX-License-Identifier: Apache-2.0
// What somebody meets who has not read the pages: breaking off, wrong words, readers that leave.
import { execFile, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, copyFile, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { temporaryDirectory } from '../../support/agent-in-process.ts'
import { makeDiskImage } from '../../support/disk-image.ts'
import { AGENT_COMMAND } from '../../support/under-test.ts'
import { run, start } from './ironswarm.ts'

const MiB = 1024 * 1024
const execute = promisify(execFile)
/** Only root may become it. */
const NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']

/** False where the checkout is not for everybody to read. */
function canBeNobody(): boolean {
  const [setpriv = '', ...flags] = NOBODY
  const tried = spawnSync(setpriv, [...flags, ...AGENT_COMMAND, '--version'])
  if (tried.status !== 0) console.log('skipped: the agent cannot be started as nobody here')
  return tried.status === 0
}

async function runAsNobody(words: readonly string[]) {
  const [setpriv = '', ...flags] = NOBODY
  const done = execute(setpriv, [...flags, ...AGENT_COMMAND, ...words])
  const ended = await done.catch((error) => error)
  return { code: ended.code ?? 0, stdout: String(ended.stdout), stderr: String(ended.stderr) }
}

test('Ctrl-C while the file is read for its digest says that the disk is as it was', async () => {
  await using directory = await temporaryDirectory()
  const image = await makeDiskImage(join(directory.path, 'image.raw'), { sizeBytes: 8 * MiB })
  // sparse: takes no room, and long to read
  await truncate(image.path, 64 * 1024 * MiB)
  const disk = join(directory.path, 'disk')
  await writeFile(disk, '')
  await truncate(disk, 65 * 1024 * MiB)
  const { child, finished, says } = start(['write', image.path, disk])
  await says(/hashing/)
  child.kill('SIGINT')
  const { code, stderr } = await finished
  expect(code).toBe(130)
  expect(stderr).toContain(`interrupted by Ctrl-C. ${disk} is as it was`)
})

test('an image that is its own target is refused before it is read', async () => {
  await using directory = await temporaryDirectory()
  const image = join(directory.path, 'image.raw')
  await writeFile(image, '')
  await truncate(image, 64 * 1024 * MiB)
  for (const verb of ['write', 'plan']) {
    const { code, stdout, stderr } = await run(verb, image, image)
    expect([code, stdout]).toEqual([4, ''])
    expect(stderr).toContain('would destroy what is to be written')
  }
})

describe.skipIf(!canBeNobody())('somebody without rights', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ironswarm-nobody-'))
    await chmod(folder, 0o755)
    const image = await makeDiskImage(join(folder, 'image.raw'), { sizeBytes: 8 * MiB })
    await writeFile(join(folder, 'disk'), new Uint8Array(16 * MiB))
    const torrent = ['--path', image.path, '--output', join(folder, 'image.torrent')]
    expect(await run('torrent', 'create', ...torrent)).toMatchObject({ code: 0 })
    await copyFile(image.path, join(folder, 'secret.raw'))
    await chmod(join(folder, 'secret.raw'), 0)
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  test.each([
    ['image for write', 'write secret.raw disk', 2, /cannot read \S+secret\.raw: EACCES/],
    ['image for plan', 'plan secret.raw disk', 2, /cannot read \S+secret\.raw: EACCES/],
    ['image for verify', 'verify secret.raw disk', 2, /cannot read \S+secret\.raw: EACCES/],
    [
      'image for a torrent',
      'torrent create --path secret.raw --output /tmp/none.torrent',
      2,
      /cannot read \S+: EA/,
    ],
    [
      'image for a seed',
      'seed --path secret.raw --torrent image.torrent',
      2,
      /cannot read \S+: EA/,
    ],
    ['torrent', 'torrent show secret.raw', 2, /cannot read \S+secret\.raw: EACCES/],
    ['device for write', 'write image.raw disk', 1, /cannot open \S+disk: EACCES/],
    ['device for plan', 'plan image.raw disk', 1, /cannot open \S+disk: EACCES/],
    ['device for verify', 'verify image.raw secret.raw', 1, /cannot open \S+secret\.raw: EACCES/],
    [
      'folder',
      'torrent create --path image.raw --output x',
      2,
      /nothing can be made in \S+ \(EACC/,
    ],
  ])('hears at once of the %s that is not theirs', async (_what, typed, code, expected) => {
    const words = typed
      .split(' ')
      .map((word) => (/^(?!seed)[a-z]+\.|^disk$|^x$/.test(word) ? join(folder, word) : word))
    const ended = await runAsNobody(words)
    expect(ended).toMatchObject({ code, stdout: '' })
    expect(ended.stderr).toMatch(expected)
  })
})

test('an output that is full ends neither the write of a disk nor unsaid', async () => {
  await using directory = await temporaryDirectory()
  const image = await makeDiskImage(join(directory.path, 'image.raw'), { sizeBytes: 8 * MiB })
  const disk = join(directory.path, 'disk')
  await writeFile(disk, new Uint8Array(16 * MiB))
  const command = `${AGENT_COMMAND.join(' ')} write ${image.path} ${disk} >/dev/full`
  const ended = await execute('bash', ['-c', command]).catch((error) => error)
  expect(ended).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^ironswarm: part of the output is lost: ENOSPC.*\n$/),
  })
  expect(await run('verify', image.path, disk)).toMatchObject({ code: 0 })
})

test('a doctor that is broken off does not say what it did not wait for', async () => {
  const server = createServer((socket) => socket.on('error', () => undefined)).listen(
    0,
    '127.0.0.1',
  )
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const { child, finished } = start(['doctor', '--tracker', `http://127.0.0.1:${port}/announce`])
  await once(server, 'connection')
  child.kill('SIGINT')
  const { code, stdout } = await finished
  server.close()
  expect(code).toBe(130)
  expect(stdout).not.toMatch(/tracker|healthy/)
})

test.each([
  [['torrent', 'nosuch'], "unknown command 'nosuch'; see ironswarm torrent --help"],
  [['config', 'nosuch'], 'Expected 0 arguments but got 1: nosuch; see ironswarm config --help'],
])('%j says whose --help helps', async (words, expected) => {
  const { code, stderr } = await run(...words)
  expect(code).toBe(2)
  expect(stderr).toContain(expected)
})

test('a watch that nobody reads any longer is over', async () => {
  const command = `${AGENT_COMMAND.join(' ')} watch --json --interval 0.5 127.0.0.1:1 | head -n 1`
  const { stdout } = await execute('bash', ['-c', command], { timeout: 100_000 })
  expect(JSON.parse(stdout)).toHaveProperty('nodes')
})

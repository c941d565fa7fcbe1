// SPDX-License-Identifier: Apache-2.0
// Owns calling an installed ironswarm, and whether it works. Does not install it.
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { temporaryDirectory } from '../../support/agent-in-process.ts'
import { makeDiskImage } from '../../support/disk-image.ts'

const MiB = 1024 * 1024

export interface Ended {
  readonly code: unknown
  readonly stdout: string
  readonly stderr: string
}

/** As on a machine that has no checkout: without its folder of commands, and without a registry. */
export function call(
  program: string,
  args: string[],
  more: Record<string, string> = {},
): Promise<Ended> {
  const env = {
    PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin',
    HOME: tmpdir(),
    LC_ALL: 'C',
    npm_config_registry: 'http://127.0.0.1:1/',
    ...more,
  }
  return new Promise((resolve) => {
    execFile(program, args, { env, maxBuffer: 16 * MiB }, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, stdout, stderr }),
    )
  })
}

/** A deploy in small: plan, write, verify; a wrong flag. */
export async function expectWorking(command: string): Promise<void> {
  await using directory = await temporaryDirectory()
  const folder = directory.path
  const version = await call(command, ['--version'])
  expect(version).toMatchObject({
    code: 0,
    stderr: '',
    stdout: expect.stringMatching(/^\d+\.\d+/),
  })
  const image = await makeDiskImage(join(folder, 'image.raw'), { sizeBytes: 8 * MiB })
  const disk = join(folder, 'disk.img')
  await writeFile(disk, new Uint8Array(16 * MiB))
  const written = await call(command, ['write', image.path, disk, '--json'])
  expect(JSON.parse(written.stdout)).toMatchObject({ verified: true, bytes: { file: 8 * MiB } })
  const torrent = join(folder, `image-${Date.now()}.torrent`)
  const made = await call(command, ['torrent', 'create', '--path', image.path, '--output', torrent])
  expect(made).toMatchObject({ code: 0 })
  expect(await call(command, ['write'])).toMatchObject({ code: 2 })
}

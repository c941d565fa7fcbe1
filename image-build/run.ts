// SPDX-License-Identifier: Apache-2.0
// Owns running the tools images are built with: argument vectors, an environment without the build
// machine's clock, zone and language, and errors that carry the tool's own words.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** 2025-01-01: the time every file of every image carries. */
export const IMAGE_EPOCH_SECONDS = 1_735_689_600

const execute = promisify(execFile)

export async function run(
  argv: readonly [string, ...string[]],
  options: { cwd?: string; env?: Record<string, string>; timeoutMs?: number } = {},
): Promise<{ stdout: string; stderr: string }> {
  const [command, ...args] = argv
  try {
    const { stdout, stderr } = await execute(command, args, {
      cwd: options.cwd,
      timeout: options.timeoutMs ?? 300_000,
      maxBuffer: 64 * 1024 * 1024,
      env: {
        ...process.env,
        PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
        LC_ALL: 'C',
        TZ: 'UTC',
        SOURCE_DATE_EPOCH: String(IMAGE_EPOCH_SECONDS),
        ...options.env,
      },
    })
    return { stdout, stderr }
  } catch (error) {
    const { code, stderr } = error as { code?: string | number; stderr?: string }
    if (code === 'ENOENT') throw new Error(`${command} is not installed`, { cause: error })
    const words = (stderr ?? '').trim().split('\n').slice(-3).join(' ')
    throw new Error(`${command} ended with ${code}: ${words}`, { cause: error })
  }
}

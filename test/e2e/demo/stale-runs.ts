// SPDX-License-Identifier: Apache-2.0
// Owns the folders that runs of the demo live in, one each, named after the process that owns it; and
// taking away what a run has left that was killed outright: its agents, loop devices and files.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The folder of this process's run. */
export function runFolder(runs: string): string {
  return join(runs, `run-${process.pid}`)
}

/** Clears away every run whose process is gone; others that still go on are left alone. */
export async function removeStaleRuns(runs: string): Promise<void> {
  await mkdir(runs, { recursive: true })
  for (const name of await readdir(runs)) {
    const owner = /^run-(\d+)$/.exec(name)?.[1]
    if (owner === undefined || (existsSync(`/proc/${owner}`) && owner !== `${process.pid}`))
      continue
    const folder = join(runs, name)
    await endProcesses(folder)
    await detachLoopDevices(folder)
    await rm(folder, { recursive: true, force: true })
  }
}

/** Agents name their configuration file, which lies in the folder of their run. */
async function endProcesses(folder: string): Promise<void> {
  const ours: number[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name) || name === `${process.pid}`) continue
    const argv = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '')
    if (argv.split('\0').some((word) => word.startsWith(`${folder}/`))) ours.push(Number(name))
  }
  for (const pid of ours) process.kill(pid, 'SIGKILL')
  for (let tries = 0; tries < 50; tries++) {
    if (!ours.some((pid) => existsSync(`/proc/${pid}`))) return
    await delay(100)
  }
}

async function detachLoopDevices(folder: string): Promise<void> {
  const list = await run('losetup', ['--list', '--noheadings', '-O', 'NAME,BACK-FILE']).catch(
    () => ({ stdout: '' }),
  )
  for (const line of list.stdout.split('\n')) {
    const [device, file] = line.trim().split(/\s+/)
    if (device && file?.startsWith(`${folder}/`)) await run('losetup', ['--detach', device])
  }
}

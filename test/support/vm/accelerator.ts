// SPDX-License-Identifier: Apache-2.0
// Owns the question whether KVM can be used here. The device node is no answer, and neither is firmware that
// greets: nested machines may offer a KVM under which a kernel hangs. So a kernel is started, as far as it
// comes without a root file system.
import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'

export type Accelerator = 'kvm' | 'tcg'

/** A kernel needs 1 to 2 s under KVM up to here, ms. */
const TRY_MS = 15_000
/** The kernel's last words where nobody gave it a root. */
const LAST_WORDS = /Kernel panic - not syncing: VFS/

type Environment = Readonly<Record<string, string | undefined>>

/** What `ACCEL=` says. Throws an Error for another word. */
export function readAccelerator(env: Environment): Accelerator | 'auto' {
  const wish = (env['ACCEL'] || 'auto').toLowerCase()
  if (wish === 'auto' || wish === 'kvm' || wish === 'tcg') return wish
  throw new Error(`ACCEL=${env['ACCEL']} is none of auto, kvm, tcg`)
}

/**
 * `kvm` if the kernel starts under it, else `tcg`: slower by a factor of 10, and always there. `ACCEL=kvm` or
 * `ACCEL=tcg` decides without a try. Throws an Error for another word.
 * @param kernel path of the kernel that the machines will boot
 */
export async function findAccelerator(kernel: string, env: Environment): Promise<Accelerator> {
  const wish = readAccelerator(env)
  if (wish !== 'auto') return wish
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK)
  } catch {
    return 'tcg'
  }
  return (await bootsKernel(kernel, 'kvm', TRY_MS)) ? 'kvm' : 'tcg'
}

/** True if the kernel comes as far as looking for its root within the time, ms. Leaves no process behind. */
export async function bootsKernel(
  kernel: string,
  accelerator: Accelerator,
  timeoutMs: number,
  program = 'qemu-system-x86_64',
): Promise<boolean> {
  // two processors: one more than firmware starts
  // biome-ignore format: one flag and its value per pair
  const child = spawn(program, ['-machine', 'q35', '-accel', accelerator, '-cpu', 'max', '-smp', '2', '-m', '256',
    '-nodefaults', '-display', 'none', '-no-reboot', '-serial', 'stdio',
    '-kernel', kernel, '-append', 'console=ttyS0 panic=-1 no_timer_check'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const gone = new Promise<false>((resolve) => {
    child.once('close', () => resolve(false))
    child.once('error', () => resolve(false))
  })
  const spoke = new Promise<boolean>((resolve) => {
    let words = ''
    child.stdout.setEncoding('latin1').on('data', (text: string) => {
      words = `${words}${text}`.slice(-4096)
      if (LAST_WORDS.test(words)) resolve(true)
    })
    setTimeout(() => resolve(false), timeoutMs).unref()
  })
  const comesUp = await Promise.race([spoke, gone])
  child.kill('SIGKILL')
  if (child.pid !== undefined) await gone
  return comesUp
}

// SPDX-License-Identifier: Apache-2.0
// Owns putting a kernel in place of the running one, by kexec of kexec-tools. Does not start it: power.ts does, with the
// end of the machine.
import type { Exec } from '../exec.ts'
import type { Root } from '../root.ts'

export interface KernelToLoad {
  readonly kernelPath: string
  /** Undefined for a kernel that needs none. */
  readonly initrdPath: string | undefined
  readonly commandLine: string
  /** Nothing but kexec_file_load(2), which verifies the signature; kexec_load(2) is refused then anyway. */
  readonly mustBeSigned: boolean
}

/** Reading and, where it is asked for, verifying of a kernel takes seconds. */
const LOAD_TIMEOUT_MS = 60_000

/** What is run for it. The kernel line is public, as /proc/cmdline of the instance will be. */
export function loadKernelArgv(kernel: KernelToLoad): [string, ...string[]] {
  return [
    'kexec',
    '--load',
    kernel.mustBeSigned ? '--kexec-file-syscall' : '--kexec-syscall-auto',
    `--command-line=${kernel.commandLine}`,
    ...(kernel.initrdPath === undefined ? [] : [`--initrd=${kernel.initrdPath}`]),
    kernel.kernelPath,
  ]
}

/** The kernel keeps its own copy of all. Throws ProcessError with kexec's words. */
export async function loadKernel(
  exec: Exec,
  kernel: KernelToLoad,
  signal: AbortSignal,
): Promise<void> {
  await exec(loadKernelArgv(kernel), { timeoutMs: LOAD_TIMEOUT_MS, signal })
}

/** The next reboot is one by firmware again. Throws ProcessError. */
export async function unloadKernel(exec: Exec): Promise<void> {
  await exec(['kexec', '--unload'], { timeoutMs: LOAD_TIMEOUT_MS })
}

/** The same where one is loaded at all, so that a machine without kexec is not asked for it. Throws ProcessError. */
export async function unloadLeftKernel(exec: Exec, root: Root): Promise<void> {
  if ((await root.readText('/sys/kernel/kexec_loaded')) === '1') await unloadKernel(exec)
}

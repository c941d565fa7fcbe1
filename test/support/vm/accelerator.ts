// SPDX-License-Identifier: Apache-2.0
// Owns the question whether KVM can be used here. The device node is no answer (nested machines may offer
// a kind that no usual guest runs under), so a machine is started and its firmware must speak.
import { spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'

/** SeaBIOS speaks within 0.1 s under KVM. */
const TRY_MS = 4000
/** SeaBIOS writes its messages to this port. */
const DEBUG_PORT = '0x402'

/** `kvm` if a machine really starts under it, else `tcg`: slower by a factor of 10, and always there. */
export async function findAccelerator(): Promise<'kvm' | 'tcg'> {
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK)
  } catch {
    return 'tcg'
  }
  // biome-ignore format: one flag and its value per pair
  const child = spawn('qemu-system-x86_64', ['-machine', 'q35', '-accel', 'kvm', '-cpu', 'max', '-m', '64',
    '-nodefaults', '-display', 'none', '-chardev', 'stdio,id=words',
    '-device', `isa-debugcon,iobase=${DEBUG_PORT},chardev=words`], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const spoke = new Promise<boolean>((resolve) => {
    let words = ''
    child.stdout.on('data', (bytes) => {
      words += bytes
      if (words.includes('SeaBIOS')) resolve(true)
    })
    child.once('exit', () => resolve(false))
    child.once('error', () => resolve(false))
    setTimeout(() => resolve(false), TRY_MS).unref()
  })
  const isUsable = await spoke
  child.kill('SIGKILL')
  return isUsable ? 'kvm' : 'tcg'
}

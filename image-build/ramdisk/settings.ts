// SPDX-License-Identifier: Apache-2.0
// Owns what a person may choose about `make ramdisk` and `make iso`, read from the environment that make
// passes on. Does not build.
import { readdir, readFile } from 'node:fs/promises'
import { type Variant, variantOf } from './variants.ts'

export interface RamdiskSettings {
  readonly variant: Variant
  /** Compress quickly: larger, same content. */
  readonly isFast: boolean
  /** Lines of authorized_keys; undefined: nobody may log in. */
  readonly sshKeys: string | undefined
  /** Folder whose files become hardware managers; undefined: none. */
  readonly hardwareManagers: string | undefined
}

type Environment = Readonly<Record<string, string | undefined>>

/** Throws an Error whose message says what to write instead. Empty values are as good as none. */
export async function readRamdiskSettings(env: Environment): Promise<RamdiskSettings> {
  const variant = variantOf(env['RAMDISK'])
  return {
    variant: {
      ...variant,
      prefix: env['NAME'] ? nameOf(env['NAME']) : variant.prefix,
      hasQemu: Boolean(env['QEMU']),
      hasBurnIn: Boolean(env['BURN_IN']),
      hasPodman: Boolean(env['PODMAN']),
      hasMstflint: Boolean(env['MSTFLINT']),
    },
    isFast: Boolean(env['FAST']),
    sshKeys: env['SSH_KEY'] ? await readSshKeys(env['SSH_KEY']) : undefined,
    hardwareManagers: env['HARDWARE_MANAGERS']
      ? await managersFolder(env['HARDWARE_MANAGERS'])
      : undefined,
  }
}

/** Of the outputs in build/. */
function nameOf(word: string): string {
  if (/^[\w][\w.-]{0,99}$/.test(word)) return word
  throw new Error(`NAME=${word} is no name of a file: letters, digits, _ . and -`)
}

/** The folder itself. It must hold a manager, or somebody would wait for one. */
async function managersFolder(path: string): Promise<string> {
  const names = await readdir(path).catch((error: NodeJS.ErrnoException) => {
    throw new Error(`HARDWARE_MANAGERS=${path} is no folder that can be read (${error.code})`)
  })
  if (names.some((name) => /\.(ts|mts|js|mjs)$/.test(name))) return path
  throw new Error(`HARDWARE_MANAGERS=${path} holds no .ts, .mts, .js or .mjs file`)
}

/** A line of authorized_keys, options before it or not (sshd(8), AUTHORIZED_KEYS FILE FORMAT). */
const KEY_LINE = /^(?:\S.*\s)?(?:ssh|ecdsa|sk)-[\w@.-]+\s+AAAA[A-Za-z0-9+/]+=*(?:\s.*)?$/

async function readSshKeys(word: string): Promise<string> {
  if (KEY_LINE.test(word.trim())) return word.trim()
  const text = await readFile(word, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new Error(
      `SSH_KEY=${word.slice(0, 80)} is neither a public key (ssh-ed25519 AAAA…) nor a file that can be read (${error.code})`,
    )
  })
  if (text.includes('PRIVATE KEY-----')) {
    throw new Error(`SSH_KEY=${word} is a private key; give its public half, ${word}.pub`)
  }
  const lines = text.split('\n').map((line) => line.trim())
  const keys = lines.filter((line) => line !== '' && !line.startsWith('#'))
  const wrong = keys.findIndex((line) => !KEY_LINE.test(line))
  if (keys.length === 0 || wrong >= 0) {
    const where = keys.length === 0 ? 'holds no key' : `has no public key in line ${wrong + 1}`
    throw new Error(`SSH_KEY=${word} ${where}; each line is like: ssh-ed25519 AAAA… name`)
  }
  return keys.join('\n')
}

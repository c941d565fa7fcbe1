// SPDX-License-Identifier: Apache-2.0
// Owns how a registry is told who asks (`--authfile`, `--creds`), so that nothing of it is left when a container runs:
// one that shares the machine's processes or files could read it. Does not pull.
import { randomUUID } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { AgentError, messageOf } from '../../core/errors.ts'

/** What is known of registries, kept in memory only. */
export interface Authorizations {
  /**
   * Runs `pull` with the options, in which a file of ours that lives as long as the call stands for credentials. A
   * file that the options name is read once, removed, and remembered.
   * @throws AgentError HardwareManagerConfigurationError where it cannot be read or removed
   */
  during(
    options: readonly string[],
    image: string,
    pull: (options: readonly string[]) => Promise<void>,
  ): Promise<void>
}

/** @param folder where only root may look */
export function createAuthorizations(folder: string): Authorizations {
  const kept = new Map<string, string>()
  const take = async (path: string) => {
    try {
      const text = await readFile(path, 'utf8')
      await rm(path)
      kept.set(path, text)
    } catch (error) {
      if (kept.has(path)) return
      throw new AgentError(
        'HardwareManagerConfigurationError',
        `the authorization file ${path} cannot be taken: ${messageOf(error)}`,
      )
    }
  }
  return {
    during: async (options, image, pull) => {
      const { rest, authfile, creds } = separated(options)
      if (authfile === undefined && creds === undefined) return await pull(options)
      if (authfile !== undefined) await take(authfile)
      const text = creds === undefined ? kept.get(authfile as string) : fileOf(creds, image)
      await mkdir(folder, { recursive: true, mode: 0o700 })
      const path = join(folder, `registry-${randomUUID()}.json`)
      try {
        await writeFile(path, text ?? '', { mode: 0o600, flag: 'wx' })
        await pull([...rest, `--authfile=${path}`])
      } finally {
        await rm(path, { force: true })
      }
    },
  }
}

interface Separated {
  readonly rest: readonly string[]
  readonly authfile: string | undefined
  readonly creds: string | undefined
}

/** Podman's options, `--authfile x` or `--authfile=x`. */
function separated(options: readonly string[]): Separated {
  const rest: string[] = []
  const found: { authfile?: string; creds?: string } = {}
  for (let i = 0; i < options.length; i++) {
    const word = options[i] as string
    const match = /^--(authfile|creds)(?:=(.*))?$/s.exec(word)
    if (!match) rest.push(word)
    else found[match[1] as 'authfile' | 'creds'] = match[2] ?? options[++i] ?? ''
  }
  return { rest, authfile: found.authfile, creds: found.creds }
}

/** containers-auth.json(5): the process list would show `--creds` to everybody. */
function fileOf(creds: string, image: string): string {
  const registry = image.split('/')[0] as string
  return JSON.stringify({ auths: { [registry]: { auth: Buffer.from(creds).toString('base64') } } })
}

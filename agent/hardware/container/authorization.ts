// SPDX-License-Identifier: Apache-2.0
// Owns how a registry is told who asks (`--authfile`, `--creds`), so that nothing of it is left when a container runs:
// one that shares the machine's processes or files could read it. Does not pull.
import { randomUUID } from 'node:crypto'
import { chmod, chown, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { AgentError, messageOf } from '../../core/errors.ts'
import type { Logger } from '../../telemetry/logger.ts'

export interface AuthorizationDeps {
  /** Where only root may look. */
  readonly folder: string
  readonly log: Logger
}

export interface Work {
  readonly options: readonly string[]
  readonly image: string
  pull(options: readonly string[]): Promise<void>
  /** The container: it finds no credentials on the machine. */
  run(): Promise<void>
}

/**
 * Pulls and runs. Credentials are told to `pull` by a file of our own, which lives as long as that. The file that the
 * options name is in memory alone meanwhile, and put back when the container has ended, well or not; where another has
 * taken its place by then, that one stays.
 * @throws AgentError HardwareManagerConfigurationError where it cannot be read or removed; what pull and run throw
 */
export async function authorizedRun(work: Work, { folder, log }: AuthorizationDeps): Promise<void> {
  const { rest, authfile, creds } = separated(work.options)
  const taken = authfile === undefined ? undefined : await take(authfile)
  try {
    const text = creds === undefined ? taken?.content : fileOf(creds, work.image)
    if (text === undefined) await work.pull(work.options)
    else {
      await withAuthorizationFile(folder, text, (path) =>
        work.pull([...rest, `--authfile=${path}`]),
      )
    }
    await work.run()
  } finally {
    await taken?.putBack().catch((error: unknown) => {
      log.warn({ file: authfile, reason: messageOf(error) }, 'authorization file not put back')
    })
  }
}

interface TakenFile {
  readonly content: Uint8Array
  putBack(): Promise<void>
}

async function take(path: string): Promise<TakenFile> {
  try {
    const { mode, uid, gid } = await stat(path)
    const content = await readFile(path)
    await rm(path)
    return {
      content,
      putBack: async () => {
        await writeFile(path, content, { mode: 0o600, flag: 'wx' })
        await chown(path, uid, gid)
        await chmod(path, mode & 0o7777)
      },
    }
  } catch (error) {
    throw new AgentError(
      'HardwareManagerConfigurationError',
      `the authorization file ${path} cannot be taken: ${messageOf(error)}`,
    )
  }
}

/** Of the files that are made here. */
const PREFIX = 'registry-'

/** Takes away what an agent that was killed during a pull has left, before anything runs that could read it. */
export async function removeLeftAuthorizations(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [])
  for (const name of names.filter((each) => each.startsWith(PREFIX))) {
    await rm(join(folder, name), { force: true })
  }
}

/**
 * Does the work with a file that only root may read and that is gone afterwards.
 * @param content as containers-auth.json(5) says
 */
export async function withAuthorizationFile(
  folder: string,
  content: string | Uint8Array,
  work: (path: string) => Promise<void>,
): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const path = join(folder, `${PREFIX}${randomUUID()}.json`)
  try {
    await writeFile(path, content, { mode: 0o600, flag: 'wx' })
    await work(path)
  } finally {
    await rm(path, { force: true })
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

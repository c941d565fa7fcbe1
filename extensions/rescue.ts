// SPDX-License-Identifier: Apache-2.0
// Owns the `rescue` extension: leaving the rescue user's password for the ramdisk's login, and the agent's
// withdrawal (contract 5.7). Does not make users; the ramdisk does when the file appears (contract 9.3).
import { randomBytes } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { command, type Extension } from '../agent/commands/command.ts'
import { AgentError, messageOf, systemErrorCode } from '../agent/core/errors.ts'
import type { JsonObject } from '../agent/core/json.ts'
import type { ExtensionDeps } from '../agent/deploy/extension-deps.ts'
import { markRescued, RESCUED_FILE } from '../agent/deploy/rescue-mark.ts'
import { assertOnly, invalidParams, optionalBoolean } from './params.ts'
import { SALT_CHARACTERS, saltOf, sha512Crypt } from './sha512-crypt.ts'

const NAME = 'rescue.finalize_rescue'
const PASSWORD_FOLDER = '/etc/ipa-rescue-config'
const PASSWORD_FILE = `${PASSWORD_FOLDER}/ipa-rescue-password`
/** What a login takes at most (PAM_MAX_RESP_SIZE); hashing takes time in proportion. */
const MAX_PASSWORD_BYTES = 512

/** rescue.finalize_rescue: sync, because the conductor reads its success from the answer (contract 8.7). */
export function createRescueExtension(deps: ExtensionDeps): Extension {
  return {
    name: 'rescue',
    commands: {
      finalize_rescue: command({
        kind: 'sync',
        parse: parseParams,
        run: async (params) => {
          await writePassword(deps, passwordHash(params))
          await markForLaterStarts(deps)
          deps.log.info('rescue finalized, leaving the machine to its user')
          deps.afterRescue()
          return null
        },
      }),
    },
  }
}

interface RescueParams {
  readonly password: string
  readonly isHashed: boolean
}

/** No complaint quotes the value. */
function parseParams(params: JsonObject): RescueParams {
  assertOnly(NAME, params, ['rescue_password', 'hashed'])
  const isHashed = optionalBoolean(NAME, params, 'hashed') ?? false
  const password = params['rescue_password']
  if (typeof password !== 'string' || password === '') {
    throw invalidParams(`${NAME} needs rescue_password to be a string that is not empty`)
  }
  if (Buffer.byteLength(password) > MAX_PASSWORD_BYTES || /\p{Cc}/u.test(password)) {
    throw invalidParams(
      `rescue_password must have at most ${MAX_PASSWORD_BYTES} bytes and no control characters`,
    )
  }
  // it becomes a field of /etc/shadow
  if (isHashed && /[:\s]/.test(password)) {
    throw invalidParams('a hashed rescue_password has no colons and no spaces; see crypt(5)')
  }
  return { password, isHashed }
}

function passwordHash({ password, isHashed }: RescueParams): string {
  return isHashed ? password : sha512Crypt(password, saltOf(randomBytes(SALT_CHARACTERS)))
}

/** Appears complete and readable by root alone: the ramdisk acts as soon as the name is there. */
async function writePassword({ root }: ExtensionDeps, hash: string): Promise<void> {
  const path = root.path(PASSWORD_FILE)
  const draft = `${path}.new`
  try {
    await rm(draft, { force: true })
    {
      await using file = await open(draft, 'wx', 0o600)
      await file.writeFile(hash)
    }
    await rename(draft, path)
  } catch (error) {
    const hint =
      systemErrorCode(error) === 'ENOENT'
        ? '; the ramdisk was built without support for rescue'
        : ''
    throw new AgentError(
      'CommandExecutionError',
      `cannot write ${PASSWORD_FILE}: ${messageOf(error)}${hint}`,
      { cause: error },
    )
  }
}

/** The rescue goes on without it: only a restarted agent would then serve again. */
async function markForLaterStarts({ root, log }: ExtensionDeps): Promise<void> {
  try {
    await markRescued(root)
  } catch (err) {
    log.warn({ err, file: RESCUED_FILE }, 'rescue not marked')
  }
}

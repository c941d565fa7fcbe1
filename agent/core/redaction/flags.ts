// SPDX-License-Identifier: Apache-2.0
// Owns striking out what flags of a command line hold, as a shell or a list of arguments spells them: `--password
// hunter2`, `"--token","…"`, curl's `-u user:password`. Does not look at `--name=value`; named-values.ts does.
import { comparableName, isSecretName } from './secret-names.ts'
import { type Part, strike } from './strike.ts'
import { quotedValue, wordEnd } from './values.ts'

/** A flag and what parts it from its value: a blank, or the quotes of a list; with `-u` it may be nothing. */
const FLAG =
  /(?<=^|[\s"'`[(,]|\\n)(?:--[a-z][\w-]{0,63}|-[a-z]{0,8}u(?=[^a-z-]|[a-z][\w.@-]{0,63}:))(?:=|[ \t]{1,4}|\\*["'],?(?:\s|\\+n){0,64}(?=\\*["']))?(?=[^\s-])/gi

/** curl's, and those of others who took them over: what follows is `user:password`. */
const USER_FLAG = /^(?:-[a-z]{0,8}u|--(?:proxy[_-])?user)$/i
/** podman's and skopeo's, `user:password`. */
const CREDENTIALS = /^(?:src_|dest_)?creds$/
/** A user and a password are looked for over so much; what is quoted may be longer. */
const LOOK_AHEAD_CHARS = 1024

/** Every value behind a flag that holds a secret, struck out. */
export function strikeFlags(text: string): string {
  const parts: Part[] = []
  let doneTo = 0
  for (const { index, 0: lead } of text.matchAll(FLAG)) {
    if (index < doneTo) continue
    const flag = lead.replace(/[^\w-].*$/s, '')
    const start = index + lead.length
    const part = USER_FLAG.test(flag)
      ? userAndPassword(text, start)
      : isSecretFlag(flag, lead) && valueAt(text, start)
    if (!part || part.end === part.start) continue
    parts.push(part)
    doneTo = part.end
  }
  return strike(text, parts)
}

function isSecretFlag(flag: string, lead: string): boolean {
  const name = comparableName(flag.slice(2))
  return lead !== flag && (isSecretName(name) || CREDENTIALS.test(name) || name.endsWith('token'))
}

function valueAt(text: string, start: number): Part {
  return quotedValue(text, start) ?? { start, end: wordEnd(text, start) }
}

/** Without a colon it is a user alone, as in `run --user nobody`. */
function userAndPassword(text: string, start: number): Part | undefined {
  const near = text.slice(start, start + LOOK_AHEAD_CHARS)
  const { start: from, end } = valueAt(near, 0)
  return near.slice(from, end).includes(':') ? valueAt(text, start) : undefined
}

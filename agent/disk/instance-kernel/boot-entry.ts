// SPDX-License-Identifier: Apache-2.0
// Owns what a boot loader's menu says of how to start the instance, and how it is said that one cannot be followed. Does
// not read menus.
import { AgentError } from '../../core/errors.ts'

/** A file by the partition it lies on. */
export interface ImageFile {
  /** 1-based; of the disk's table. */
  readonly partition: number
  /** From the root of that file system, with a slash. */
  readonly path: string
}

/** What the boot loader of the image would start. */
export interface BootEntry {
  readonly title: string
  readonly kernel: ImageFile
  /** One after the other in memory; none is possible. */
  readonly initrds: readonly ImageFile[]
  readonly commandLine: string
}

/** COMMAND_LINE_SIZE of arm64 and s390; x86 takes 2048. No kernel reads more. */
const MOST_COMMAND_LINE_CHARACTERS = 4096

/** The entry as it is. Throws InvalidImage for a kernel line that no kernel takes. */
export function withBoundedLine<Entry extends BootEntry>(entry: Entry): Entry {
  const { length } = entry.commandLine
  if (length <= MOST_COMMAND_LINE_CHARACTERS) return entry
  throw cannotFollow(
    `the kernel line has ${length} characters, more than the ${MOST_COMMAND_LINE_CHARACTERS} that are handed on`,
  )
}

/** InvalidImage; the log and the command's result say it, and the machine is rebooted. */
export function cannotFollow(reason: string): AgentError {
  return new AgentError('InvalidImage', reason)
}

/** The same, for what stands in a line of a menu. */
export function notUnderstood(line: number, what: string): AgentError {
  return cannotFollow(`line ${line}: ${what}`)
}

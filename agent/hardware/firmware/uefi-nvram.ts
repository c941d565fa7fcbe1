// SPDX-License-Identifier: Apache-2.0
// Owns the step clean_uefi_nvram (contract 7.2, 7.3): boot entries that earlier tenants have left in the firmware. Does not
// make entries; disk/bootloader.ts does.
import type { Config } from '../../config/options.ts'
import { throwIfAborted } from '../../core/deadline.ts'
import { AgentError } from '../../core/errors.ts'
import { type BootEntry, deleteBootEntry, isUefi, listBootEntries } from '../../system/efi.ts'
import type { Exec } from '../../system/exec.ts'
import type { Root } from '../../system/root.ts'
import type { Logger } from '../../telemetry/logger.ts'
import type { StepCall, StepImplementation } from '../manager.ts'
import { matchPatterns, parsePatterns } from './match-patterns.ts'

interface NvramDeps {
  readonly config: Pick<Config, 'machine_control'>
  readonly exec: Exec
  readonly root: Root
  readonly log: Pick<Logger, 'info'>
}

/** ironic-python-agent's: entries of disks, shim and GRUB wherever they are. */
const USUAL_PATTERNS = ['^HD\\(', 'shim.*\\.efi', 'grub.*\\.efi']

const ARGUMENTS = {
  match_patterns: {
    description:
      'Regular expressions as Python has them, without regard to case: boot entries in whose device path one of them is ' +
      `found are deleted. By default ${JSON.stringify(USUAL_PATTERNS)}.`,
    required: false,
  },
} as const

/** The clean and deploy step, off unless somebody asks for it. Its result names what was deleted. */
export function createNvramSteps(deps: NvramDeps): StepImplementation[] {
  const announce = {
    step: 'clean_uefi_nvram',
    priority: 0,
    interface: 'deploy',
    reboot_requested: false,
    argsinfo: ARGUMENTS,
  }
  const common = {
    accepts: Object.keys(ARGUMENTS),
    run: (call: StepCall) => cleanNvram(deps, call),
  }
  return [
    { ...common, kinds: ['clean'], announce: { ...announce, abortable: true } },
    { ...common, kinds: ['deploy'], announce },
  ]
}

interface CleanedNvram {
  /** `0004 debian` */
  readonly deleted: readonly string[]
  readonly kept: readonly string[]
}

/**
 * Throws InvalidCommandParamsError before anything is deleted, CleaningError for entries that the firmware keeps, and
 * ProcessError.
 */
async function cleanNvram(
  { config, exec, root, log }: NvramDeps,
  { args, context }: StepCall,
): Promise<CleanedNvram | string> {
  const patterns = parsePatterns('match_patterns', args['match_patterns'] ?? USUAL_PATTERNS)
  if (!(await isUefi(root))) return 'the machine was not booted by UEFI: no boot entries'
  const entries = await listBootEntries(exec)
  const paths = entries.map(({ path }) => path)
  const matching = new Set(await matchPatterns(patterns, paths, context.signal))
  const doomed = entries.filter((_entry, index) => matching.has(index))
  for (const { number, label, path } of doomed) {
    throwIfAborted(context.signal)
    if (config.machine_control === 'log') {
      log.info({ boot_entry: number, label, path }, 'machine control is logged, not done')
      continue
    }
    await deleteBootEntry(exec, number)
    log.info({ boot_entry: number, label, path }, 'boot entry deleted')
  }
  const left = config.machine_control === 'log' ? entries : await listBootEntries(exec)
  if (config.machine_control !== 'log') assertGone(doomed, left)
  const isDoomed = ({ number }: BootEntry) => doomed.some((each) => each.number === number)
  return {
    deleted: doomed.map(nameOf),
    kept: left.filter((entry) => !isDoomed(entry)).map(nameOf),
  }
}

/** Firmware makes some entries anew, or keeps them and says that it has deleted them. */
function assertGone(doomed: readonly BootEntry[], left: readonly BootEntry[]): void {
  const there = left.filter((entry) =>
    doomed.some(({ number, path }) => entry.number === number && entry.path === path),
  )
  if (there.length === 0) return
  throw new AgentError(
    'CleaningError',
    `clean_uefi_nvram: ${there.length} of ${doomed.length} boot entries are still there: ${there.map(nameOf).join(', ')}`,
  )
}

function nameOf({ number, label }: BootEntry): string {
  return `${number} ${label}`
}

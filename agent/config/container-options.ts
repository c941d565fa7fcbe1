// SPDX-License-Identifier: Apache-2.0
// Owns the options of the container manager, a part of the table in options.ts, and how Ironic says them in its answer
// to the lookup (contract 2.5, 7.9).
import { isObject } from '../core/json.ts'
import { bool, list, type OptionRow, path } from './option-row.ts'

const ROW = { section: 'container' } as const

export const CONTAINER_OPTIONS = {
  allow_arbitrary_containers: bool(
    false,
    'Let a step name any container image with any options; Ironic says so in its answer to the lookup, as all of [container]',
    ROW,
  ),
  allowed_containers: list([], 'Images that a step may name, exactly, best by digest', ROW),
  container_steps_file: path(
    '/etc/ironic-python-agent.d/mysteps.yaml',
    'Container steps of this ramdisk (docs/hardware-managers.md)',
    ROW,
  ),
  runner: {
    type: 'enum',
    default: 'podman',
    values: ['podman', 'docker'],
    doc: 'What runs containers',
    ...ROW,
  } as const,
  pull_options: list([], 'Options of `podman pull`, separated by blanks or commas', ROW),
  run_options: list(['--rm', '--network=host'], 'Options of `podman run`', ROW),
} as const satisfies Record<string, OptionRow>

/** What Ironic may say of containers; a list may come as text with blanks (Ironic 29 to 35). */
export interface ContainerOverrides {
  allow_arbitrary_containers?: boolean
  allowed_containers?: readonly string[]
  container_steps_file?: string
  runner?: 'podman' | 'docker'
  pull_options?: readonly string[]
  run_options?: readonly string[]
}

/** The part of a lookup's `agent_containers` that is of the right type; null and all else change nothing. */
export function containerOverrides(value: unknown): ContainerOverrides {
  if (!isObject(value)) return {}
  const { runner } = value
  const flag = value['allow_arbitrary_containers']
  const file = value['container_steps_file']
  const lists = (['allowed_containers', 'pull_options', 'run_options'] as const).flatMap((name) => {
    const words = textsOf(value[name])
    return words === undefined ? [] : [[name, words] as const]
  })
  return {
    ...(typeof flag === 'boolean' ? { allow_arbitrary_containers: flag } : {}),
    ...(typeof file === 'string' && file.startsWith('/') ? { container_steps_file: file } : {}),
    ...(runner === 'podman' || runner === 'docker' ? { runner } : {}),
    ...Object.fromEntries(lists),
  }
}

function textsOf(value: unknown): readonly string[] | undefined {
  if (typeof value === 'string') return value.split(/\s+/).filter((word) => word !== '')
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
  return undefined
}

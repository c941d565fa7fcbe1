// SPDX-License-Identifier: Apache-2.0
// Owns what may import what: the layers, the order inside of rooms that have one, the homes of packages.
// Why they lie like this: docs/design/120-the-house.md.

/** What `make house` looks at. */
export const HOUSE = ['agent', 'extensions', 'image-build'] as const

/** Lowest first. A room imports rooms of lower rows only; rooms of one row do not import each other. */
export const LAYERS: readonly (readonly string[])[] = [
  ['agent/core'],
  ['agent/telemetry', 'agent/config'],
  ['agent/system'],
  ['agent/http'],
  ['agent/disk', 'agent/sources'],
  ['agent/image', 'agent/hardware', 'agent/ironic'],
  ['agent/commands'],
  ['agent/deploy'],
  ['extensions'],
  ['agent/api'],
  ['agent/daemon', 'agent/cli'],
  ['agent/main.ts'],
  // it builds what the others run on; nobody imports it
  ['image-build'],
]

/**
 * Rooms whose sub-rooms and files have an order of their own, lowest first; the same rule holds in them. A file
 * that has a row counts there, not in its folder's.
 */
export const INNER_LAYERS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  'agent/image': [
    ['agent/image/request'],
    ['agent/image/formats'],
    ['agent/image/plan'],
    ['agent/image/transfer'],
    ['agent/image/proof'],
    ['agent/image/target'],
    ['agent/image/unpack-target.ts'],
    [
      'agent/image/unpack-kept.ts',
      'agent/image/unpack-arriving.ts',
      'agent/image/straight-image.ts',
    ],
    ['agent/image/unpack-container.ts'],
    ['agent/image/bring-image.ts'],
    ['agent/image/deploy-image.ts'],
  ],
  'agent/sources/swarm': [
    ['agent/sources/swarm/torrent', 'agent/sources/swarm/peers'],
    ['agent/sources/swarm/swarm-task.ts'],
    ['agent/sources/swarm/engine'],
    ['agent/sources/swarm/wire'],
    ['agent/sources/swarm/announce'],
    ['agent/sources/swarm/library'],
    // what both threads know
    ['agent/sources/swarm/thread/arena.ts'],
    ['agent/sources/swarm/thread/protocol.ts'],
    ['agent/sources/swarm/session'],
    ['agent/sources/swarm/thread'],
    ['agent/sources/swarm/stall-watch.ts'],
    ['agent/sources/swarm/swarm-delivery.ts'],
    ['agent/sources/swarm/swarm-source.ts', 'agent/sources/swarm/seeder.ts'],
  ],
}

/** The one home of each package; a trailing slash means a whole room. */
export const HOMES: Readonly<Record<string, readonly string[]>> = {
  bencode: [
    'agent/sources/swarm/torrent/metainfo.ts',
    'agent/sources/swarm/library/parsed-torrent.ts',
  ],
  commander: ['agent/cli/', 'agent/main.ts'],
  esbuild: ['image-build/ramdisk/agent-bundle.ts', 'image-build/ramdisk/node-builtins.ts'],
  execa: ['agent/system/exec.ts'],
  fastify: ['agent/api/'],
  'node-disk-info': ['agent/system/scratch.ts'],
  pino: ['agent/telemetry/'],
  undici: ['agent/http/connections.ts', 'agent/http/exchange.ts'],
  webtorrent: ['agent/sources/swarm/library/web-torrent.ts'],
}

export const MOST_FILES_OF_A_FOLDER = 14
/** Above it a folder is named, though no rule is broken. */
export const MANY_FILES_OF_A_FOLDER = 12
export const MOST_LINES_OF_A_FILE = 400

/** The program of the agent. */
export const PROGRAM = 'agent/main.ts'

/** Hardware managers are loaded from a directory, which an option names. */
export const LOADED_BY_NAME = 'extensions/hardware-managers'

/** State that a module may keep, as `file:name`, and why. */
export const PERMITTED_STATE: Readonly<Record<string, string>> = {
  'agent/core/shared-copy.ts:scratch': 'written and read within one call that waits for nothing',
}

/** The row a path lies in, counted from below. */
export function layerOf(
  path: string,
  layers: readonly (readonly string[])[] = LAYERS,
): number | undefined {
  const row = layers.findIndex((rooms) => rooms.some((room) => liesIn(path, room)))
  return row < 0 ? undefined : row
}

/** The room a path lies in. */
export function roomOf(
  path: string,
  layers: readonly (readonly string[])[] = LAYERS,
): string | undefined {
  return layers.flat().find((room) => liesIn(path, room))
}

export function liesIn(path: string, room: string): boolean {
  return path === room || path.startsWith(`${room}/`)
}

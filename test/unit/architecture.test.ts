import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'

/** Lowest first; rooms of one row are siblings and may not import each other. */
const LAYERS: readonly (readonly string[])[] = [
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
]

/** The one home of each package; a trailing slash means a whole room. */
const HOMES: Readonly<Record<string, readonly string[]>> = {
  bencode: ['agent/sources/swarm/torrent/metainfo.ts'],
  commander: ['agent/cli/', 'agent/main.ts'],
  execa: ['agent/system/exec.ts'],
  fastify: ['agent/api/'],
  'node-disk-info': ['agent/system/scratch.ts'],
  pino: ['agent/telemetry/'],
  undici: ['agent/http/connections.ts', 'agent/http/exchange.ts'],
  webtorrent: ['agent/sources/swarm/library/web-torrent.ts'],
}

interface Edge {
  readonly from: string
  readonly to: string
}

function sourceFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.includes('node_modules'))
    .map((name) => join(folder, name))
}

function importsOf(file: string): string[] {
  const text = readFileSync(file, 'utf8')
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s[^'"]*?from\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)|(?:^|\n)import\s+['"]([^'"]+)['"]/g
  return [...text.matchAll(pattern)].map((match) => (match[1] ?? match[2] ?? match[3]) as string)
}

const files = [...sourceFiles('agent'), ...sourceFiles('extensions')]
const edges: Edge[] = files.flatMap((from) =>
  importsOf(from).map((to) => ({
    from,
    to: to.startsWith('.') ? relative('.', join(dirname(from), to)) : to,
  })),
)

function layerOf(path: string): number {
  return LAYERS.findIndex((rooms) =>
    rooms.some((room) => path === room || path.startsWith(`${room}/`)),
  )
}

function roomOf(path: string): string | undefined {
  return LAYERS.flat().find((room) => path === room || path.startsWith(`${room}/`))
}

describe('the house', () => {
  test('every source file lies in a room', () => {
    expect(files.filter((file) => layerOf(file) < 0)).toEqual([])
  })

  test('layers import downward only, and siblings do not import each other', () => {
    const wrong = edges
      .filter(({ to }) => layerOf(to) >= 0)
      .filter(({ from, to }) => roomOf(from) !== roomOf(to) && layerOf(to) >= layerOf(from))
    expect(wrong.map(({ from, to }) => `${from} -> ${to}`)).toEqual([])
  })

  test('disk and sources meet only in core', () => {
    const wrong = edges.filter(
      ({ from, to }) =>
        (from.startsWith('agent/disk/') && to.startsWith('agent/sources/')) ||
        (from.startsWith('agent/sources/') && to.startsWith('agent/disk/')),
    )
    expect(wrong).toEqual([])
  })

  test('only main.ts imports extensions', () => {
    const wrong = edges.filter(
      ({ from, to }) =>
        to.startsWith('extensions/') && !/^(extensions\/|agent\/main\.ts$)/.test(from),
    )
    expect(wrong).toEqual([])
  })

  test('each package has one home', () => {
    const packages = edges.filter(({ to }) => !/^(node:|agent\/|extensions\/|\.)/.test(to))
    const wrong = packages.filter(({ from, to }) => {
      const name = Object.keys(HOMES).find((home) => to === home || to.startsWith(`${home}/`))
      const homes = name === undefined ? [] : (HOMES[name] as readonly string[])
      return !homes.some((home) => (home.endsWith('/') ? from.startsWith(home) : from === home))
    })
    expect(wrong.map(({ from, to }) => `${from} -> ${to}`)).toEqual([])
  })

  test('core touches no I/O: it imports nothing but itself', () => {
    const wrong = edges.filter(
      ({ from, to }) => from.startsWith('agent/core/') && !to.startsWith('agent/core/'),
    )
    expect(wrong).toEqual([])
  })

  test('no file is longer than 400 lines', () => {
    const long = files
      .map((file) => `${file}: ${readFileSync(file, 'utf8').split('\n').length - 1}`)
      .filter((row) => Number(row.split(': ')[1]) > 400)
    expect(long).toEqual([])
  })
})

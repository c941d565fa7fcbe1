// SPDX-License-Identifier: Apache-2.0
// Owns the config drive of one demo node, made as Ironic's conductor makes it: an ISO 9660 volume
// labelled config-2 by genisoimage, gzipped, in base64.
import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'

const run = promisify(execFile)

export interface ConfigDrive {
  /** The volume itself: what must be found on the disk afterwards. */
  readonly iso: Buffer
  /** What the conductor puts into `configdrive`. */
  readonly payload: string
}

/** A config drive that names this node; `folder` is used for the files on the way. */
export async function makeConfigDrive(
  folder: string,
  node: { readonly uuid: string; readonly name: string },
): Promise<ConfigDrive> {
  const latest = join(folder, 'openstack/latest')
  await mkdir(latest, { recursive: true })
  const metaData = { uuid: node.uuid, name: node.name, hostname: node.name }
  await writeFile(join(latest, 'meta_data.json'), `${JSON.stringify(metaData)}\n`)
  await writeFile(join(latest, 'user_data'), `#!/bin/sh\necho deployed as ${node.name}\n`)
  await writeFile(join(latest, 'network_data.json'), '{"links":[],"networks":[],"services":[]}\n')
  const path = `${folder}.iso`
  // biome-ignore format: one flag and its value per pair
  await run('genisoimage', ['-quiet', '-o', path, '-ldots', '-allow-lowercase', '-allow-multidot',
    '-l', '-publisher', 'ironswarm demo', '-J', '-r', '-V', 'config-2', folder])
  const iso = await readFile(path)
  return { iso, payload: gzipSync(iso).toString('base64') }
}

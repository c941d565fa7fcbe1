// SPDX-License-Identifier: Apache-2.0
// Owns the place where the commands of pages are run: an image with its server, a disk, an Ironic with nodes of the names
// that pages give them. Does not read pages.
/// <reference lib="esnext.disposable" />
import { execFile } from 'node:child_process'
import {
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { type DiskImage, makeDiskImage } from '../disk-image.ts'
import { type Ironic, startIronic } from '../ironic.ts'
import { createLoopDevice, type LoopDevice } from '../loop-device.ts'
import { type Nginx, startNginx } from '../nginx.ts'
import { freePort } from '../processes.ts'
import type { ShellBlock } from './shell-blocks.ts'

const CHECKOUT = resolve(import.meta.dirname, '../../..')
const PRELUDE = join(import.meta.dirname, 'prelude.sh')
const MiB = 1024 * 1024
const BLOCK_MS = 300_000

export interface PagesLab extends AsyncDisposable {
  /** What the pages before have made is gone, but for what is on the disk. */
  turn(): Promise<void>
  /** Resolves to what went wrong, with all that was printed; undefined where every command ended well. */
  run(block: ShellBlock): Promise<string | undefined>
}

/** The names that pages have for an image. */
const IMAGES = ['debian.raw', 'debian-12.raw'] as const

export async function createPagesLab(): Promise<PagesLab> {
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-pages-'))
  const stack = new AsyncDisposableStack()
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  try {
    const started = await startNginx(folder)
    if (!started) throw new Error('nginx is not installed')
    const server = stack.use(started)
    const image = await fill(folder, server)
    const disk = stack.use(await createLoopDevice({ sizeBytes: 256 * MiB }))
    const ironic = stack.use(await startIronic({ settings: SETTINGS }))
    const lab = { folder, image, server, disk, ironic }
    return {
      turn: () => turnPage(folder),
      run: (block) => runBlock(block, lab),
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    }
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}

interface Lab {
  readonly folder: string
  readonly image: DiskImage
  readonly server: Nginx
  readonly disk: LoopDevice
  readonly ironic: Ironic
}

/** What redfish needs is chosen by pages, and never called here. */
const SETTINGS = {
  DEFAULT: {
    enabled_hardware_types: 'manual-management,fake-hardware,redfish',
    enabled_boot_interfaces: 'ipxe,fake,redfish-virtual-media',
    enabled_management_interfaces: 'noop,fake,redfish',
    enabled_power_interfaces: 'agent,fake,redfish',
  },
  redfish: { use_swift: 'False' },
}

/** Files that commands of pages read; the working folder of their readers is a checkout. */
async function fill(folder: string, server: Nginx): Promise<DiskImage> {
  const [first, ...others] = IMAGES
  const image = await makeDiskImage(join(folder, first), { sizeBytes: 16 * MiB })
  for (const name of others) await copyFile(image.path, join(folder, name))
  await mkdir(join(folder, 'build'))
  await copyFile(image.path, join(folder, 'build/instance-image.raw'))
  await mkdir(join(folder, 'managers'))
  await writeFile(
    join(folder, 'network_data.json'),
    '{"links": [], "networks": [], "services": []}',
  )
  await writeFile(
    join(folder, 'SHA256SUMS'),
    IMAGES.map((name) => `${image.sha256}  ${name}\n`).join(''),
  )
  const info = { id: 'debian', urls: [`${server.url}/debian.raw`], disk_format: 'raw' }
  const hash = { os_hash_algo: 'sha256', os_hash_value: image.sha256 }
  await writeFile(join(folder, 'image.json'), JSON.stringify({ ...info, ...hash }))
  await symlink(join(CHECKOUT, 'node_modules'), join(folder, 'node_modules'))
  return image
}

/** A torrent is there from the start, as on the image server of a reader. */
async function turnPage(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (/\.(?:torrent|zst)$/.test(name)) await rm(join(folder, name))
  }
  const create = ['torrent', 'create', '--path', 'debian.raw', '--output', 'debian.torrent']
  const tracker = ['--tracker', 'http://127.0.0.1:9/announce']
  await promisify(execFile)(join(CHECKOUT, 'agent/ironswarm'), [...create, ...tracker], {
    cwd: folder,
    timeout: BLOCK_MS,
  })
}

async function runBlock({ script }: ShellBlock, lab: Lab): Promise<string | undefined> {
  await nameNodes(script, lab.ironic)
  const port = await freePort()
  const words = [await readFile(PRELUDE, 'utf8'), inPlace(script, lab, port)].join('\n')
  // the rules of a firewall are those of a network of their own
  const apart = /^nft /m.test(script) ? ['unshare', '--net', '--'] : []
  const argv = [...apart, 'bash', '-c', words]
  const { version } = JSON.parse(await readFile(join(CHECKOUT, 'package.json'), 'utf8'))
  const env = {
    ...process.env,
    CHECKOUT,
    LAB: lab.folder,
    VERSION: version,
    FREE_PORT: String(await freePort()),
    NODE: 'node-of-a-variable',
    OS_AUTH_TYPE: 'none',
    OS_ENDPOINT: lab.ironic.url,
  }
  return await new Promise((done) => {
    const options = { cwd: lab.folder, env, timeout: BLOCK_MS }
    execFile(argv[0] as string, argv.slice(1), options, (error, stdout, stderr) => {
      done(error ? `${error.code}\n${stdout.slice(-2000)}\n${stderr.slice(-2000)}` : undefined)
    })
  })
}

/** What a reader puts in the place of what pages have. */
function inPlace(script: string, lab: Lab, port: number): string {
  const { folder, image, server, disk, ironic } = lab
  return script
    .replaceAll(/http:\/\/(?:host|images\.example)\/(?=debian|SHA)/g, `${server.url}/`)
    .replaceAll('http://ironic:6385', ironic.url)
    .replaceAll('/var/www/html', folder)
    .replaceAll('/var/lib/ironswarm', folder)
    .replaceAll('/srv/tracker', join(folder, 'tracker'))
    .replaceAll(/(?<=-[pP] )6969/g, String(port))
    .replaceAll('/dev/sdX', disk.path)
    .replaceAll('DIGEST', image.sha256)
    .replaceAll('--length 2G', `--length ${image.sizeBytes}`)
    .replaceAll(/(?<=--swarm-listen-port )\d+/g, String(port))
}

/** New nodes under the names that the block has, ready for what it does to them. */
async function nameNodes(script: string, ironic: Ironic): Promise<void> {
  if (!/^\s*baremetal |\|\s*$/m.test(script)) return
  const { nodes } = (await ironic.call('GET', '/v1/nodes')) as { nodes: { uuid: string }[] }
  for (const { uuid } of nodes) {
    await ironic.call('PUT', `/v1/nodes/${uuid}/maintenance`, { reason: 'its page is over' })
    await ironic.call('DELETE', `/v1/nodes/${uuid}`)
  }
  const isRedfish = script.includes('redfish')
  const isCleaned = script.includes('node clean')
  for (const [at, name] of ['NODE', 'node-1', 'node-2', 'node-3', 'node-of-a-variable'].entries()) {
    if (isRedfish) {
      await ironic.call('POST', '/v1/nodes', { name, driver: 'redfish' })
      continue
    }
    await ironic.enrol({
      name,
      mac: `52:54:00:00:01:0${at}`,
      bootMode: 'uefi',
      until: isCleaned ? 'manageable' : 'available',
      // a node that was deployed before has them
      fields: {
        instance_info: { image_source: 'http://127.0.0.1/a', image_checksum: '0'.repeat(32) },
      },
    })
  }
}

// SPDX-License-Identifier: Apache-2.0
// Owns the Debian package: its control file, its sums, the archive. The same tree gives the same bytes. Does not
// choose what is in it; package-tree.ts does.
import { createHash } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { createTree, fileNode, type Tree, writeTree } from '../ramdisk/tree.ts'
import { IMAGE_EPOCH_SECONDS, run } from '../run.ts'
import type { PackageTree } from './package-tree.ts'

/** Besides what is essential in Debian (util-linux); the agent runs more, on machines that have such disks. */
const DEPENDS = ['libc6 (>= 2.28)', 'libstdc++6', 'fdisk']
const RECOMMENDS = ['dosfstools', 'e2fsprogs', 'efibootmgr', 'gdisk', 'genisoimage', 'iproute2']
const SUGGESTS = ['kexec-tools', 'lldpd', 'mdadm', 'nvme-cli', 'opentracker', 'qemu-utils']
const MAINTAINER = 'The ironswarm developers <ironswarm@localhost>'
/** Node is built for it. */
const ARCHITECTURE = 'amd64'

/**
 * Writes `ironswarm_VERSION_amd64.deb` below `folder` and returns its path.
 * @param level of xz, 0 (quick) to 9
 */
export async function makeDeb(content: PackageTree, folder: string, level = 6): Promise<string> {
  const { version } = content
  const path = join(folder, `ironswarm_${version}_${ARCHITECTURE}.deb`)
  const work = `${path}.work`
  await rm(work, { recursive: true, force: true })
  try {
    const tree = await debianTree(content)
    await writeTree(tree, work)
    await rm(path, { force: true })
    const flags = ['--root-owner-group', '-Zxz', `-z${level}`] as const
    await run(['dpkg-deb', ...flags, '--build', work, path], { timeoutMs: 1_200_000 })
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  return path
}

/** All of it, and what dpkg wants to know of it. */
async function debianTree({ tree, version }: PackageTree): Promise<Tree> {
  const all = createTree()
  for (const [path, node] of tree.entries()) all.add(path, node)
  const stamp = new Date(IMAGE_EPOCH_SECONDS * 1000).toUTCString().replace('GMT', '+0000')
  const changelog = `ironswarm (${version}) unstable; urgency=medium\n\n  * See CHANGELOG.md of the project.\n\n -- ${MAINTAINER}  ${stamp}\n`
  all.add('usr/share/doc/ironswarm/changelog.gz', fileNode(gzipSync(changelog, { level: 9 })))
  const sums: string[] = []
  let bytes = 0
  for (const [path, node] of all.entries()) {
    if (node.kind !== 'file') continue
    const content = typeof node.source === 'string' ? await readFile(node.source) : node.source
    bytes += content.length
    sums.push(`${createHash('md5').update(content).digest('hex')}  ${path}\n`)
  }
  all.add('DEBIAN/md5sums', fileNode(Buffer.from(sums.join(''))))
  all.add('DEBIAN/control', fileNode(Buffer.from(controlOf(version, bytes))))
  return all
}

function controlOf(version: string, bytes: number): string {
  return [
    'Package: ironswarm',
    `Version: ${version}`,
    `Architecture: ${ARCHITECTURE}`,
    `Maintainer: ${MAINTAINER}`,
    `Installed-Size: ${Math.ceil(bytes / 1024)}`,
    `Depends: ${DEPENDS.join(', ')}`,
    `Recommends: ${RECOMMENDS.join(', ')}`,
    `Suggests: ${SUGGESTS.join(', ')}`,
    'Section: admin',
    'Priority: optional',
    'Description: write disk images to bare metal from a BitTorrent swarm',
    ' A deploy agent for OpenStack Ironic that is a drop-in for ironic-python-agent,',
    ' and the commands around it: write and verify disks without Ironic, seed',
    ' images, make torrents, watch many nodes, check a machine.',
    ' .',
    ' No service is enabled by its installation. Node comes with it.',
    '',
  ].join('\n')
}

// The disk is a file. Podman and device-mapper are not here: what they are told is noted, and where bootc would run, the
// bytes come to lie where its writes would. In a machine, with the real ones: test/e2e/vm/containers.test.ts.
import {
  type FileHandle,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Config } from '../../../../agent/config/options.ts'
import { AgentError } from '../../../../agent/core/errors.ts'
import { installContainer } from '../../../../agent/deploy/bootc/install-container.ts'
import type { BootcRequest } from '../../../../agent/deploy/bootc/request.ts'
import { type Exec, type ExecOptions, exec as realExec } from '../../../../agent/system/exec.ts'
import { createRoot } from '../../../../agent/system/root.ts'
import { createLogger } from '../../../../agent/telemetry/logger.ts'
import { makeGpt, PARTITION_TYPES } from '../../../../image-build/gpt.ts'
import { defaultConfig } from '../../../support/config.ts'

const MiB = 1024 * 1024
const DISK_BYTES = 800 * MiB
const REFERENCE = 'registry.example/os:1'
const DIGEST = `sha256:${'ab'.repeat(32)}`
const REQUEST: BootcRequest = {
  ...{ reference: REFERENCE, auth: 'c2VjcmV0OnNlY3JldA==', configdrive: null },
  ...{ authorizedKeys: 'ssh-ed25519 AAAA', hasTpm2Luks: false },
}
const TABLE = makeGpt({
  diskGuid: '1A04AD5E-0000-4000-8000-000000000001',
  diskSectors: DISK_BYTES / 512,
  partitions: [
    {
      ...{ name: 'root', type: PARTITION_TYPES.linux, firstSector: 2048, sectors: 65_536 },
      guid: '1A04AD5E-0000-4000-8000-000000000003',
    },
  ],
})

let folder: string
let disk: string
/** What the loop devices have open: the disk's first and last MiB. */
let ofLoops: FileHandle[]
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ironswarm-bootc-'))
  disk = join(folder, 'disk')
  await mkdir(join(folder, 'run'))
  await mkdir(join(folder, 'dev'))
  await writeFile(join(folder, 'dev/loop7'), '')
  ofLoops = []
  await using file = await open(disk, 'w')
  await file.truncate(DISK_BYTES)
  for (const at of [0, DISK_BYTES - MiB])
    await file.write(Buffer.alloc(MiB, 'old system'), 0, MiB, at)
})
afterEach(async () => {
  for (const part of ofLoops) await part.close()
  await rm(folder, { recursive: true, force: true })
})

const ends = async () => {
  await using file = await open(disk)
  const [head, tail] = [Buffer.alloc(MiB), Buffer.alloc(MiB)]
  await file.read(head, 0, MiB, 0)
  await file.read(tail, 0, MiB, DISK_BYTES - MiB)
  return { head, tail }
}
const isErased = async () => {
  const { head, tail } = await ends()
  return [...head, ...tail].every((byte) => byte === 0)
}
const isUntouched = async () => (await ends()).head.toString().startsWith('old system')

interface Machine {
  /** Command lines that are not there or fail. */
  readonly failing?: RegExp
  readonly onInstall?: () => Promise<void>
}

async function install(machine: Machine = {}, settings: Partial<Config> = {}, request = REQUEST) {
  const ran: string[] = []
  let told = ''
  let wasBootable = true
  const exec: Exec = async (argv, options) => {
    const line = lineOf(argv)
    if (argv[0] === 'blkid' || argv[0] === 'blockdev') return await realExec(argv, options)
    ran.push(line.replaceAll(folder, '').replace(/-[\w-]{36}/g, '-ID'))
    if (options?.signal?.aborted) throw new AgentError('ProcessError', `${argv[0]}: cancelled`)
    if (machine.failing?.test(line)) throw new AgentError('ProcessError', `${argv[0]}: exit code 1`)
    const authfile = /--authfile=(\S+)/.exec(line)?.[1]
    if (authfile) told = await readFile(authfile, 'utf8')
    if (line.includes('bootc install')) wasBootable = await bootc(machine)
    if (line.startsWith('losetup')) await attach(argv.at(-1) as string, options)
    return { stdout: answerTo(line), stderr: '', exitCode: 0 }
  }
  const config = { ...defaultConfig(), run_dir: join(folder, 'run'), ...settings }
  const log = createLogger({ level: 'silent' })
  const deps = { config, exec, root: createRoot('/'), log, now: () => 0 }
  const { signal } = new AbortController()
  const events = { publish: () => undefined }
  const installation = { request, devicePath: disk, signal, events }
  const outcome = await installContainer(installation, deps).catch((error: unknown) => error)
  return { outcome, ran, told, wasBootable, left: await readdir(join(folder, 'run')) }
}

/** A loop device is had by a script, which ends in what losetup is told. */
function lineOf(argv: readonly string[]): string {
  return (argv[0] === 'sh' ? ['losetup', ...argv.slice(4)] : argv).join(' ')
}

async function attach(path: string, options?: ExecOptions): Promise<void> {
  if (path !== '/dev/dm-3') ofLoops.push(await open(path, 'r+'))
  options?.onStdout?.(Buffer.from(`${join(folder, 'dev/loop7')}\n`))
}

function answerTo(line: string): string {
  // as where it stays mapped
  if (line === 'dmsetup ls') return 'ironswarm-bootc\t(254:3)\n'
  if (line.startsWith('dmsetup info')) return 'dm-3\n'
  return line.includes('inspect') ? `${DIGEST}\n` : ''
}

/** Whether the disk boots, or the registry could be read, while it runs. */
async function bootc({ onInstall }: Machine): Promise<boolean> {
  const names = await readdir(join(folder, 'run'))
  const wasBootable = !(await isErased()) || names.some((name) => name.startsWith('registry-'))
  await writeTable()
  await onInstall?.()
  return wasBootable
}

/** As bootc would through the device it is given. */
async function writeTable(): Promise<void> {
  await ofLoops[0]?.write(TABLE.head, 0, TABLE.head.length, 0)
  await ofLoops[1]?.write(TABLE.tail, 0, TABLE.tail.length, MiB - TABLE.tail.length)
}

describe('a bootable container', () => {
  test('is on the disk when the table is, and leaves nothing else', async () => {
    const { outcome, wasBootable, left, told } = await install()
    expect(outcome).toMatchObject({
      ...{ device: disk, imageId: REFERENCE },
      hash: { algo: 'sha256', value: 'ab'.repeat(32) },
    })
    expect([wasBootable, left]).toEqual([false, []])
    expect(JSON.parse(told)).toEqual({ auths: { 'registry.example': { auth: REQUEST.auth } } })
    const { head, tail } = await ends()
    expect(head.subarray(0, TABLE.head.length)).toEqual(TABLE.head)
    expect(tail.subarray(-TABLE.tail.length)).toEqual(TABLE.tail)
  })

  test('is pulled and tried before the disk is touched, and its store ends last', async () => {
    const { ran } = await install()
    const at = (start: string) => ran.findIndex((line) => line.startsWith(start))
    expect(ran.filter((line) => line.startsWith('podman'))).toEqual([
      'podman --version',
      `podman pull --quiet --authfile=/run/registry-ID.json ${REFERENCE}`,
      `podman image inspect --format={{.Digest}} ${REFERENCE}`,
      `podman run --pull=never --rm --network=none --entrypoint=bootc --cidfile=/run/container-ID.id ${REFERENCE} --version`,
      'podman run --pull=never --rm --privileged --pid=host --network=none --volume /var/lib/containers:/var/lib/containers ' +
        '--volume /dev:/dev --volume /run/bootc-authorized-keys:/run/bootc-authorized-keys:ro ' +
        `--cidfile=/run/container-ID.id ${REFERENCE} bootc install to-disk --wipe --skip-fetch-check ` +
        `--root-size=${DISK_BYTES / MiB - 768}M --root-ssh-authorized-keys=/run/bootc-authorized-keys --disable-selinux /dev/loop7`,
      'podman rm --all --force',
    ])
    expect(at('mount')).toBeLessThan(at('podman pull'))
    expect(ran).toContain('losetup --find --show --sector-size=512 --partscan /dev/dm-3')
    expect(at('dmsetup remove --retry')).toBeLessThan(at('umount'))
    expect(ran.at(-1)).toBe('umount --recursive /var/lib/containers')
  })

  test('is installed on devices that go with their last user, and on files without a name', async () => {
    let names: string[] = []
    const look = async () => {
      names = await readdir(join(folder, 'run'))
    }
    const { ran } = await install({ onInstall: look })
    const at = (start: string) => ran.findIndex((line) => line.startsWith(start))
    expect(at('dmsetup remove --deferred ironswarm-bootc')).toBeGreaterThan(at('dmsetup create'))
    expect(at('dmsetup remove --deferred ironswarm-bootc')).toBeLessThan(
      at('podman run --pull=never --rm --privileged'),
    )
    expect(names.filter((name) => name.startsWith('bootc-') && !name.includes('keys'))).toEqual([])
  })

  test.each([
    ['there is no podman', /^podman --version/, 'InvalidImage', /PODMAN=1/],
    ['it cannot be pulled', /^podman pull/, 'ImageDownloadError', /cannot be pulled/],
    ['it has no bootc', /entrypoint=bootc/, 'InvalidImage', /no bootable container/],
  ])('costs the disk nothing where %s', async (_case, failing, type, details) => {
    const { outcome, left } = await install({ failing })
    expect(outcome).toMatchObject({ type, details: expect.stringMatching(details) })
    expect([await isUntouched(), left]).toEqual([true, []])
  })

  test.each([
    ['bootc fails', /bootc install/, 'ImageWriteError'],
    ['nothing can be mapped', /^dmsetup create/, 'BlockDeviceError'],
    ['the device cannot be taken back', /^dmsetup remove --retry/, 'BlockDeviceError'],
  ])('leaves a disk that does not boot where %s', async (_case, failing, type) => {
    const { outcome, left, ran } = await install({ failing })
    expect(outcome).toMatchObject({ type })
    expect([await isErased(), left]).toEqual([true, []])
    expect(ran.at(-1)).toBe('umount --recursive /var/lib/containers')
  })

  test('that leaves no table on the disk has not been installed', async () => {
    const wipe = async () => {
      await ofLoops[0]?.write(Buffer.alloc(MiB), 0, MiB, 0)
    }
    const { outcome } = await install({ onInstall: wipe })
    expect(outcome).toMatchObject({ type: 'DeploymentError' })
    expect(await isErased()).toBe(true)
  })

  test('is not pulled for a disk without room for more than an EFI partition and the config drive', async () => {
    await using file = await open(disk, 'r+')
    await file.truncate(768 * MiB)
    const { outcome, ran } = await install()
    expect(outcome).toMatchObject({ details: expect.stringContaining('too small') })
    expect(ran).toEqual(['podman --version'])
  })

  test('is refused where that is switched off', async () => {
    const { outcome, ran } = await install({}, { disable_bootc_deploy: true })
    expect(outcome).toMatchObject({ details: expect.stringContaining('disable_bootc_deploy') })
    expect(ran).toEqual([])
  })
})

// SPDX-License-Identifier: Apache-2.0
// Owns what podman is told for a bootable container (contract 5.10): to pull it, whether it has a bootc, to run that on a
// disk. Does not know what becomes of the disk.
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../../config/options.ts'
import { throwIfAborted } from '../../core/deadline.ts'
import { AgentError, messageOf } from '../../core/errors.ts'
import { MiB } from '../../core/units.ts'
import { withAuthorizationFile } from '../../hardware/container/authorization.ts'
import { runContainer } from '../../hardware/container/run-container.ts'
import type { ExpectedHash } from '../../image/request/checksum.ts'
import type { Exec } from '../../system/exec.ts'
import type { Root } from '../../system/root.ts'
import type { Logger } from '../../telemetry/logger.ts'
import { STORE } from './container-store.ts'
import type { BootcRequest } from './request.ts'

export interface PodmanDeps {
  readonly config: Pick<Config, 'run_dir' | 'insecure' | 'cafile'>
  readonly exec: Exec
  readonly root: Root
  readonly log: Logger
  readonly signal: AbortSignal
}

const VERSION_TIMEOUT_MS = 60_000
const PULL_TIMEOUT_MS = 3600 * 1000
/** Of a container that only says its version. */
const TRY_TIMEOUT_MS = 120_000
const INSTALL_TIMEOUT_MS = 3600 * 1000
/** Of what it prints. */
const TAIL_BYTES = 16 * 1024
/** For an EFI partition and the config drive, MiB (contract 5.10). */
const LEFT_MIB = 768

/** What bootc may take for the root file system of a disk, MiB; 0 or less of one that is too small. */
export function rootMib({ sizeBytes }: { readonly sizeBytes: number }): number {
  return Math.floor(sizeBytes / MiB) - LEFT_MIB
}

/** Throws InvalidImage where there is no podman. */
export async function assertPodman(exec: Exec): Promise<void> {
  try {
    await exec(['podman', '--version'], { timeoutMs: VERSION_TIMEOUT_MS })
  } catch (error) {
    throw new AgentError(
      'InvalidImage',
      `a bootable container is installed by podman, which this ramdisk does not have (${messageOf(error)}): ` +
        'build it with PODMAN=1, or deploy a disk image of the container (bootc-image-builder makes raw and qcow2)',
    )
  }
}

/**
 * Brings the container into the store; the digest of its manifest. The registry is told who asks by a file that is gone
 * before anything of the container runs.
 * @throws AgentError ImageDownloadError
 */
export async function pull(
  { reference, auth }: BootcRequest,
  { config, exec, signal, log }: PodmanDeps,
): Promise<ExpectedHash> {
  const env = config.cafile ? { SSL_CERT_FILE: config.cafile } : {}
  const how = { timeoutMs: PULL_TIMEOUT_MS, signal, tailBytes: TAIL_BYTES, env }
  const run = async (...options: string[]) => {
    const verify = config.insecure ? ['--tls-verify=false'] : []
    await exec(['podman', 'pull', '--quiet', ...verify, ...options, reference], how)
  }
  try {
    if (auth === null) await run()
    else {
      const registry = reference.split('/')[0] as string
      const content = JSON.stringify({ auths: { [registry]: { auth } } })
      await withAuthorizationFile(config.run_dir, content, (path) => run(`--authfile=${path}`))
    }
    const argv = ['podman', 'image', 'inspect', '--format={{.Digest}}', reference] as const
    const { stdout } = await exec(argv, { signal })
    const [algo = '', value = ''] = stdout.trim().split(':')
    log.info({ image_id: reference, digest: stdout.trim() }, 'container pulled')
    return { algo, value }
  } catch (error) {
    throwIfAborted(signal)
    throw new AgentError(
      'ImageDownloadError',
      `${reference} cannot be pulled: ${messageOf(error)}; it needs memory for itself packed and unpacked`,
      { cause: error },
    )
  }
}

/** Throws InvalidImage where the container cannot be installed. Without network, disks or rights. */
export async function assertBootc(request: BootcRequest, deps: PodmanDeps): Promise<void> {
  const runOptions = ['--rm', '--network=none', '--entrypoint=bootc']
  try {
    const image = { url: request.reference, runOptions, command: ['--version'] }
    await runContainer(image, { ...runDeps(deps), timeoutMs: TRY_TIMEOUT_MS })
  } catch (error) {
    throwIfAborted(deps.signal)
    throw new AgentError(
      'InvalidImage',
      `${request.reference} is no bootable container, its bootc does not run: ${messageOf(error)}`,
      { cause: error },
    )
  }
}

/**
 * Runs the container's bootc, as root of this machine, on the disk. It is the container's program that divides the disk and
 * makes its file systems.
 * @throws AgentError ImageWriteError
 */
export async function installTo(
  devicePath: string,
  rootSizeMib: number,
  request: BootcRequest,
  deps: PodmanDeps,
): Promise<void> {
  const { config, root, signal } = deps
  const hasSelinux = (await root.readText('/sys/fs/selinux/enforce')) !== undefined
  const keyFile = join(config.run_dir, 'bootc-authorized-keys')
  const runOptions = [
    ...['--rm', '--privileged', '--pid=host', '--network=none'],
    ...['--volume', `${STORE}:${STORE}`, '--volume', '/dev:/dev'],
    ...(request.authorizedKeys ? ['--volume', `${keyFile}:${keyFile}:ro`] : []),
    ...(hasSelinux ? ['--security-opt', 'label=type:unconfined_t'] : []),
  ]
  const command = [
    ...['bootc', 'install', 'to-disk', '--wipe', '--skip-fetch-check'],
    `--root-size=${rootSizeMib}M`,
    ...(request.hasTpm2Luks ? ['--block-setup=tpm2-luks'] : []),
    ...(request.authorizedKeys ? [`--root-ssh-authorized-keys=${keyFile}`] : []),
    ...(hasSelinux ? [] : ['--disable-selinux']),
    devicePath,
  ]
  try {
    if (request.authorizedKeys) await writeFile(keyFile, request.authorizedKeys, { mode: 0o600 })
    const image = { url: request.reference, runOptions, command }
    await runContainer(image, { ...runDeps(deps), timeoutMs: INSTALL_TIMEOUT_MS })
  } catch (error) {
    throwIfAborted(signal)
    throw new AgentError(
      'ImageWriteError',
      `bootc of ${request.reference} has not installed it: ${messageOf(error)}`,
      { cause: error },
    )
  } finally {
    await rm(keyFile, { force: true })
  }
}

function runDeps({ config, exec, log, signal }: PodmanDeps) {
  return { exec, log, signal, runner: 'podman', folder: config.run_dir }
}

// SPDX-License-Identifier: Apache-2.0
// Owns the extensions as tests drive them: the real ones on the real dispatcher and generic manager, with
// a sparse file for a disk, commands that answer from a table, and a recording image writer.
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CommandContext, Extension } from '../../../agent/commands/command.ts'
import { type Config, OPTIONS } from '../../../agent/config/options.ts'
import { AgentError } from '../../../agent/core/errors.ts'
import type { Progress } from '../../../agent/core/events.ts'
import type { JsonObject } from '../../../agent/core/json.ts'
import { MiB } from '../../../agent/core/units.ts'
import type { Installation } from '../../../agent/deploy/bootc/install-container.ts'
import type {
  BootloaderRequest,
  DeployService,
  GrubInstallation,
} from '../../../agent/deploy/deploy-service.ts'
import type { ExtensionDeps } from '../../../agent/deploy/extension-deps.ts'
import { createImageWriter, type ImageWriterDeps } from '../../../agent/deploy/image-writer.ts'
import type { PowerControl } from '../../../agent/deploy/power-control.ts'
import { createSeedingKeeper } from '../../../agent/deploy/seeding-keeper.ts'
import type { WriteImageRequest } from '../../../agent/deploy/write-image.ts'
import { openWrittenImage } from '../../../agent/deploy/written-image.ts'
import { findRootUuid } from '../../../agent/disk/root-uuid.ts'
import { loadHardware } from '../../../agent/hardware/dispatcher.ts'
import { createGenericManager } from '../../../agent/hardware/generic/generic-manager.ts'
import type { HardwareManager } from '../../../agent/hardware/manager.ts'
import type { DeployedImage } from '../../../agent/image/deploy-image.ts'
import { requireWritable } from '../../../agent/image/plan/plan.ts'
import { createNodeCache } from '../../../agent/ironic/node-cache.ts'
import { exec as realExec } from '../../../agent/system/exec.ts'
import { createEventStream, type EventStream } from '../../../agent/telemetry/event-stream.ts'
import { createLogger } from '../../../agent/telemetry/logger.ts'
import { createExtensions } from '../../../extensions/index.ts'
import { type Machine, machineWith } from '../hardware/machine-fixture.ts'

export interface ExtensionLabOptions {
  readonly config?: Partial<Config>
  readonly files?: Readonly<Record<string, string>>
  readonly answers?: Readonly<Record<string, string>>
  readonly managers?: readonly HardwareManager[]
  readonly writeImage?: ImageWriterDeps['writeImage']
  readonly installUefiBootloader?: DeployService['installUefiBootloader']
  readonly power?: PowerControl
  readonly prepareInstanceStart?: DeployService['prepareInstanceStart']
  /** Size of the sparse file; 64 MiB unless given. */
  readonly diskBytes?: number
  readonly deps?: Partial<ExtensionDeps>
  /** Where an earlier lab has left what a restarted agent finds. */
  readonly runDir?: string
}

export interface ExtensionLab extends AsyncDisposable {
  readonly extensions: readonly Extension[]
  readonly deps: ExtensionDeps
  readonly machine: Machine
  /** The sparse file that is the machine's only disk. */
  readonly diskPath: string
  readonly deploys: WriteImageRequest[]
  /** Bootable containers that were asked for. */
  readonly installs: Installation[]
  readonly bootloaders: BootloaderRequest[]
  readonly grubs: GrubInstallation[]
  /** What happened, in order: `deploy`, `seeding ended`, `flush`, `power off`, `reboot`, `rescued`. */
  readonly events: string[]
  readonly logLines: string[]
  /** The one of the agent; commands speak to it unless the test brings another. */
  readonly stream: EventStream
  /** Parses and runs `<extension>.<command>` as the runner would, without one. */
  run(name: string, params?: JsonObject, context?: Partial<CommandContext>): Promise<unknown>
}

/** What the recording writer reports when a test does not bring its own. */
export const PROGRESS: Progress = {
  step: 'fetch',
  subject: null,
  unit: 'bytes',
  done: 5,
  total: 10,
  percent: 50,
  ratePerSecond: 1,
  etaSeconds: 5,
  source: 'swarm',
  bytes: { origin: 2, peers: 3, file: 0 },
  uploadedBytes: 0,
  peers: 1,
}

export async function createExtensionLab(options: ExtensionLabOptions = {}): Promise<ExtensionLab> {
  const folder = await mkdtemp(join(tmpdir(), 'ironswarm-extensions-'))
  const diskPath = join(folder, 'disk.img')
  const runDir = options.runDir ?? join(folder, 'run')
  await using file = await open(diskPath, 'w')
  await file.truncate(options.diskBytes ?? 64 * MiB)
  const machine = await machineWith(options.files, { sync: '', ...options.answers })
  const defaults = Object.fromEntries(
    Object.entries(OPTIONS).map(([name, row]) => [name, row.default]),
  ) as unknown as Config
  const config: Config = {
    ...defaults,
    block_devices: [diskPath],
    disk_wait_attempts: 0,
    run_dir: runDir,
    ...options.config,
  }
  const logLines: string[] = []
  const log = createLogger({
    level: 'debug',
    destination: { write: (line) => logLines.push(line) },
  })
  const events: string[] = []
  const stream = createEventStream({ now: () => 1_700_000_000_000 })
  const deploys: WriteImageRequest[] = []
  const installs: Installation[] = []
  const bootloaders: BootloaderRequest[] = []
  const grubs: GrubInstallation[] = []
  const generic = createGenericManager({ config, log, exec: machine.exec, root: machine.root })
  const hardware = await loadHardware([...(options.managers ?? []), generic])
  const note = (event: string) => async () => void events.push(event)
  const seeding = createSeedingKeeper({ log })
  const images = createImageWriter({
    config,
    hardware,
    seeding,
    record: openWrittenImage(runDir, log),
    writeImage: async (request) => {
      // the plan's own refusals: what it would not write is not written here either
      requireWritable(request.imageInfo)
      deploys.push(request)
      events.push('deploy')
      request.events.publish({ type: 'progress', progress: PROGRESS })
      return await (options.writeImage ?? (async () => writtenImage(request, events)))(request)
    },
    installContainer: async (request) => {
      installs.push(request)
      const hash = { algo: 'sha256', value: '0'.repeat(64) }
      const bytes = { origin: 0, peers: 0, file: 0 }
      const {
        devicePath: device,
        request: { reference: imageId },
      } = request
      return { device, imageId, rootUuid: '0x00000000', partitions: null, hash, seconds: 1, bytes }
    },
  })
  const deploy: DeployService = {
    images,
    seeding,
    power: options.power ?? {
      powerOff: note('power off'),
      reboot: note('reboot'),
      startLoadedKernel: note('start of the loaded kernel'),
    },
    prepareInstanceStart: options.prepareInstanceStart ?? (async () => undefined),
    installUefiBootloader: async (request) => {
      bootloaders.push(request)
      return (await options.installUefiBootloader?.(request)) ?? true
    },
    installGrub: async (request) => void grubs.push(request),
    findRootUuid: (devicePath, rootUuid) =>
      findRootUuid({ exec: realExec, root: machine.root, devicePath, rootUuid }),
  }
  const deps: ExtensionDeps = {
    config,
    exec: machine.exec,
    root: machine.root,
    log,
    events: stream,
    now: () => 1_700_000_000_000,
    hardware,
    nodeCache: createNodeCache(),
    refreshNode: async () => undefined,
    deploy,
    afterRescue: () => void events.push('rescued'),
    lockDown: () => void events.push('locked down'),
    recentLog: () => '{"msg":"agent started"}\n',
    ...options.deps,
  }
  const extensions = createExtensions(deps)
  return {
    extensions,
    deps,
    machine,
    diskPath,
    deploys,
    installs,
    bootloaders,
    grubs,
    events,
    logLines,
    stream,
    run: (name, params = {}, context = {}) =>
      runCommand(extensions, name, params, { events: stream, ...context }),
    [Symbol.asyncDispose]: async () => {
      await seeding.release('test ends')
      await machine[Symbol.asyncDispose]()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** A finished write that goes on seeding and says so in `events` when it ends. */
export function writtenImage(request: WriteImageRequest, events: string[]): DeployedImage {
  return {
    device: request.devicePath,
    imageId: request.imageInfo.id,
    rootUuid: '0x1234abcd',
    partitions: null,
    hash: { algo: 'sha256', value: 'ab'.repeat(32) },
    seconds: 1,
    bytes: { origin: 4, peers: 6, file: 0 },
    seeding: {
      [Symbol.asyncDispose]: async () => void events.push('seeding ended'),
    },
  }
}

async function runCommand(
  extensions: readonly Extension[],
  name: string,
  params: JsonObject,
  context: Partial<CommandContext> & Pick<CommandContext, 'events'>,
): Promise<unknown> {
  const [extensionName, commandName] = name.split('.')
  const commands = extensions.find((one) => one.name === extensionName)?.commands ?? {}
  const command = commands[commandName ?? '']
  if (!command) throw new AgentError('InvalidCommandError', `no ${name}`)
  const call = command.parse(params)
  const signal = new AbortController().signal
  return await call({
    signal,
    ...context,
  })
}

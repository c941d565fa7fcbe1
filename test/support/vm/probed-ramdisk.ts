// SPDX-License-Identifier: Apache-2.0
// Owns a ramdisk with a probe in it: the shipped one, with a script behind it that looks at the machine
// from inside once the agent has sent its first heartbeat, and tells the test. Nothing else differs.
import { readFile, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { type CpioEntry, file, makeCpio } from '../../../image-build/cpio.ts'
import { LAB_ADDRESS } from './network.ts'

const INIT = join(import.meta.dirname, '../../../image-build/ramdisk/init')
/** The line of `init` before which base, agent and the writable layer are mounted. */
const LAST_LINE = 'exec /bin/busybox switch_root'
/** Between what two commands have printed. */
const SEPARATOR = '=== probe'

/** Makes the kernel note every program that is started, from its own start on (kernel: Documentation/trace/events.rst). */
export const PROBE_WORDS = 'trace_event=sched:sched_process_exec'

/** What a machine has told. */
export interface ProbeReport {
  /** Programs started up to the first heartbeat, by path. */
  readonly programs: readonly string[]
  /** What the commands printed, in their order. */
  readonly outputs: readonly string[]
}

export interface Probe extends AsyncDisposable {
  /** The initramfs to boot. */
  readonly initramfs: string
  /** Resolves when a machine has told. */
  readonly report: Promise<ProbeReport>
}

/**
 * @param commands shell commands to be run on the machine
 * @param folder gets the initramfs
 */
export async function createProbe(
  initramfs: string,
  commands: readonly string[],
  folder: string,
): Promise<Probe> {
  const report = Promise.withResolvers<ProbeReport>()
  const server = createServer((socket) => {
    let text = ''
    socket.setEncoding('utf8').on('data', (words: string) => {
      text += words
    })
    socket.once('end', () => report.resolve(parseReport(text)))
    socket.on('error', report.reject)
  })
  await new Promise<void>((resolve) => server.listen(0, LAB_ADDRESS, resolve))
  const { port } = server.address() as AddressInfo
  const path = join(folder, 'probed.initramfs')
  await writeFile(path, await withProbe(initramfs, probeScript(commands, port)))
  return {
    initramfs: path,
    report: report.promise,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

/** A later archive's files replace those of the ones before it (early-userspace/buffer-format). */
async function withProbe(initramfs: string, script: string): Promise<Buffer> {
  const install = [
    '/bin/busybox cp /probe /root/usr/bin/probe',
    "echo '::once:/usr/bin/probe' >>/root/etc/inittab",
  ]
  return await withFiles(initramfs, install, [file('probe', Buffer.from(script), 0o100755)])
}

/**
 * The ramdisk with more in it: `files` below its first root, and `lines` of shell that run when the root to
 * be lies at /root, with /dev, /proc and /sys in it.
 */
export async function withFiles(
  initramfs: string,
  lines: readonly string[],
  files: readonly CpioEntry[],
): Promise<Buffer> {
  const init = await readFile(INIT, 'utf8')
  const [before, after] = init.split(LAST_LINE)
  if (after === undefined) throw new Error(`${INIT} does not end with ${LAST_LINE}`)
  const script = `${before}${lines.join('\n')}\n${LAST_LINE}${after}`
  const archive = makeCpio([file('init', Buffer.from(script), 0o100755), ...files], 0)
  const shipped = await readFile(initramfs)
  const padding = Buffer.alloc((4 - (shipped.length % 4)) % 4)
  return Buffer.concat([shipped, padding, archive])
}

function probeScript(commands: readonly string[], port: number): string {
  return [
    '#!/bin/sh',
    '. /usr/lib/ironswarm/common',
    'until grep -q \'"msg":"heartbeat sent"\' "$LOG"; do sleep 0.5; done',
    'mount -t tracefs trace /sys/kernel/tracing',
    '{',
    'cat /sys/kernel/tracing/trace',
    ...commands.flatMap((command) => [`echo '${SEPARATOR}'`, command]),
    `} | nc ${LAB_ADDRESS} ${port}`,
    '',
  ].join('\n')
}

function parseReport(text: string): ProbeReport {
  const [trace = '', ...outputs] = text.split(`${SEPARATOR}\n`)
  const programs = [...trace.matchAll(/sched_process_exec: filename=(\S+)/g)]
  return { programs: programs.map(([, path]) => path as string), outputs }
}

// SPDX-License-Identifier: Apache-2.0
// Owns a process that lets disks hang: argv is a url and devices. It writes to each as often as it is taken, tells on
// stdin's end that the disks hang now, and then sends a heartbeat by name, like an agent in a deploy.
import { setTimeout as delay } from 'node:timers/promises'
import { openBlockDevice } from '../../../agent/disk/block-device.ts'
import { createRoot } from '../../../agent/system/root.ts'

const [url = '', ...paths] = process.argv.slice(2)
const timeoutMs = 20_000
const devices = await Promise.all(
  paths.map((path) => openBlockDevice(path, { mode: 'write', root: createRoot('/'), timeoutMs })),
)
process.stdout.write('open\n')
for await (const _ of process.stdin);
const writes = devices.flatMap((device) =>
  Array.from({ length: 6 }, (_, i) =>
    device
      .write(i * 1024 * 1024, new Uint8Array(4096))
      .catch(({ details }: Error & { details: string }) => details),
  ),
)
// every thread that the writes are given has one now
await delay(500)
const { status } = await fetch(url, { method: 'POST', body: '{}' })
process.stdout.write(`heartbeat ${status}\n`)
for (const outcome of await Promise.all(writes)) process.stdout.write(`write ${outcome}\n`)
await Promise.all(devices.map((device) => device[Symbol.asyncDispose]()))
process.stdout.write('closed\n')

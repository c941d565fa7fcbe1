// SPDX-License-Identifier: Apache-2.0
// Owns one window of a disk until it is killed: argv is the disk.
import { openLoopWindow } from '../../../agent/disk/partitioning/loop-window.ts'
import { exec } from '../../../agent/system/exec.ts'

const MiB = 1024 * 1024
const path = process.argv[2] as string
await using window = await openLoopWindow(
  exec,
  { path, logicalSectorBytes: 512 },
  { offset: MiB, length: 4 * MiB },
)
process.stdout.write(`${window.path}\n`)
setInterval(() => undefined, 1000)
await new Promise(() => undefined)

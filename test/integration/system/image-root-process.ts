// SPDX-License-Identifier: Apache-2.0
// Owns one run of an image's program as a process of its own, for tests that kill it: argv is the run as JSON.
import { exec } from '../../../agent/system/exec.ts'
import { runInImage } from '../../../agent/system/image-root/run-in-image.ts'

const run = JSON.parse(process.argv[2] as string)
await runInImage({ ...run, exec, name: 'test', log: { info: () => undefined } })

// SPDX-License-Identifier: Apache-2.0
// Owns one installation of an image's GRUB as a process of its own, for tests that kill it: argv is the device and the
// root file system's UUID. Its first word is that it begins.

import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { installGrub } from '../../../agent/disk/grub/install-grub.ts'
import { exec } from '../../../agent/system/exec.ts'
import { createRoot } from '../../../agent/system/root.ts'
import { testLogger } from '../image/deploy-lab.ts'

const [devicePath, rootUuid] = process.argv.slice(2) as [string, string]
process.stdout.write('begins\n')
await installGrub({
  ...{ exec, root: createRoot('/'), log: testLogger(), machineControl: 'real' },
  events: { publish: () => undefined },
  pausePath: join(tmpdir(), `ironswarm-assembly-pause-${process.pid}`),
  ...{ devicePath, rootUuid, prepBootPartUuid: null, canRegister: false, keepsPartial: false },
})

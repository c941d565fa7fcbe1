// SPDX-License-Identifier: Apache-2.0
// Owns `make record-machines`: asks the real ironic-python-agent of a release's root tree, and this agent, about each recorded
// machine, and writes test/fixtures/machines/ anew. Needs root; the tree is there already.
//
//   node test/support/machines/record.ts build/ironic/sid-agent [machine]
import { realpath } from 'node:fs/promises'
import { askPythonAgent } from './ask-python-agent.ts'
import { MACHINES } from './catalog.ts'
import { inspectMachine } from './inspect.ts'
import { recordingExec, recordingPath, writeRecording } from './recording.ts'
import { openSandbox } from './sandbox.ts'

const [tree, wanted, ...others] = process.argv.slice(2)
if (tree === undefined || others.length > 0) {
  console.error('usage: node test/support/machines/record.ts TREE [machine]')
  process.exit(2)
}
for (const machine of MACHINES) {
  if (wanted !== undefined && machine.name !== wanted) continue
  await using sandbox = await openSandbox(machine, await realpath(tree))
  const pythonAgent = await askPythonAgent(sandbox)
  const { exec, printed } = recordingExec(sandbox.exec)
  await inspectMachine(machine, { root: sandbox.root, exec })
  await writeRecording(machine, { pythonAgent, printed })
  console.log(`${recordingPath(machine)}: ironic-python-agent ${pythonAgent.version}`)
}

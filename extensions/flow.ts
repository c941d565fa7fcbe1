// SPDX-License-Identifier: Apache-2.0
// Owns the `flow` extension: several commands in order, as one (contract 5). The commands run inside of
// it and leave no results of their own.
import {
  type AnyCommand,
  type CommandCall,
  command,
  type Extension,
} from '../agent/commands/command.ts'
import { isObject } from '../agent/core/json.ts'
import { assertOnly, invalidParams } from './params.ts'

/**
 * flow.start_flow over the given extensions. The first command that fails ends the flow with its error:
 * a flow that stopped half-way has not succeeded.
 */
export function createFlowExtension(extensions: readonly Extension[]): Extension {
  const startFlow = command({
    kind: 'async',
    parse: (params) => {
      assertOnly('flow.start_flow', params, ['flow'])
      return parseStages(params['flow'], extensions)
    },
    run: async (stages, context) => {
      for (const stage of stages) await stage(context)
      return null
    },
  })
  return { name: 'flow', commands: { start_flow: startFlow } }
}

/** Every stage, its parameters read: nothing runs before the last one is understood. */
function parseStages(flow: unknown, extensions: readonly Extension[]): CommandCall[] {
  if (!Array.isArray(flow) || !flow.every(isObject)) {
    throw invalidParams('flow must be a list of objects {"<extension>.<command>": {params}}')
  }
  return flow.flatMap((task) =>
    Object.entries(task).map(([method, params]) => {
      if (!isObject(params)) throw invalidParams(`the parameters of ${method} must be an object`)
      return findCommand(method, extensions).parse(params)
    }),
  )
}

function findCommand(method: string, extensions: readonly Extension[]): AnyCommand {
  const [extensionName = '', commandName = '', ...rest] = method.split('.')
  const extension = extensions.find(({ name }) => name === extensionName)
  const commands = extension?.commands ?? {}
  const found = Object.hasOwn(commands, commandName) ? commands[commandName] : undefined
  if (found && rest.length === 0) return found
  throw invalidParams(`flow names ${method}, which this agent does not offer`)
}

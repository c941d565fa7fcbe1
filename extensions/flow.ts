// SPDX-License-Identifier: Apache-2.0
// Owns the `flow` extension: several commands in order, as one (contract 5). The commands run inside of
// it and leave no results of their own.
import type { Command, Extension } from '../agent/commands/command.ts'
import { isObject, type JsonObject } from '../agent/core/json.ts'
import { assertOnly, invalidParams } from './params.ts'

interface Stage {
  readonly command: Command
  readonly params: JsonObject
}

/**
 * flow.start_flow over the given extensions. The first command that fails ends the flow with its error:
 * a flow that stopped half-way has not succeeded.
 */
export function createFlowExtension(extensions: readonly Extension[]): Extension {
  const command: Command = {
    kind: 'async',
    validate: (params) => {
      assertOnly('flow.start_flow', params, ['flow'])
      for (const stage of stagesOf(params['flow'], extensions)) {
        stage.command.validate?.(stage.params)
      }
    },
    run: async (params, context) => {
      for (const stage of stagesOf(params['flow'], extensions)) {
        await stage.command.run(stage.params, context)
      }
      return null
    },
  }
  return { name: 'flow', commands: { start_flow: command } }
}

function stagesOf(flow: unknown, extensions: readonly Extension[]): Stage[] {
  if (!Array.isArray(flow) || !flow.every(isObject)) {
    throw invalidParams('flow must be a list of objects {"<extension>.<command>": {params}}')
  }
  return flow.flatMap((task) =>
    Object.entries(task).map(([method, params]) => {
      if (!isObject(params)) throw invalidParams(`the parameters of ${method} must be an object`)
      return { command: findCommand(method, extensions), params }
    }),
  )
}

function findCommand(method: string, extensions: readonly Extension[]): Command {
  const [extensionName = '', commandName = '', ...rest] = method.split('.')
  const extension = extensions.find(({ name }) => name === extensionName)
  const commands = extension?.commands ?? {}
  const command = Object.hasOwn(commands, commandName) ? commands[commandName] : undefined
  if (command && rest.length === 0) return command
  throw invalidParams(`flow names ${method}, which this agent does not offer`)
}

// SPDX-License-Identifier: Apache-2.0
// Owns the flags --image-info, --device and --configdrive: reading the files they name. The checks of
// their content are image/'s.
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { Config } from '../config/options.ts'
import { AgentError, messageOf } from '../core/errors.ts'
import { isObject } from '../core/json.ts'
import { parseWriteRequest, type WriteRequest, withNode } from '../deploy/write-request.ts'

export interface ImageRequest extends WriteRequest {
  readonly devicePath: string
  readonly isJson: boolean
}

/**
 * Reads what the flags of write, plan and verify name.
 * @throws InvalidCommandParamsError for a file that is missing, no JSON, or no usable image_info
 */
export async function readImageRequest(command: Command, config: Config): Promise<ImageRequest> {
  const path = String(command.getOptionValue('imageInfo'))
  const configdrivePath = command.getOptionValue('configdrive') as string | undefined
  const value = parseJson(await readInput(path), path)
  const configdrive =
    configdrivePath === undefined ? undefined : (await readInput(configdrivePath)).trim()
  const request = parseWriteRequest(value, configdrive, config, 'http or file')
  return {
    ...withNode(request, undefined, config),
    devicePath: resolve(String(command.getOptionValue('device'))),
    isJson: command.getOptionValue('json') === true,
  }
}

async function readInput(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new AgentError('InvalidCommandParamsError', `cannot read ${path}: ${messageOf(cause)}`, {
      cause,
    })
  }
}

/** Accepts the bare image_info and the params of a recorded command around it. */
function parseJson(text: string, path: string): unknown {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) && isObject(value['image_info']) ? value['image_info'] : value
  } catch (cause) {
    throw new AgentError(
      'InvalidCommandParamsError',
      `${path} is no JSON (${messageOf(cause)}); put the image_info object there`,
      { cause },
    )
  }
}

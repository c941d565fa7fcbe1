// SPDX-License-Identifier: Apache-2.0
// Owns what a third-party manager may ask of the agent while it works: to run a program, to write an image. Does not
// carry the answer to it (manager-thread.ts).
import { AgentError, messageOf } from '../../core/errors.ts'
import type { Exec } from '../../system/exec.ts'
import { parseExecCall } from './answers.ts'
import type { OpenCall } from './open-call.ts'
import type { FromManager, Outcome } from './protocol.ts'

export type Question = Extract<FromManager, { kind: 'ask' }>

/**
 * What came of it; never throws.
 * @param call in which it is asked: a program ends with it
 */
export async function answerQuestion(
  question: Pick<Question, 'what' | 'argsJson'>,
  call: OpenCall,
  exec: Exec,
): Promise<Outcome> {
  try {
    return { json: JSON.stringify(await grant(question, call, exec)) }
  } catch (error) {
    if (error instanceof AgentError) return { type: error.type, details: error.details }
    return { type: 'CommandExecutionError', details: messageOf(error) }
  }
}

async function grant(
  { what, argsJson }: Pick<Question, 'what' | 'argsJson'>,
  call: OpenCall,
  exec: Exec,
): Promise<unknown> {
  if (what === 'exec') {
    const { argv, options } = parseExecCall(JSON.parse(argsJson))
    return await exec(argv, { ...options, signal: call.signal })
  }
  const [imageInfo, configdrive] = JSON.parse(argsJson)
  if (call.writeImage) return await call.writeImage(imageInfo, configdrive)
  throw new AgentError('CommandExecutionError', 'only a step can write an image')
}

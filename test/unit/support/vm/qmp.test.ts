import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { createQmp, type QmpEvent } from '../../../support/vm/qmp.ts'

/** The far end of the two pipes, as QEMU has it. */
function connect() {
  const [stdin, stdout] = [new PassThrough(), new PassThrough()]
  const events: QmpEvent[] = []
  const qmp = createQmp({ stdin, stdout }, (event) => events.push(event))
  const said = async () => JSON.parse(String((await once(stdin, 'data'))[0]))
  const say = (message: unknown) => stdout.write(`${JSON.stringify(message)}\n`)
  return { qmp, events, stdout, said, say }
}

test('answers find their questions, events their listener', async () => {
  const { qmp, events, said, say } = connect()
  say({ QMP: { version: {} } })
  expect(await said()).toMatchObject({ execute: 'qmp_capabilities' })
  const answer = qmp.execute('query-status', { x: 1 })
  const { id, ...question } = await said()
  expect(question).toEqual({ execute: 'query-status', arguments: { x: 1 } })
  say({ event: 'SHUTDOWN', data: { reason: 'guest-reset' } })
  say({ return: { status: 'running' }, id })
  expect(await answer).toEqual({ status: 'running' })
  expect(events).toMatchObject([{ event: 'SHUTDOWN', data: { reason: 'guest-reset' } }])
})

test("a refusal is an error with QEMU's words, and so is its end", async () => {
  const { qmp, said, say, stdout } = connect()
  await said()
  const refused = qmp.execute('no-such')
  const { id } = await said()
  say({ error: { class: 'CommandNotFound', desc: 'The command has not been found' }, id })
  await expect(refused).rejects.toThrow('The command has not been found')
  const unanswered = qmp.execute('quit')
  stdout.end()
  await expect(unanswered).rejects.toThrow('QEMU has ended')
  await expect(qmp.execute('cont')).rejects.toThrow('QEMU has ended')
})

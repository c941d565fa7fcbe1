import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'

const MODULE = join(import.meta.dirname, '../../support/interrupts.ts')

/** Runs the work as a program of its own; `press` is sent once it has said that it works. */
async function runProgram(work: string, press?: NodeJS.Signals) {
  const script = `
    import { rejectedBy, runInterruptibly } from ${JSON.stringify(MODULE)}
    const begin = () => { console.log('works'); setInterval(() => {}, 1000).unref() }
    await runInterruptibly('lab', async (signal) => { ${work} })`
  const child = spawn(process.execPath, ['--input-type=module-typescript', '--eval', script])
  const said = text(child.stderr)
  if (press) child.stdout.once('data', () => child.kill(press))
  else child.stdout.resume()
  const [code] = await once(child, 'close')
  return { code, said: await said }
}

const WAITS =
  'begin(); const hold = setInterval(() => {}, 1000); try { return await rejectedBy(signal) }'

test('Ctrl-C takes away what there is, says so before and after, and shells are told of it', async () => {
  const ended = await runProgram(
    `${WAITS} finally { clearInterval(hold); console.error('taken away') }`,
    'SIGINT',
  )
  expect(ended).toEqual({
    code: 130,
    said: 'lab: SIGINT: cleaning up\ntaken away\nlab: cleaned up\n',
  })
})

test('what fails because of Ctrl-C is no news, and what is still waited for holds nobody up', async () => {
  const ended = await runProgram(`${WAITS} catch { throw new Error('ironic ended') }`, 'SIGTERM')
  expect(ended).toEqual({ code: 143, said: 'lab: SIGTERM: cleaning up\nlab: cleaned up\n' })
})

test('without Ctrl-C the exit code says how it went, and a failure is one line', async () => {
  expect(await runProgram('return true')).toEqual({ code: 0, said: '' })
  expect(await runProgram('return false')).toEqual({ code: 1, said: '' })
  const failed = await runProgram("throw new Error('no room')")
  expect(failed).toEqual({ code: 1, said: 'lab: no room\n' })
})

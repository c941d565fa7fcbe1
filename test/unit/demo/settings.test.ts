import { expect, test } from 'vitest'
import { readSettings } from '../../e2e/demo/settings.ts'

const IMAGE = 'package.json'

test('six nodes and a swarm unless the environment says otherwise', async () => {
  expect(await readSettings({ IMAGE })).toMatchObject({ nodes: 6, swarm: 'auto', image: IMAGE })
  expect(await readSettings({ IMAGE, NODES: '2', SWARM: 'OFF' })).toMatchObject({
    nodes: 2,
    swarm: 'off',
    originRate: undefined,
  })
  expect(await readSettings({ IMAGE, ORIGIN_RATE: '25M' })).toMatchObject({ originRate: 26214400 })
})

test('make passes empty variables on, which mean nothing', async () => {
  expect(await readSettings({ IMAGE, NODES: '', SWARM: '' })).toMatchObject({ nodes: 6 })
})

test.each([
  [{ IMAGE, NODES: '0' }, 'NODES=0 is not a number from 1 to 64'],
  [{ IMAGE, NODES: 'many' }, 'NODES=many is not a number from 1 to 64'],
  [{ IMAGE, SWARM: 'perhaps' }, 'SWARM=perhaps is none of auto, off, require'],
  [{ IMAGE, ORIGIN_RATE: 'fast' }, 'ORIGIN_RATE=fast is no number of bytes per second'],
  [{ IMAGE: 'no/such.raw' }, 'no/such.raw is not an image file; IMAGE= takes the path'],
])('a wrong setting is answered with what to write instead: %o', async (env, message) => {
  await expect(readSettings(env)).rejects.toThrow(message)
})

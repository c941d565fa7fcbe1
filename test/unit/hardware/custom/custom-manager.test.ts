import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { SUPPORT } from '../../../../agent/hardware/manager.ts'
import { announcedSteps } from '../../../../agent/hardware/steps.ts'
import { processesWith, secondsOfOurOwn } from '../../../support/processes.ts'
import { callWith, managerWith } from '../manager-fixture.ts'
import { wireCpu, wireDisk } from '../wire-fixture.ts'
import { loadManagers, managerText } from './manager-files.ts'

const CPU = wireCpu({ model_name: 'fallback' })
const generic = managerWith('Generic', SUPPORT.GENERIC, {
  getCpus: async () => CPU,
  eraseBlockDevice: async () => 'erased by the generic manager',
})
const DISK = wireDisk({ model: 'MAGIC' })
const signal = new AbortController().signal

describe('a third-party hardware manager', () => {
  test('is a file of its own, in TypeScript or JavaScript, and is asked in the order of support', async () => {
    await using lab = await loadManagers(
      {
        'a.ts': managerText('', { name: 'first' }),
        'b.js': managerText('', { name: 'second', version: '2' }).replaceAll(/: (number|any)/g, ''),
        'notes.txt': 'no manager',
        'a.d.ts': 'export {}',
        'a.test.ts': 'throw new Error()',
      },
      { others: [generic] },
    )
    expect(lab.hardware.leftOut).toEqual([])
    expect(lab.hardware.versions()).toEqual({ first: '1.0', second: '2', generic: '1.0' })
    expect(lab.hardware.managers.map(({ support }) => support)).toEqual([3, 3, 1])
  })

  test('is not used where it answers that it supports nothing', async () => {
    const text = managerText('').replace('=> 3', '=> 0')
    await using lab = await loadManagers({ 'a.ts': text }, { others: [generic] })
    expect(lab.hardware.versions()).toEqual({ generic: '1.0' })
    expect(lab.hardware.leftOut).toEqual([])
  })

  test('answers a question in place of the next one, keeps state, and leaves others to it by declining', async () => {
    const text = managerText(`
      asked: 0,
      getCpus() { return { ...${JSON.stringify(CPU)}, model_name: 'acme ' + ++this.asked } },
      eraseBlockDevice: (node, disk) => agent.decline('not ' + disk.name),
    `)
    await using lab = await loadManagers({ 'a.ts': text }, { others: [generic] })
    expect(await lab.hardware.dispatch('getCpus')).toMatchObject({ model_name: 'acme 1' })
    expect(await lab.hardware.dispatch('getCpus')).toMatchObject({ model_name: 'acme 2' })
    expect(await lab.hardware.dispatch('eraseBlockDevice', {}, DISK, signal)).toBe(
      'erased by the generic manager',
    )
  })

  test('answers for USB devices and waits for disks in its own way, or leaves both to the next', async () => {
    const device = { product: 'Dongle', vendor: 'ACME', handle: 'USB:1:7' }
    const next = managerWith('Next', SUPPORT.GENERIC, {
      getUsbDevices: async () => [],
      waitForDisks: async () => false,
    })
    const text = managerText(`
      getUsbDevices: () => [${JSON.stringify(device)}],
      waitForDisks: (node) => node === null ? agent.decline('no node') : node.uuid === 'mine',
    `)
    await using lab = await loadManagers({ 'a.ts': text }, { others: [next] })
    expect(await lab.hardware.dispatch('getUsbDevices')).toEqual([device])
    expect(await lab.hardware.dispatch('waitForDisks', { uuid: 'mine' }, signal)).toBe(true)
    expect(await lab.hardware.dispatch('waitForDisks', undefined, signal)).toBe(false)
    const broken = managerText("getUsbDevices: () => [{ product: 7 }], waitForDisks: () => 'yes',")
    await using other = await loadManagers({ 'a.ts': broken }, { others: [next] })
    expect(await other.hardware.dispatch('getUsbDevices')).toEqual([])
    expect(await other.hardware.dispatch('waitForDisks', { uuid: 'mine' }, signal)).toBe(false)
  })

  test('runs programs through the agent, and hears of their failures', async () => {
    const text = managerText(`
      eraseBlockDevice: async (node, disk) => {
        const { stdout } = await agent.exec(['printf', '%s', disk.name])
        const error = await agent.exec(['false']).catch((error) => error)
        const input = await agent.exec(['cat'], { input: 'given' })
        return [stdout, error.name, error.message, input.stdout].join(' | ')
      },
    `)
    await using lab = await loadManagers({ 'a.ts': text }, { others: [generic] })
    expect(await lab.hardware.dispatch('eraseBlockDevice', {}, DISK, signal)).toBe(
      '/dev/sda | ProcessError | false: exit code 1 | given',
    )
  })

  test('writes into the log of the agent, by its log and by what it prints, without secrets', async () => {
    const text = managerText(`
      fullSync: async () => {
        agent.log('warn', 'flushing', { password: 'hunter2' })
        console.log('printed')
        await new Promise((resolve) => setImmediate(resolve))
      },
    `)
    await using lab = await loadManagers({ 'a.ts': text }, { others: [generic] })
    await lab.hardware.dispatchAll('fullSync', signal)
    await expect.poll(() => lab.logLines.join('')).toContain('printed')
    const lines = lab.logLines.join('')
    expect(lines).toContain('"hardware_manager":"a.ts"')
    expect(lines).toContain('flushing')
    expect(lines).not.toContain('hunter2')
  })
})

describe('its steps', () => {
  const STEPS = managerText(`steps: [{
    kinds: ['clean', 'deploy'],
    step: 'polish',
    priority: 90,
    argsinfo: { grit: { description: 'how fine', required: true } },
    run: ({ node, ports, args }) => ({ node: node.uuid, ports: ports.length, grit: args.grit }),
  }, {
    kinds: ['deploy'], step: 'write', priority: 0,
    run: async ({ writeImage }) => await writeImage({ id: 'x' }, null),
  }, {
    kinds: ['clean'], step: 'fail', priority: 0,
    run: () => agent.fail('BlockDeviceEraseError', 'worn out'),
  }, {
    kinds: ['clean'], step: 'throw', priority: 0, run: () => { throw new TypeError('oops') },
  }],`)

  test('are announced under its label, with the arguments they take', async () => {
    await using lab = await loadManagers({ 'a.ts': STEPS }, { others: [generic] })
    const announced = {
      step: 'polish',
      priority: 90,
      interface: 'deploy',
      reboot_requested: false,
      argsinfo: { grit: { description: 'how fine', required: true } },
    }
    expect(announcedSteps(lab.hardware, 'clean')).toEqual({
      acme: [announced, expect.objectContaining({ step: 'fail' }), expect.anything()],
      Generic: [],
    })
    expect(announcedSteps(lab.hardware, 'service')).toEqual({ acme: [], Generic: [] })
  })

  test('get node, ports and arguments, and their answer is the result', async () => {
    await using lab = await loadManagers({ 'a.ts': STEPS }, { others: [generic] })
    const call = { ...callWith({ grit: 80 }), node: { uuid: 'n' }, ports: [{}, {}] }
    expect(await lab.hardware.runStep('clean', 'polish', call)).toEqual({
      node: 'n',
      ports: 2,
      grit: 80,
    })
    await expect(lab.hardware.runStep('clean', 'polish', callWith())).rejects.toMatchObject({
      type: 'InvalidCommandParamsError',
      details: 'step polish needs grit',
    })
  })

  test('write an image as the agent does', async () => {
    await using lab = await loadManagers({ 'a.ts': STEPS }, { others: [generic] })
    expect(await lab.hardware.runStep('deploy', 'write', callWith())).toBe('written')
  })

  test.each([
    ['fail', 'BlockDeviceEraseError', 'hardware manager acme, step fail: worn out'],
    ['throw', 'CommandExecutionError', 'hardware manager acme, step throw: TypeError: oops'],
  ])('fail with the type they name, or what they threw: %s', async (step, type, details) => {
    await using lab = await loadManagers({ 'a.ts': STEPS }, { others: [generic] })
    await expect(lab.hardware.runStep('clean', step, callWith())).rejects.toMatchObject({
      type,
      details,
    })
  })

  test('let go of the disks before they clean, of the seeded image before they deploy', async () => {
    await using lab = await loadManagers({ 'a.ts': STEPS }, { others: [generic] })
    const heard: string[] = []
    const base = callWith({ grit: 1 })
    const call = {
      ...base,
      context: {
        ...base.context,
        releaseDisks: async () => void heard.push('release'),
        stopSeeding: async () => void heard.push('stop'),
      },
    }
    await lab.hardware.runStep('clean', 'polish', call)
    await lab.hardware.runStep('deploy', 'polish', call)
    expect(heard).toEqual(['release', 'stop'])
  })
})

describe('a manager that cannot be loaded is left out with the reason, and the others are used:', () => {
  const READY = managerText('', { name: 'ready' })
  test.each([
    ['throws at load', 'throw new Error("no licence")', /no licence/],
    ['waits at load for what never comes', 'await new Promise(() => {})', /ended by itself/],
    ['ends its process', 'process.exit(3)', /its thread ended by itself/],
    ['is no code', 'export const = 1', /SyntaxError|Unexpected|Expression|Expected/i],
    ['has no version', managerText('').replace('apiVersion', 'other'), /apiVersion none.*knows 1/],
    ['is of another version', managerText('').replace('= 1', '= 2'), /apiVersion 2.*knows 1/],
    ['exports no manager', 'export const apiVersion = 1', /no function createHardwareManager/],
    ['has no usable name', managerText('', { name: 'a b' }), /manager\.name is "a b" where/],
    [
      'has a step without run',
      managerText("steps: [{ kinds: ['clean'], step: 'x', priority: 0 }]"),
      /run of the step x is no function/,
    ],
    [
      'has a step of no kind',
      managerText("steps: [{ kinds: ['boil'], step: 'x', priority: 0, run() {} }]"),
      /manager\.steps\[0\]\.kinds\[0\] is "boil" where clean or deploy or service belongs/,
    ],
    ['answers no support', managerText('').replace('=> 3', "=> 'a lot'"), /answers "a lot"/],
    [
      'throws while it is evaluated',
      managerText('').replace('=> 3', '=> { throw new Error("no card") }'),
      /no card/,
    ],
    [
      'hangs while it is initialized',
      managerText('initialize: () => new Promise(() => {}),'),
      /no answer within 4 s/,
    ],
    ['has the name of another', managerText('', { name: 'ready' }), /there is a manager ready/],
  ])('one that %s', async (_what, text, reason) => {
    await using lab = await loadManagers(
      { 'a-ready.ts': READY, 'bad.ts': text },
      { others: [generic], timeoutMs: 4000 },
    )
    expect(lab.hardware.leftOut).toEqual([
      { manager: expect.stringMatching(/^(bad\.ts|acme)$/), reason: expect.stringMatching(reason) },
    ])
    expect(lab.hardware.versions()).toMatchObject({ ready: '1.0', generic: '1.0' })
  })
})

test.each(['while (true) {}', 'setInterval(() => {}, 1000)\nawait new Promise(() => {})'])(
  'so is one that hangs at load: %s',
  async (text) => {
    await using lab = await loadManagers(
      { 'bad.ts': text },
      { others: [generic], loadTimeoutMs: 2000 },
    )
    const reason = expect.stringContaining('it hangs: no answer within 2 s')
    expect(lab.hardware.leftOut).toEqual([{ manager: 'bad.ts', reason }])
    expect(await lab.hardware.dispatch('getCpus')).toEqual(CPU)
  },
)

describe('a call that goes wrong does not end the agent:', () => {
  const RUINS = {
    throws: 'throw new Error("broken")',
    spins: 'while (true) {}',
    hangs: 'return new Promise(() => {})',
    'ends its process': 'process.exit(1)',
    'throws later': 'setTimeout(() => { throw new Error("late") }); return new Promise(() => {})',
    'answers nonsense': 'return 7',
    'answers what is no JSON': 'const a = {}; a.a = a; return a',
    'answers past the agent what is no JSON': `
      const { parentPort } = process.getBuiltinModule('node:worker_threads')
      for (let id = 1; id < 9; id++) parentPort.postMessage({ kind: 'outcome', id, outcome: { json: '{' } })
      return new Promise(() => {})`,
    'takes all memory': 'const all = []; while (true) all.push(new Array(1e6).fill(all.length))',
  }

  test.each(Object.entries(RUINS))('one that %s: the next manager answers', async (_how, body) => {
    const text = managerText(`getCpus() { ${body} },`)
    await using lab = await loadManagers({ 'a.ts': text }, { others: [generic], timeoutMs: 4000 })
    expect(await lab.hardware.dispatch('getCpus')).toEqual(CPU)
    expect(lab.events.snapshot().lastWarning).toMatchObject({
      message: 'hardware manager fails',
      fields: { hardware_manager: 'acme', call: 'getCpus' },
    })
  })

  test.each(Object.entries(RUINS).filter(([how]) => !/spins|later|memory|JSON/.test(how)))(
    'one that %s, asked about data: nobody else is asked',
    async (_how, body) => {
      const text = managerText(`eraseBlockDevice() { ${body} },`)
      // an erasure may take a day
      const isSlow = _how === 'hangs'
      const method = isSlow ? 'filterDevice' : 'eraseBlockDevice'
      const source = text.replace('eraseBlockDevice', method)
      await using lab = await loadManagers(
        { 'a.ts': source },
        {
          others: [
            generic,
            managerWith('Last', SUPPORT.GENERIC, { filterDevice: async (_kind, each) => each }),
          ],
          timeoutMs: 4000,
        },
      )
      const asked = isSlow
        ? lab.hardware.dispatch('filterDevice', 'disk', DISK)
        : lab.hardware.dispatch('eraseBlockDevice', {}, DISK, signal)
      await expect(asked).rejects.toMatchObject({
        details: expect.stringContaining(`hardware manager acme, ${method}: `),
      })
    },
  )

  test('it is loaded and initialized again for the next call', async () => {
    const text = managerText(`
      initialize() { this.isReady = true },
      getCpus() {
        if (!this.wasAsked) { this.wasAsked = true; if (process.env.RUINED) return 0 }
        return { ...${JSON.stringify(CPU)}, model_name: this.isReady ? 'ready' : 'not ready' }
      },
      getMemory() { process.exit(1) },
    `)
    const next = managerWith('Next', SUPPORT.GENERIC, {
      getMemory: async () => ({ total: 1, physical_mb: 1 }),
    })
    await using lab = await loadManagers({ 'a.ts': text }, { others: [next] })
    expect(await lab.hardware.dispatch('getMemory')).toEqual({ total: 1, physical_mb: 1 })
    expect(await lab.hardware.dispatch('getCpus')).toMatchObject({ model_name: 'ready' })
  })

  test('an erasure that runs beside one that hangs goes on to its end', async () => {
    const text = managerText(`
      eraseBlockDevice: async (node, disk) => {
        await agent.exec(['sh', '-c', 'touch "$1.begun"; until [ -e "$1" ]; do sleep 0.1; done', 'sh', disk.name], { timeoutMs: 300000 })
        return 'erased slowly'
      },
      getCpus: () => new Promise(() => {}),
    `)
    await using lab = await loadManagers({ 'a.ts': text }, { others: [generic], timeoutMs: 2000 })
    const name = join(lab.folder, 'end')
    const erased = lab.hardware.dispatch('eraseBlockDevice', {}, { ...DISK, name }, signal)
    await expect.poll(() => existsSync(`${name}.begun`)).toBe(true)
    expect(await lab.hardware.dispatch('getCpus')).toEqual(CPU)
    expect(await lab.hardware.dispatch('getCpus')).toEqual(CPU)
    await writeFile(name, '')
    expect(await erased).toBe('erased slowly')
  })

  test('a program that it has started is ended with the call', async () => {
    const seconds = secondsOfOurOwn()
    const text = managerText(`
      eraseBlockDevice: async () => {
        agent.exec(['sleep', '${seconds}']).catch(() => {})
        return 'left a program behind'
      },
    `)
    await using lab = await loadManagers({ 'a.ts': text }, { others: [generic] })
    await lab.hardware.dispatch('eraseBlockDevice', {}, DISK, signal)
    await expect.poll(() => processesWith(seconds)).toEqual([])
  })
})

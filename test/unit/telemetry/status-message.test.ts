import { expect, test } from 'vitest'
import { type AgentState, INITIAL_STATE } from '../../../agent/core/agent-state.ts'
import type { Progress } from '../../../agent/core/events.ts'
import { statusMessage } from '../../../agent/telemetry/status-message.ts'
import { SECRET } from '../../support/secrets.ts'

const PROGRESS: Progress = {
  step: 'fetch',
  subject: null,
  unit: 'bytes',
  done: 125 * 1024 * 1024,
  total: 256 * 1024 * 1024,
  percent: 48.8,
  ratePerSecond: 50 * 1024 * 1024,
  etaSeconds: 2,
  source: 'swarm',
  bytes: { origin: 0, peers: 125 * 1024 * 1024, file: 0 },
  uploadedBytes: 0,
  peers: 4,
}
const during = (name: string, progress: Progress | null): AgentState => ({
  ...INITIAL_STATE,
  command: { commandId: '1', name, progress, startedAt: 0 },
})

test.each([
  ['nothing', INITIAL_STATE, 'waiting for a command'],
  ['a command that tells no figures', during('execute_clean_step', null), 'execute_clean_step'],
  [
    'a command and its figures',
    during('execute_deploy_step', PROGRESS),
    'execute_deploy_step: writing the image 48.8% 125.0 MiB/256.0 MiB 50.0 MiB/s ETA 0:02 peers 125.0 MiB (4 peers) swarm',
  ],
])('%s is one sentence', (_what, state, sentence) => expect(statusMessage(state)).toBe(sentence))

test('it names hardware managers that were left out, while nothing is done', () => {
  const news = { leftOutManagers: ['acme.ts', 'b.js'] }
  expect(statusMessage(INITIAL_STATE, news)).toBe(
    'waiting for a command; hardware managers left out: acme.ts, b.js',
  )
  expect(statusMessage(during('execute_clean_step', null), news)).toBe('execute_clean_step')
})

test('what does not fit into it is cut, and no secret is in it', () => {
  const long = statusMessage(during(`agent_token=${SECRET} ${'x'.repeat(1000)}`, PROGRESS))
  expect(long.length).toBeLessThan(300)
  expect(long).not.toContain(SECRET)
})

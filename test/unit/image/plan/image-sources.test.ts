import { expect, test } from 'vitest'
import { type Config, OPTIONS } from '../../../../agent/config/options.ts'
import { openImageServers } from '../../../../agent/image/plan/image-sources.ts'
import { parseImageInfo } from '../../../../agent/image/request/image-info.ts'
import { createLogger } from '../../../../agent/telemetry/logger.ts'

const SECRET = 'a-token-that-only-the-agent-knows'

test('what a worker is told of the image servers has the settings of HTTP, and no secret of the agent', async () => {
  const defaults = Object.entries(OPTIONS).map(([name, row]) => [name, row.default])
  const config = {
    ...(Object.fromEntries(defaults) as Config),
    agent_token: SECRET,
    image_download_connection_timeout: 7,
    cafile: null,
  } as Config
  const imageInfo = parseImageInfo(
    {
      id: 'image',
      urls: ['http://127.0.0.1:1/image'],
      disk_format: 'raw',
      os_hash_algo: 'sha256',
      os_hash_value: '0'.repeat(64),
    },
    config,
  )
  const log = createLogger({ level: 'silent' })
  await using servers = openImageServers(imageInfo, { config, log, random: Math.random } as never)
  const told = structuredClone(servers.origin)
  expect(JSON.stringify(told)).not.toContain(SECRET)
  expect(told.config.image_download_connection_timeout).toBe(7)
  expect(Object.keys(told.config).length).toBeLessThan(20)
})
